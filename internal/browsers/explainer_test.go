package browsers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// TestExplainer holds the client to the text it implements, in real browsers: the
// Page Unload Beacon explainer, with the errors of its last version. Where the client
// does something else, the row says what it does, and the table at the end of
// docs/client.md why.
func TestExplainer(t *testing.T) {
	configs := []struct {
		name   string
		engine Engine
		query  string
	}{
		{"chromium", Chromium, ""},
		{"chromium-without-fetchlater", Chromium, "without-fetchlater"},
		{"chromium-classes-alone", Chromium, "alone"},
		{"firefox", Firefox, ""},
		{"firefox-classes-alone", Firefox, "alone"},
		{"webkit", WebKit, ""},
	}
	parts := []struct {
		name string
		run  func(*explainer)
	}{
		{"api", (*explainer).api},
		{"timers", (*explainer).timers},
		{"hidden", (*explainer).hidden},
		{"payload", (*explainer).payload},
		{"large", (*explainer).large},
		{"cookies", (*explainer).cookies},
		{"redirects", (*explainer).redirects},
		{"cors", (*explainer).cors},
		{"life", (*explainer).life},
		{"crash", (*explainer).crash},
		{"secure contexts", (*explainer).secure},
	}
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := Start(t, c.engine)
			for _, part := range parts {
				t.Run(part.name, func(t *testing.T) {
					part.run(&explainer{newRecorder(t), t, b.For(t), c.engine, c.query})
				})
			}
		})
	}
}

// An explainer is one part of the suite in one browser.
type explainer struct {
	*recorder
	t      *testing.T
	b      *Browser
	engine Engine
	query  string // of the page, for the way it loads the client
}

// holds says whether the browser holds the beacons itself.
func (x *explainer) holds() bool { return x.engine == Chromium && x.query != "without-fetchlater" }

// alone says whether the page has the classes and nothing else.
func (x *explainer) alone() bool { return x.query == "alone" }

// open opens a page with the client, its classes in B.
func (x *explainer) open(more string) *Page {
	x.t.Helper()
	p := x.b.Open(x.near + "/page?" + x.query + "&" + more)
	p.WaitFor(explained)
	return p
}

// leave goes to a page that has no client.
func (x *explainer) leave(p *Page) {
	x.t.Helper()
	p.Navigate(x.near + "/empty")
}

const explained = `return globalThis.B && document.readyState === "complete"`

// A request is what a browser sent.
type request struct {
	Method, Host string
	URL          *url.URL
	Header       http.Header
	Body         string
	at           time.Time
}

func (r request) String() string {
	return fmt.Sprintf("%s %s%s %q %.80q", r.Method, r.Host, r.URL, r.Header.Get("Content-Type"), r.Body)
}

// A recorder is a server that writes pages, and writes down what they send. near is
// the site of the pages. beside is another origin of that site, and far another site;
// both have the same pages.
type recorder struct {
	near, beside, far string

	mu     sync.Mutex
	got    []request
	stored []beacon.Event
	missed bool // something did not come, so that there is no use in long waits
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	first := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(first.Close)
	second := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(second.Close)
	r.near, r.beside = first.URL, second.URL
	r.far = strings.Replace(second.URL, "127.0.0.1", "localhost", 1)
	return r
}

// serve answers
//
//	/page, /empty     a page, with the client and without
//	/listed/…         a collector that takes beacons of the pages' origin
//	/unlisted/…       one that takes those of its own only
//	/mute/…           one that takes everything and knows nothing of CORS
//	/redirect/307/…   a redirect to the URL in the parameter to
func (r *recorder) serve(w http.ResponseWriter, req *http.Request) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	sent := request{req.Method, req.Host, req.URL, req.Header.Clone(), "", time.Now()}
	h := w.Header()
	switch kind {
	case "listed", "unlisted":
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		sent.Body = string(body)
		config := beacon.Config{Sink: beacon.SinkFunc(r.consume)}
		if kind == "listed" {
			config.Origins = []string{r.near}
		}
		handler, err := beacon.New(config)
		if err != nil {
			panic(err)
		}
		r.record(sent)
		handler.ServeHTTP(w, req)
	case "mute":
		body, _ := io.ReadAll(req.Body)
		sent.Body = string(body)
		r.record(sent)
		w.WriteHeader(http.StatusNoContent)
	case "redirect":
		body, _ := io.ReadAll(req.Body)
		sent.Body = string(body)
		r.record(sent)
		code, _ := strconv.Atoi(strings.Split(req.URL.Path, "/")[2])
		// As a server of another origin has to, for the page to learn how it ended.
		h.Set("Access-Control-Allow-Origin", r.near)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Location", req.URL.Query().Get("to"))
		w.WriteHeader(code)
	case "empty":
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>")
	case "_pb": // the tag's session
		w.WriteHeader(http.StatusNoContent)
	case "page":
		http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "v", Path: "/", SameSite: http.SameSiteLaxMode})
		h.Set("Content-Type", "text/html; charset=utf-8")
		q := req.URL.Query()
		before := ""
		if q.Has("without-fetchlater") {
			before = `<script>delete globalThis.fetchLater</script>`
		}
		// The classes as B, and whatever reaches what is sent when.
		script := `<script src="/` + client.Script + `"></script><script>globalThis.B = beacon</script>`
		if q.Has("alone") {
			script = `<script type="module">import * as all from "/` + client.Core + `"; globalThis.B = all</script>`
		}
		fmt.Fprintf(w, "<!doctype html><title>page</title><link rel=icon href=data:,>%s%s<p>%s", before, script, q.Get("text"))
	default:
		client.Handler().ServeHTTP(w, req)
	}
}

func (r *recorder) consume(_ context.Context, events []beacon.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		r.stored = append(r.stored, e.Clone())
	}
	return nil
}

func (r *recorder) record(q request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, q)
}

// requests returns what came for the path, or for any, without what browsers ask in
// advance.
func (r *recorder) requests(path string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []request
	for _, q := range r.got {
		if (path == "" || q.URL.Path == path) && q.Method != http.MethodOptions {
			all = append(all, q)
		}
	}
	return all
}

// events returns how many different events are stored that have the mark in their query.
func (r *recorder) events(mark string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, e := range r.stored {
		if e.Query.Get("mark") == mark {
			ids[e.ID] = true
		}
	}
	return len(ids)
}

// patience is for what has to come. It is long, as the machine may be busy.
const patience = 20 * time.Second

// one waits for the one request for path, and a while for a second.
func (x *explainer) one(t *testing.T, path string) request {
	t.Helper()
	x.await(t, path, 1)
	time.Sleep(time.Until(x.requests(path)[0].at.Add(lull)))
	all := x.requests(path)
	if len(all) != 1 {
		t.Fatalf("%s: %d requests, want one: %v", path, len(all), all)
	}
	return all[0]
}

// lull is for what should not come.
const lull = 300 * time.Millisecond

// await waits for n requests for path.
func (x *explainer) await(t *testing.T, path string, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	if x.missed {
		deadline = time.Now().Add(lull)
	}
	for ; len(x.requests(path)) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			x.missed = true
			t.Fatalf("%s: %d requests came, want %d; all there were: %v", path, len(x.requests(path)), n, x.all())
		}
	}
}

// none says that there is no request for path, after a while.
func (x *explainer) none(t *testing.T, path string) {
	t.Helper()
	time.Sleep(lull)
	if got := x.requests(path); len(got) > 0 {
		t.Errorf("sent without reason: %v", got)
	}
}

// all returns all requests but preflights.
func (r *recorder) all() []request { return r.requests("") }

// A row is a claim about the API: script is the body of an async function with the
// classes in B, and returns what want is the JSON of.
type row struct{ name, script, want string }

// check runs rows, all at once, in one page.
func (x *explainer) check(p *Page, rows []row) {
	x.t.Helper()
	scripts := map[string]string{}
	for _, r := range rows {
		if scripts[r.name] != "" {
			x.t.Fatalf("two rows %q", r.name)
		}
		scripts[r.name] = r.script
	}
	var b strings.Builder
	b.WriteString(prelude + "const all = {\n")
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		fmt.Fprintf(&b, "%s: async () => {%s\n},\n", quote(name), scripts[name])
	}
	b.WriteString(`};
		const got = {};
		await Promise.all(Object.entries(all).map(async ([name, f]) => {
			try { got[name] = JSON.stringify(await f()) ?? "undefined" } catch (e) { got[name] = "threw " + e }
		}));
		return got;`)
	got := map[string]string{}
	p.Eval(b.String(), &got)
	for _, r := range rows {
		want := r.want
		if json.Valid([]byte(want)) {
			var v any
			json.Unmarshal([]byte(want), &v)
			compact, _ := json.Marshal(v)
			want = string(compact)
			json.Unmarshal([]byte(got[r.name]), &v)
			compact, _ = json.Marshal(v)
			got[r.name] = string(compact)
		}
		if got[r.name] != want {
			x.t.Errorf("%s: got %s, want %s", r.name, got[r.name], want)
		}
	}
}

// prelude is what rows and scripts share.
const prelude = `"use strict";
	const sleep = ms => new Promise(done => setTimeout(done, ms));
	/** The name of what f throws, or "". */
	const fails = f => { try { f(); return "" } catch (e) { return e.name } };
	const classes = ["PendingGetBeacon", "PendingPostBeacon", "AppendableBeacon", "ReplaceableBeacon"];
	/** Milliseconds until b is no longer pending, or -1 after limit. */
	const until = async (b, limit = 15000, then = performance.now()) => {
		while (b.pending) { if (performance.now() - then > limit) return -1; await sleep(5) }
		return performance.now() - then;
	};
`
