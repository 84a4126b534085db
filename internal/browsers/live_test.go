package browsers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
)

// A liveSite is a site with the client's tag, and its live page behind /admin/live/.
type liveSite struct {
	*httptest.Server
	live *live.Live
}

// newLiveSite returns one whose page has these checks, or one that works and one that fails.
func newLiveSite(t *testing.T, checks ...live.Check) *liveSite {
	t.Helper()
	if len(checks) == 0 {
		checks = []live.Check{
			{Name: "spool", Healthy: func(context.Context) error { return nil }, Stats: func() any {
				return map[string]any{"stored": 4000, "pending_events": 12, "bytes": 123456, "oldest_ns": 1234567890, "sink_hangs": false, "last_sync": time.Now(),
					"sync_seconds": beacon.Histogram{Bounds: []float64{0.001, 0.25, 1}, Counts: []uint64{90, 9, 1, 0}}, "body_bytes": beacon.Histogram{Bounds: []float64{64}, Counts: []uint64{0, 7}}}
			}},
			{Name: "store", Healthy: func(context.Context) error { return errors.New("connection refused \u202e\x00") }},
		}
	}
	s := &liveSite{}
	var h *beacon.Handler
	var err error
	s.live, err = live.New(live.Options{
		Title:  "shop.example",
		Stats:  func() beacon.Stats { return h.Stats() },
		Checks: checks,
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err = beacon.New(beacon.Config{Sink: sink.Tee(sink.Required(s.live)), OnRefused: s.live.Refused})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/live/", http.StripPrefix("/admin/live", s.live))
	mux.HandleFunc("GET /shop/{page}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>Shop</title>%s<p>A page.</p>`, h.ScriptTag(client.Tag{}))
	})
	s.Server = httptest.NewServer(h.Middleware(mux))
	t.Cleanup(s.Close)
	t.Cleanup(func() { s.live.Close(context.Background()) })
	return s
}

// watch opens the live page, and reports errors of its console when the test ends.
func (s *liveSite) watch(t *testing.T, b *Browser) *Page {
	t.Helper()
	p := b.Open(s.URL + "/admin/live/")
	p.Eval(`window.faults = [];
		addEventListener("error", e => faults.push(String(e.message)));
		addEventListener("unhandledrejection", e => faults.push(String(e.reason)));
		addEventListener("securitypolicyviolation", e => faults.push(e.violatedDirective + " " + e.blockedURI));
		for (const how of ["error", "warn"]) { const was = console[how]; console[how] = (...a) => { faults.push(a.join(" ")); was(...a) } }`, nil)
	p.WaitFor(`return document.getElementById("connection").textContent === "live"`)
	return p
}

func (s *liveSite) faultless(t *testing.T, p *Page) {
	t.Helper()
	var faults []string
	if p.Eval(`return window.faults`, &faults); len(faults) > 0 {
		t.Errorf("the page complains: %q", faults)
	}
}

// TestLive: somebody visits a page of the site, and who looks sees the session being
// counted while it lasts, the events that make it, and what was refused.
func TestLive(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			b, s := Start(t, engine), newLiveSite(t)
			p := s.watch(t, b)
			p.Eval(`document.documentElement.dataset.same = "page"`, nil)
			visit := b.Open(s.URL + "/shop/shoes")
			visit.Hide() // which the page reports
			p.WaitFor(`return document.querySelectorAll("#rows tr").length === 1 && document.getElementById("n-open").textContent === "1"`)
			p.WaitFor(`return document.querySelector("#log .name")?.textContent === "session" && document.querySelector("#rows .pages").textContent === "/shop/shoes"`)
			// What was not heard yet is counted beside what was.
			since := `return Number(document.querySelector("#rows .since").textContent.replace(/[^0-9]/g, ""))`
			p.WaitFor(strings.Replace(since, "return ", "return 2 <= ", 1))

			var first float64
			p.Eval(`return parseFloat(document.querySelector("#rows .known").textContent)`, &first)
			visit.Show()
			visit.Eval(`beacon.log("put into the cart", {sku: "A-1"})`, nil)
			// What the server adds is in the line, too: the first line of it.
			p.Eval(`if (document.querySelector("#log .added")) throw new Error("nothing was added")`, nil)
			s.live.Consume(t.Context(), []beacon.Event{{ID: "a", Body: beacon.Text("an order"), Attrs: map[string]string{"user": "42\nand more"}}})
			p.WaitFor(`return [...document.querySelectorAll("#log .added")].map(e => e.textContent).join() === "user 42 …"`)
			time.Sleep(1200 * time.Millisecond)
			// Not closed yet: where a machine is slow, Firefox ends the scripts of a page that
			// closes, and then the next visit has to tell. TestDelivery is about that.
			visit.Hide()
			p.WaitFor(`return [...document.querySelectorAll("#log .gist")].some(e => e.textContent.includes("put into the cart"))`)
			p.WaitFor(fmt.Sprintf(`return parseFloat(document.querySelector("#rows .known").textContent) >= %g`, first+1))
			visit.Close()
			p.WaitFor(`return document.querySelectorAll("#rows .view").length === 1 && document.querySelectorAll("#rows .view > *").length >= 1`)
			p.WaitFor(`return document.getElementById("plot").getAttribute("aria-label").startsWith("Elapsed: median ")`)

			if resp, err := http.Post(s.URL+"/_pb", "text/plain", strings.NewReader(strings.Repeat("x", 2<<20))); err != nil || resp.StatusCode != 413 {
				t.Errorf("%v, %v", resp, err)
			} else {
				resp.Body.Close()
			}
			p.WaitFor(`return document.querySelector("#refusals .kind")?.textContent === "413" && document.getElementById("n-refused").textContent === "1"`)
			p.WaitFor(`const text = document.querySelector("#checks").textContent;
				return text.includes("sync seconds100, 99 % within 250.0 ms") && text.includes("body7, some above 64 bytes") && text.includes("pending events") && document.getElementById("n-health").textContent === "1 failing"`)

			// The session, by its link, with its events in order; and back.
			p.Click("#rows a")
			p.WaitFor(`return document.querySelector("dialog").open && location.hash.startsWith("#session=")`)
			p.WaitFor(`const names = [...document.querySelectorAll("#session-events .name")].map(e => e.textContent);
				return names.includes("log") && names.indexOf("session") >= 0 && document.querySelectorAll("#views tbody tr").length === 1`)
			var link string
			p.Eval(`return location.href`, &link)
			p.Click("#close")
			p.WaitFor(`return !document.querySelector("dialog").open && location.hash === "" && document.activeElement.closest("#rows") !== null`)

			// It stands still on demand, and then goes on.
			p.Click("#pause")
			before := 0
			p.Eval(`return document.querySelectorAll("#log li").length`, &before)
			if resp, err := http.Post(s.URL+"/_pb", "text/plain", strings.NewReader("while it stood still")); err == nil {
				resp.Body.Close()
			}
			p.WaitFor(`return document.getElementById("pause").textContent === "Go on (1 new)"`)
			after := 0
			if p.Eval(`return document.querySelectorAll("#log li").length`, &after); after != before {
				t.Errorf("%d events while it stood still, before %d", after, before)
			}
			p.Click("#pause")
			p.WaitFor(`return document.querySelector("#log .gist").textContent === "while it stood still"`)
			p.Eval(`const e = document.getElementById("only"); e.value = "cart"; e.dispatchEvent(new Event("input"))`, nil)
			p.WaitFor(`return [...document.querySelectorAll("#log > li:not([hidden])")].length === 1`)

			var same string
			if p.Eval(`return document.documentElement.dataset.same`, &same); same != "page" {
				t.Error("the page was loaded again")
			}
			s.faultless(t, p)
			p.Navigate("about:blank")
			p.Navigate(link)
			p.WaitFor(`return document.querySelector("dialog").open && document.querySelector("#session-title").textContent === "/shop/shoes"`)
		})
	}
}

const markup = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg onload=pwned=1>`

// hostileEvents are what a client could send to whoever looks.
func hostileEvents() []beacon.Event {
	now := time.Now()
	evil := "\u202e\u2066" + markup + "\x00\x1b[31m"
	start := fmt.Sprintf(`"start":%d,"end":%d,"engaged":-5,"seen":1e300`, now.UnixMilli()-60000, now.UnixMilli())
	events := []beacon.Event{
		{Name: evil, Page: "javascript:window.pwned=1", Session: "javascript:pwned=1", Body: beacon.Text(evil)},
		{Name: "session", Session: evil, View: evil, Page: "javascript:window.pwned=1//" + evil, Mode: beacon.ModeReplace, Seq: 1, Series: "t", Body: beacon.JSON(`{` + start + `,"ref":"javascript:pwned=1","name":"` + strings.ReplaceAll(markup, `"`, `\"`) + `"}`)},
		{Name: "session", Session: "__proto__", View: "constructor", Page: strings.Repeat("W", 5000), Mode: beacon.ModeReplace, Seq: 1, Series: "t", Body: beacon.JSON(`{` + start + `,"__proto__":{"pwned":1}}`)},
		{Body: beacon.Form{{Name: evil, Value: evil}, {Name: "", Value: ""}, {Name: "__proto__", File: &beacon.File{Name: evil, Type: evil, Data: []byte(evil)}}}, Query: beacon.Form{{Name: evil, Value: evil}}},
		{Body: beacon.Report{Type: evil, URL: "javascript:pwned=1", Body: []byte(`{"a":"</script><script>pwned=1</script>"}`)}},
		{Body: beacon.Ping{From: "javascript:pwned=1", To: "data:text/html," + markup}},
		{Body: beacon.Binary{Type: evil, Data: []byte(evil)}, Attrs: map[string]string{evil: evil}, Errors: []beacon.FieldError{{Key: evil, Value: evil, Reason: evil}}},
		{Body: beacon.JSON(`{"long":"` + strings.Repeat("m", 4000) + `"}`), Name: strings.Repeat("n", 3000)},
		{Body: beacon.JSON(strings.Repeat("[", 500) + strings.Repeat("]", 500)), Time: time.Unix(1<<40, 0), Received: time.Unix(1<<40, 0)},
	}
	// A visit of yesterday that comes now, and one of next year: nobody is here.
	for _, away := range []time.Duration{-24 * time.Hour, 365 * 24 * time.Hour} {
		at := now.Add(away)
		events = append(events, beacon.Event{Name: "session", Session: "away " + away.String(), View: "v", Mode: beacon.ModeReplace, Seq: 1, Series: "t", Sent: now,
			Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":1,"seen":2}`, at.UnixMilli()-1000, at.UnixMilli()))})
	}
	for i := range events {
		e := &events[i]
		if e.Received.IsZero() {
			e.Received, e.Time = now, now
		}
		e.ID = fmt.Sprint(i, evil)
		e.Request = beacon.Request{Method: evil, Path: evil, UserAgent: evil, Origin: evil}
	}
	return events
}

// TestLiveHostile: what clients send is text to who looks: it runs nothing, loads nothing
// and leads nowhere.
func TestLiveHostile(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			b, s := Start(t, engine), newLiveSite(t)
			p := s.watch(t, b)
			events := hostileEvents()
			s.live.Consume(t.Context(), events)
			r := httptest.NewRequest("POST", "/_pb", nil)
			r.Header.Set("Origin", markup)
			s.live.Refused(r, []byte(markup), &beacon.RequestError{Status: 400, Reason: markup, Err: errors.New(markup)})
			p.WaitFor(fmt.Sprintf(`return document.querySelectorAll("#log > li").length === %d && document.querySelectorAll("#rows tr").length === 4 && document.querySelectorAll("#refusals li").length === 1`, len(events)))
			p.Eval(`for (const d of document.querySelectorAll("details")) d.open = true`, nil)
			p.WaitFor(`return document.querySelectorAll(".whole").length === 12`)
			p.WaitFor(`return document.getElementById("n-here").textContent === "2" && document.getElementById("n-open").textContent === "2"`)
			for i := range 2 {
				p.Eval(fmt.Sprintf(`document.querySelectorAll("#rows a")[%d].click()`, i), nil)
				p.WaitFor(`return document.querySelector("dialog").open && document.querySelectorAll("#views tbody tr").length > 0`)
				p.Click("#close")
				p.WaitFor(`return !document.querySelector("dialog").open`)
			}
			var got struct {
				Pwned            bool
				Odd, Links, Bare []string
				Marked           int
				Over             int
			}
			p.Eval(`
				const all = [...document.querySelectorAll("body *")];
				return {
					pwned: window.pwned !== undefined || ({}).pwned !== undefined,
					odd: all.filter(e => ["IMG", "SCRIPT", "svg", "IFRAME"].includes(e.nodeName)).map(e => e.outerHTML),
					links: [...document.querySelectorAll("a")].filter(a => new URL(a.href).origin !== location.origin || a.pathname !== location.pathname).map(a => a.href),
					bare: all.filter(e => /[\u0000\u001b\u202e\u2066]/.test(e.textContent + [...e.attributes].map(a => a.value))).map(e => e.nodeName),
					marked: document.querySelectorAll(".unseen").length,
					over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
				}`, &got)
			if got.Pwned || len(got.Odd)+len(got.Links)+len(got.Bare) > 0 || got.Marked < 20 || got.Over > 0 {
				t.Errorf("%+v", got)
			}
			s.faultless(t, p)
		})
	}
}
