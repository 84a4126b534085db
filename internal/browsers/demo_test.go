package browsers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// A demo is the program of examples/demo, running.
type demo struct{ *program }

func startDemo(t *testing.T) *demo {
	t.Helper()
	return &demo{startProgram(t, "../..", "./examples/demo", t.TempDir())}
}

// events returns what the server has decoded so far, oldest first.
func (d *demo) events(t *testing.T) []beacon.Event {
	t.Helper()
	res, err := http.Get(d.url + "api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var events []beacon.Event
	if err := json.NewDecoder(res.Body).Decode(&events); err != nil {
		t.Fatal(err)
	}
	return events
}

// waitFor waits until the events that match are as many as wanted.
func (d *demo) waitFor(t *testing.T, n int, match func(beacon.Event) bool) []beacon.Event {
	t.Helper()
	var found []beacon.Event
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		found = nil
		for _, e := range d.events(t) {
			if match(e) {
				found = append(found, e)
			}
		}
		if len(found) >= n {
			break
		}
	}
	return found
}

// hello is the JSON of several of the demo's samples.
const hello = `{"msg":"hello","stars":5,"tags":["a","ü","✓"]`

// wanted is what each kind of sample has to decode to, one body an event.
var wanted = map[string][]beacon.Body{
	"none":            {beacon.Empty{}},
	"string":          {beacon.Text("Grüße, 世界 👋\nfrom a second line")},
	"json-text":       {beacon.JSON(hello + "}")},
	"json-blob":       {beacon.JSON(hello + `,"start":0}`)},
	"urlsearchparams": {beacon.Form{{Name: "q", Value: "salt & pepper"}, {Name: "q", Value: "100 %"}, {Name: "ä", Value: "é"}}},
	"formdata": {beacon.Form{
		{Name: "plain", Value: "value"},
		{Name: "plain", Value: "a second value of that name"},
		{Name: `with "quotes"`, Value: `"quoted" & <b>not bold</b>`},
		{Name: "with a\r\nline break", Value: "first line\r\nsecond line"},
		{Name: "größe ✓", Value: "übergroß"},
		{Name: "long", Value: strings.TrimSpace(strings.Repeat("All work and no play makes a dull value. ", 30))},
		{Name: "file", File: &beacon.File{Name: `résumé "final".csv`, Type: "text/csv", Data: []byte("name,stars\r\n\"Zoë\",5\r\n")}},
		{Name: "empty file", File: &beacon.File{Name: "empty.bin", Type: "application/octet-stream", Data: []byte{}}},
	}},
	"arraybuffer": {beacon.Binary{Data: []byte{0, 1, 2, 127, 128, 254, 255}}},
	"blob":        {beacon.Binary{Type: "application/octet-stream", Data: sevens()}},
	"gzip":        {beacon.JSON(hello + `,"note":"` + strings.TrimSpace(strings.Repeat("as long as it likes ", 20)) + `"}`)},
	"ndjson":      {beacon.JSON(`{"step":1}`), beacon.JSON(`{"step":2}`), beacon.Binary{Type: "application/x-ndjson", Data: []byte("this line is not JSON")}},
	"fetch":       {beacon.JSON(hello + "}")},
	"fetchlater":  {beacon.Text("Later is now.")},
	"pixel":       {beacon.Empty{}},
}

func sevens() []byte {
	b := make([]byte, 96)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// TestDemo is the main job as people do it: the demo runs, a browser opens its
// page, sends a beacon of each kind, and closes the page.
func TestDemo(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			d := startDemo(t)
			b := Start(t, engine)
			fmt.Printf("browser: %s\n", b.Version())
			p := b.Open(d.url)
			p.WaitFor(`return document.getElementById("live").contentDocument?.getElementById("connection")?.textContent === "live"`)
			opened := time.Now()

			var results []struct {
				Kind, Reason string
				Sent         bool
			}
			p.Eval(`return await demo.sendAll()`, &results)
			seen := 0
			for _, r := range results {
				absent := r.Kind == "fetchlater" && engine != Chromium || r.Kind == "ping" && engine == Firefox
				if !r.Sent && !absent {
					t.Errorf("%s was not sent: %s", r.Kind, r.Reason)
				}
				if !absent {
					checkSample(t, d, p, r.Kind)
					seen++
				}
			}
			if min := len(wanted) + 3 - 2; seen < min {
				t.Errorf("%d kinds, want at least %d", seen, min)
			}

			// Beside the controls is what the server says it decoded.
			p.WaitFor(`return document.getElementById("live").contentDocument.body.textContent.includes("Grüße, 世界 👋")`)

			// Without consent, as it is at first, the page has nothing to say. Without its
			// endpoint it keeps what it has to say.
			log := func(msg string) {
				p.Eval(`document.getElementById("message").value = "`+msg+`"`, nil)
				p.Click("#log")
			}
			logged := func(msg string) func(beacon.Event) bool {
				return func(e beacon.Event) bool { return e.Name == "log" && strings.Contains(fmt.Sprintf("%s", e.Body), msg) }
			}
			status := func(part string) {
				t.Helper()
				p.WaitFor(`return document.getElementById("log-status").textContent.includes("` + part + `")`)
			}
			session := func(e beacon.Event) bool { return len(e.Query) == 0 && e.Body.Kind() == "form" }
			adhoc := func(part string) {
				t.Helper()
				p.Click("#send-adhoc")
				p.WaitFor(`return document.getElementById("adhoc-status").textContent.includes("` + part + `")`)
			}
			log("said without consent")
			status("you have not agreed")
			adhoc("you have not agreed")
			p.Click("#consent")
			status("Nothing waits on this device")
			adhoc("Sent: it arrived ")
			if got := d.waitFor(t, 1, session); len(got) != 1 {
				t.Fatalf("%d ad-hoc beacons", len(got))
			}
			p.WaitFor(`return visit.server().session !== undefined`)
			p.Click("#offline")
			status("hangs up")
			log("said offline")
			status("1 waiting on this device: the endpoint does not answer")
			time.Sleep(300 * time.Millisecond)
			p.Click("#offline")
			status("Sent: it arrived")
			if got := d.waitFor(t, 1, logged("said offline")); len(got) != 1 {
				t.Errorf("what was logged offline arrived %d times", len(got))
			}
			p.Click("#consent")
			log("said after a denial")
			status("you have not agreed")
			time.Sleep(100 * time.Millisecond)
			p.Click("#consent")
			p.Click("#goodbye")

			time.Sleep(200 * time.Millisecond) // a page closed in its first moments is another test's subject
			p.Close()
			got := d.waitFor(t, 2, session)
			if len(got) != 2 {
				t.Fatalf("%d session beacons after the page was closed, want 2\n%s", len(got), d.logged())
			}
			if got := d.waitFor(t, 1, func(e beacon.Event) bool { return e.Name == "session" && e.Mode == beacon.ModeReplace }); len(got) == 0 {
				t.Error("no session from the browser client")
			} else if s, err := beacon.SessionOf(got...); err != nil || s.Duration() <= 0 {
				t.Errorf("the browser client's session: %v, %v", s, err)
			}
			silent := func(e beacon.Event) bool {
				return logged("said without consent")(e) || logged("said after a denial")(e)
			}
			if got := d.waitFor(t, 0, silent); len(got) != 0 {
				t.Errorf("sent without consent: %+v", got)
			}
			s, err := beacon.SessionOf(got[1])
			if longest := time.Since(opened) + time.Minute; err != nil || s.Duration() <= 0 || s.Duration() > longest {
				t.Errorf("session of %v, %v", s, err)
			}
			if want := "In session for: " + s.String(); !strings.Contains(d.logged(), want) || !strings.Contains(d.logged(), "Tracking info: ") {
				t.Errorf("log without %q:\n%s", want, d.logged())
			}
		})
	}
}

func checkSample(t *testing.T, d *demo, p *Page, kind string) {
	t.Helper()
	want, known := wanted[kind]
	n := max(1, len(want))
	if kind == "reports" {
		n = 3
	}
	got := d.waitFor(t, n, func(e beacon.Event) bool { return e.Query.Get("kind") == kind })
	if len(got) != n {
		t.Errorf("%s: %d events, want %d", kind, len(got), n)
		return
	}
	e := got[0]
	switch kind {
	case "ping":
		var page string
		p.Eval(`return location.origin + "/"`, &page)
		if b, ok := e.Body.(beacon.Ping); !ok || b.To != page+"#pinged" && b.To != page || !strings.HasPrefix(b.From, page) || e.Name != "ping" {
			t.Errorf("ping: %+v", e.Body)
		}
	case "report":
		b, ok := e.Body.(beacon.Report)
		var v struct{ EffectiveDirective, DocumentURL string }
		if err := e.Bind(&v); !ok || err != nil || b.Type != "csp-violation" || v.EffectiveDirective != "style-src-attr" || v.DocumentURL != b.URL {
			t.Errorf("report: %+v, %+v, %v", e.Body, v, err)
		}
	case "reports":
		kinds := []string{got[0].Name, got[1].Body.Kind(), got[2].Name}
		if diff := cmp.Diff([]string{"deprecation", "json", "crash"}, kinds); diff != "" || len(got[1].Errors) != 1 {
			t.Errorf("reports (-want +got)\n%s%v", diff, got[1].Errors)
		}
		if age := got[2].Received.Sub(got[2].Time); age != 90*time.Second {
			t.Errorf("crash happened %v before the report", age)
		}
	default:
		if !known {
			t.Errorf("no expectation for %q", kind)
			return
		}
		for i := range want {
			body := got[i].Body
			if kind == "json-blob" {
				body = withoutStart(body)
			}
			if diff := cmp.Diff(want[i], body); diff != "" {
				t.Errorf("%s: event %d (-want +got)\n%s", kind, i, diff)
			}
		}
		if encoding := e.Request.Encoding; (encoding == "gzip") != (kind == "gzip") {
			t.Errorf("%s: encoding %q", kind, encoding)
		}
		if kind == "pixel" && e.Query.Get("msg") != "pixel" {
			t.Errorf("pixel: query %v", e.Query)
		}
	}
}

// withoutStart replaces the one value that differs each time.
func withoutStart(b beacon.Body) beacon.Body {
	j, ok := b.(beacon.JSON)
	if !ok {
		return b
	}
	before, _, _ := strings.Cut(string(j), `"start":`)
	return beacon.JSON(before + `"start":0}`)
}
