package browsers

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// An analytics is the program of examples/analytics, running, with the file it stores in.
type analytics struct {
	url string
	db  *sql.DB
}

func startAnalytics(t *testing.T) *analytics {
	t.Helper()
	data := t.TempDir()
	a := &analytics{url: strings.TrimSuffix(startProgram(t, "../../examples/analytics", ".", data).url, "/")}
	var err error
	a.db, err = sql.Open("sqlite", "file:"+filepath.Join(data, "beacon.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.db.Close() })
	return a
}

// A seen is for how long a page was visible and engaged, in milliseconds: between two
// numbers, as what a browser does between two looks at it cannot be known. Since is when
// the client's script was there, and From when the clock was, since the epoch.
type seen struct {
	Page             string
	Since, From      float64
	Visible, Engaged [2]float64
}

// clock counts in the page itself what the client should count, on another clock, and
// sends it along. It looks before and after all other listeners of an event, and ten
// times a second, since a browser under a driver may give and take the focus without one.
// Of the time before it is there, it only knows when the client's script came.
const clock = `
	const since = performance.getEntriesByType("resource").find(e => /_pb\./.test(e.name)).responseEnd;
	const state = () => { const v = document.visibilityState === "visible"; return [v, v && document.hasFocus()] };
	let last = performance.now(), was = state();
	const from = last, lo = [0, 0], hi = [0, 0];
	const look = before => {
		const t = performance.now(), dt = t - last, is = before ? was : state();
		for (const i of [0, 1]) {
			if (was[i] && is[i]) lo[i] += dt;
			if (was[i] || is[i]) hi[i] += dt;
		}
		last = t;
		was = is;
	};
	globalThis.seen = () => ({page: location.pathname, since: performance.timeOrigin + since, from: performance.timeOrigin + from, visible: [lo[0], hi[0]], engaged: [lo[1], hi[1]]});
	const listen = (target, types) => types.split(" ").forEach(type => {
		target.addEventListener(type, () => look(true), true);
		target.addEventListener(type, () => { look(); if (/hide|change/.test(type)) navigator.sendBeacon("/_pb", JSON.stringify({clock: seen()})) });
	});
	listen(window, "focus blur pagehide visibilitychange pointerdown keydown");
	setInterval(look, 100, false);`

// visit opens a page of the site, with that clock in it.
func (a *analytics) visit(b *Browser, path string) *Page {
	p := b.Open(a.url + path)
	p.WaitFor(`return !!globalThis.beacon?.init && document.visibilityState === "visible"`)
	script := clock
	if _, ok := b.driver.(*webkit); ok {
		script = focused + script
	}
	p.Eval(script, nil)
	return p
}

// focused says what WebKitGTK cannot know where no window manager gives windows the focus:
// that the page has it.
const focused = `document.hasFocus = () => true; dispatchEvent(new Event("focus"));`

// clocks returns the last that the clock of each page said, by its path.
func (a *analytics) clocks(t *testing.T) map[string]seen {
	t.Helper()
	found := map[string]seen{}
	a.query(t, `SELECT data FROM beacon_events WHERE data LIKE '{"clock"%'`, func(scan func(...any) error) error {
		var data string
		var c struct{ Clock seen }
		if err := scan(&data); err != nil {
			return err
		}
		err := json.Unmarshal([]byte(data), &c)
		if c.Clock.Visible[1] >= found[c.Clock.Page].Visible[1] {
			found[c.Clock.Page] = c.Clock
		}
		return err
	})
	return found
}

// A stored is a page view in the file; durations are in milliseconds.
type stored struct {
	session, path                      string
	start, end, open, visible, engaged float64
}

func (a *analytics) views(t *testing.T) map[string]stored {
	t.Helper()
	found := map[string]stored{}
	a.query(t, `SELECT session, page, started / 1e3, ended / 1e3, visible / 1e3, engaged / 1e3 FROM beacon_page_views WHERE activity = 0`,
		func(scan func(...any) error) error {
			var v stored
			err := scan(&v.session, &v.path, &v.start, &v.end, &v.visible, &v.engaged)
			v.path = strings.TrimPrefix(v.path, a.url)
			v.open = v.end - v.start
			if _, twice := found[v.path]; twice {
				t.Errorf("two views of %s", v.path)
			}
			found[v.path] = v
			return err
		})
	return found
}

func (a *analytics) query(t *testing.T, query string, row func(func(...any) error) error) {
	t.Helper()
	rows, err := a.db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// number returns the value of the element with an id in what /stats shows of a session.
func (a *analytics) number(t *testing.T, session, id string) float64 {
	t.Helper()
	res, err := http.Get(a.url + "/stats/part?session=" + session)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}
	m := regexp.MustCompile(`<data id="` + id + `" value="([0-9.]+)"`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("no %s of %s in\n%s", id, session, page)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const within = 500 // milliseconds

// TestHowLong is the visit that the example is for: two tabs, one of which is hidden for a
// while, some clicks, and both are closed. What the database has is what the pages
// themselves measured, to half a second, and what the site's own page says.
func TestHowLong(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			a, b := startAnalytics(t), Start(t, engine)
			fmt.Printf("browser: %s\n", b.Version())
			if engine == WebKit {
				t.Log("no window has the focus under this driver: a script of the test says that each page has it while it is visible")
			}

			green := a.visit(b, "/green")
			green.Click("h1")
			time.Sleep(1200 * time.Millisecond)
			black := a.visit(b, "/black")
			black.Click("h1")
			time.Sleep(700 * time.Millisecond)
			green.Hide()
			black.Click("p")
			time.Sleep(1800 * time.Millisecond)
			green.Show()
			green.Click("p")
			time.Sleep(1100 * time.Millisecond)
			black.Close()
			green.Click("h1")
			time.Sleep(600 * time.Millisecond)
			green.Close()

			// Both are there when the last that each page said is, and if not, the
			// next page brings it.
			paths := []string{"/green", "/black"}
			wrong := a.compare(t, paths)
			for deadline := time.Now().Add(10 * time.Second); wrong != "" && time.Now().Before(deadline); wrong = a.compare(t, paths) {
				time.Sleep(100 * time.Millisecond)
			}
			last := b.Open(a.url + "/stats")
			if wrong != "" {
				t.Log("before the next visit: " + wrong)
				for deadline := time.Now().Add(20 * time.Second); wrong != "" && time.Now().Before(deadline); wrong = a.compare(t, paths) {
					time.Sleep(100 * time.Millisecond)
				}
			}
			if wrong != "" {
				t.Error(wrong)
			}

			views, clocks := a.views(t), a.clocks(t)
			for _, path := range paths {
				v, c := views[path], clocks[path]
				t.Logf("%s: stored %.0f ms visible, %.0f engaged, %.0f open; its own clock, which began %.0f later, %.0f and %.0f",
					path, v.visible, v.engaged, v.open, c.From-v.start, c.Visible, c.Engaged)
			}
			if hidden := views["/green"].open - views["/green"].visible; hidden < 1500 {
				t.Errorf("/green was hidden for %.0f ms, want at least 1500", hidden)
			}
			if views["/green"].engaged == 0 || views["/black"].engaged == 0 {
				t.Error("a page was never engaged")
			}
			session := views["/green"].session
			if session == "" || session != views["/black"].session {
				t.Errorf("sessions %q and %q: want one", session, views["/black"].session)
			}

			// The page that says so is of the same session, and counts as well.
			last.WaitFor(`return !!document.getElementById("engaged") && !!globalThis.beacon?.session`)
			for deadline := time.Now().Add(timeout); a.number(t, session, "views") < 3; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("/stats is not counted")
				}
			}
			last.WaitFor(`return Number(document.getElementById("views").value) === 3`)
			last.WaitFor(`globalThis.before ??= document.getElementById("elapsed").value; return Number(elapsed.value) - Number(before) > 2`)
			last.Close()
			wrong = a.session(t, session)
			for deadline := time.Now().Add(20 * time.Second); wrong != "" && time.Now().Before(deadline); wrong = a.session(t, session) {
				time.Sleep(100 * time.Millisecond) // the last word may be under way
			}
			if wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// compare says what of the pages is not stored as they measured it.
func (a *analytics) compare(t *testing.T, paths []string) (wrong string) {
	views, clocks := a.views(t), a.clocks(t)
	for _, path := range paths {
		v, c := views[path], clocks[path]
		if v.session == "" || c.Page == "" {
			wrong += path + ": nothing\n"
			continue
		}
		if off(v.start, [2]float64{c.Since, c.From}) > within {
			wrong += fmt.Sprintf("%s: began at %.0f, want %.0f to %.0f\n", path, v.start, c.Since, c.From)
		}
		// What was before the clock: the page is opened in front, with the focus or not.
		before := max(0, c.From-v.start)
		visible := [2]float64{c.Visible[0] + before, c.Visible[1] + before}
		engaged := [2]float64{c.Engaged[0], c.Engaged[1] + before}
		if off(v.visible, visible) > within || off(v.engaged, engaged) > within {
			wrong += fmt.Sprintf("%s: %.0f ms visible and %.0f engaged, want %.0f and %.0f\n", path, v.visible, v.engaged, visible, engaged)
		}
	}
	return wrong
}

// off is how far a number is outside of a range.
func off(n float64, r [2]float64) float64 { return max(0, r[0]-n, n-r[1]) }

// session says in what the one session of the file, /stats and the page views disagree.
func (a *analytics) session(t *testing.T, session string) (wrong string) {
	var engaged, elapsed []float64
	a.query(t, `SELECT engaged, elapsed FROM beacon_sessions`, func(scan func(...any) error) error {
		var used, open float64
		err := scan(&used, &open)
		engaged, elapsed = append(engaged, used), append(elapsed, open)
		return err
	})
	if len(engaged) != 1 {
		return fmt.Sprintf("%d sessions, want 1", len(engaged))
	}
	if got := [2]float64{a.number(t, session, "engaged"), a.number(t, session, "elapsed")}; off(engaged[0], [2]float64{got[0], got[0]}) > 1e-6 || off(elapsed[0], [2]float64{got[1], got[1]}) > 1e-6 {
		wrong += fmt.Sprintf("/stats says that %v s of %v were engaged, and the database %v of %v\n", got[0], got[1], engaged[0], elapsed[0])
	}
	var sum, first, end float64
	for _, v := range a.views(t) {
		sum, end = sum+v.engaged, max(end, v.end)
		if first == 0 || v.start < first {
			first = v.start
		}
	}
	// Two windows of which each says that it has the focus are not twice the visitor.
	open := (end - first) / 1e3
	if want := min(sum/1e3, open); math.Abs(engaged[0]-want) > 1e-3 || math.Abs(elapsed[0]-open) > 1e-3 {
		wrong += fmt.Sprintf("a session of %v s, %v engaged: its page views make it %v and %v\n", elapsed[0], engaged[0], open, want)
	}
	return wrong
}
