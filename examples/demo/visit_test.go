package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// report returns what the browser client reports of a page view: for how many seconds,
// since start, it was there, and engaged.
func report(session, view string, seq int, start time.Time, elapsed, engaged float64) beacon.Body {
	from := start.UnixMilli()
	end := from + int64(elapsed*1e3)
	return beacon.JSON(fmt.Sprintf(`{"v":1,"m":"replace","k":"s:%[1]s","b":"b%[2]d","r":1,"sid":%[3]q,"pv":%[1]q,"page":"http://localhost/", `+
		`"at":%[4]d,"ev":[{"n":%[2]d,"t":%[4]d,"e":"session","d":{"start":%[5]d,"end":%[4]d,"engaged":%[6]g,"seen":%[6]g}}]}`,
		view, seq, session, end, from, engaged*1e3))
}

type visited struct {
	Session *struct {
		Elapsed, Engaged float64
		Views            int
	}
	Until          float64
	Came           []came
	N              uint64
	Taken, Refused uint64
	Kept           int
	Dir            string
}

func TestVisit(t *testing.T) {
	dir := t.TempDir()
	d, h, out := startIn(t, dir)
	start := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	d.began = start
	for _, b := range []beacon.Body{
		report("mine", "one", 1, start, 5, 4), report("mine", "one", 2, start, 10, 8),
		report("mine", "two", 1, start.Add(20*time.Second), 10, 10), report("mine", "one", 1, start, 5, 4), // which was late
		report("other", "three", 1, start, 59, 59),
		session(strconv.FormatInt(start.UnixMilli(), 10), strconv.FormatInt(start.UnixMilli()+30_000, 10), "by hand"),
	} {
		if w := send(h, beacontest.NewRequest(endpoint, b)); w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
	}
	stored(t, d)
	check := func(h http.Handler) {
		t.Helper()
		var v visited
		get(t, h, "/api/visit?session=mine", &v)
		if v.Session == nil || v.Session.Elapsed != 30e3 || v.Session.Engaged != 18e3 || v.Session.Views != 2 {
			t.Errorf("elapsed 30 s, engaged 18 s in 2 page views are %+v", v.Session)
		}
		if want := float64(start.Add(30 * time.Second).UnixMilli()); v.Until != want {
			t.Errorf("until %v, want %v", v.Until, want)
		}
		if v.N < 5 || len(v.Came) > 0 || v.Kept < 5 || v.Dir != dir {
			t.Errorf("of what came: %+v", v)
		}
		for _, nobody := range []string{"", "?session=", "?session=nobody"} {
			v = visited{}
			if get(t, h, "/api/visit"+nobody, &v); v.Session != nil || v.Until != 0 {
				t.Errorf("%q has %+v", nobody, v)
			}
		}
	}
	check(h)
	if err := d.view.Load().tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "In session for: 30.00 seconds, engaged for 18.00 seconds, 2 page views\n"; !strings.Contains(out.String(), want) {
		t.Errorf("log without %q:\n%s", want, out)
	}

	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "Session ") && !strings.HasPrefix(line, "Session mine ") && !strings.HasPrefix(line, "Session other ") {
			t.Errorf("what was logged when it came is logged again: %s", line)
		}
	}

	if err := d.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, h, out := startIn(t, dir)
	check(h)
	if err := again.view.Load().tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "" {
		t.Errorf("what the last run logged is logged again:\n%s", out)
	}

	// A page that was open all the time hears of what comes now, and of nothing twice.
	for _, tt := range []struct{ after, want int }{{1, 0}, {1000, 0}, {1000, 1}} {
		if tt.want > 0 {
			send(h, beacontest.NewRequest(endpoint, beacon.Text("waited")))
			stored(t, again)
		}
		var v visited
		if get(t, h, fmt.Sprint("/api/visit?after=", tt.after), &v); len(v.Came) != tt.want {
			t.Errorf("after %d: %+v", tt.after, v.Came)
		}
	}
}

// TestLive: the live page has the events, those of the last run as well, and only pages of
// this server may show it in a frame.
func TestLive(t *testing.T) {
	dir := t.TempDir()
	d, h, _ := startIn(t, dir)
	send(h, beacontest.NewRequest(endpoint, beacon.Text("find me")))
	stored(t, d)
	if err := d.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, h, _ = startIn(t, dir)
	send(h, httptest.NewRequest(http.MethodDelete, endpoint, nil))
	w := send(h, httptest.NewRequest(http.MethodGet, "/live/", nil))
	if p := w.Header().Get("Content-Security-Policy"); w.Code != http.StatusOK || !strings.HasSuffix(p, "frame-ancestors 'self'") {
		t.Errorf("%d, policy %q", w.Code, p)
	}
	// One visit is one session, whatever else tells of it.
	send(h, beacontest.NewRequest(endpoint, report("mine", "one", 1, time.Now().Add(-10*time.Second), 5, 4)))
	now := time.Now().UnixMilli()
	send(h, beacontest.NewRequest(endpoint, session(strconv.FormatInt(now-9000, 10), strconv.FormatInt(now, 10), "by hand")))
	send(h, beacontest.NewRequest(endpoint, beacon.JSON(fmt.Sprintf(`{"start":%d}`, now-9000))))
	stored(t, d)
	shown := streamed(t, h)
	if _, list, _ := strings.Cut(shown, "event: sessions\n"); strings.Count(strings.SplitN(list, "\n\n", 2)[0], `"key":`) != 1 {
		t.Errorf("want one session:\n%s", list)
	}
	for _, want := range []string{"find me", `"reason":"method"`, `"name":"Spool"`, "event: stats"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the stream is without %s:\n%s", want, shown)
		}
	}
	_ = d
}

// streamed returns what the live page is told at first.
func streamed(t *testing.T, h http.Handler) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/live/stream", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	h.ServeHTTP(onlyWriter{w}, r) // without a flusher the stream ends after the first part
	return w.Body.String()
}

type onlyWriter struct{ http.ResponseWriter }

// TestForget: nothing of what was forgotten is left, and what comes then is kept.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	d, h, _ := startIn(t, dir)
	send(h, beacontest.NewRequest(endpoint, report("mine", "one", 1, time.Now(), 5, 4)))
	send(h, beacontest.NewRequest(endpoint, beacon.Text("secret")))
	stored(t, d)
	foreign := httptest.NewRequest(http.MethodPost, "/api/forget", nil)
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if w := send(h, foreign); w.Code != http.StatusForbidden || len(d.recent.all()) != 2 {
		t.Errorf("a page of another site: %d", w.Code)
	}
	if w := send(h, httptest.NewRequest(http.MethodPost, "/api/forget", nil)); w.Code != http.StatusNoContent {
		t.Errorf("%d", w.Code)
	}
	var v visited
	if get(t, h, "/api/visit?session=mine", &v); v.Session != nil || v.Kept != 0 {
		t.Errorf("still there: %+v", v)
	}
	data, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if shown := streamed(t, h); err != nil || len(data) > 0 || len(d.recent.all()) > 0 || strings.Contains(shown, "secret") {
		t.Errorf("still there: %q, %v\n%s", data, err, shown)
	}
	send(h, beacontest.NewRequest(endpoint, beacon.Text("another")))
	stored(t, d)
	if kept, stored := ids(t, d, dir); len(kept) != 1 || len(stored) != 1 || !strings.Contains(streamed(t, h), "another") {
		t.Errorf("then: %v, %v", kept, stored)
	}
}
