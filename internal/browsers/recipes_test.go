package browsers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// kitchen is a directory with the code of docs/browser-recipes.md, the libraries that it
// is for, and the client as the package that would be published.
type kitchen string

func newKitchen(t *testing.T) kitchen {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	k := kitchen(t.TempDir())
	page, err := os.ReadFile("../../docs/browser-recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```\\w+ (\\S+)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		k.write(t, string(m[1]), string(m[2]))
	}
	k.write(t, "package.json", `{"private": true, "type": "module"}`)
	client, err := filepath.Abs("../../client")
	if err != nil {
		t.Fatal(err)
	}
	tarball := k.run(t, "npm", "pack", "--silent", client)
	k.run(t, "npm", "install", "--no-fund", "--no-audit", "--silent", "./"+strings.TrimSpace(tarball),
		"web-vitals@6", "htmx.org@4", "@hotwired/turbo@8", "react@19", "react-dom@19", "esbuild@0.28")
	return k
}

func (k kitchen) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(k), name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (k kitchen) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(string(k), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (k kitchen) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = string(k)
	var output strings.Builder
	cmd.Stderr = &output
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, output.String())
	}
	return string(out)
}

// bundle makes one script of an entry and what it imports, as for development, where
// React runs effects twice.
func (k kitchen) bundle(t *testing.T, entry string) string {
	t.Helper()
	k.run(t, "node_modules/.bin/esbuild", entry, "--bundle", "--jsx=automatic", "--log-level=error",
		`--define:process.env.NODE_ENV="development"`, "--outfile=out.js")
	return k.read(t, "out.js")
}

// serve gives every path the page, but for the files.
func serve(t *testing.T, page string, files map[string]string) (*store, string) {
	t.Helper()
	s, h := newSink(t)
	srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if ok && strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		if !ok {
			body = page
		}
		fmt.Fprint(w, body)
	})))
	t.Cleanup(srv.Close)
	return s, srv.URL
}

// all returns the stored events of a name, in the order of their series and numbers.
func (s *store) all(name string) []beacon.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []beacon.Event
	for _, e := range s.events {
		if e.Name == name {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b beacon.Event) int {
		if c := strings.Compare(a.Series, b.Series); c != 0 {
			return c
		}
		return int(a.Seq - b.Seq)
	})
	return found
}

// views waits until n page views are known, and a moment for one too many, and returns
// the paths of their pages in the order in which they began.
func (s *store) views(t *testing.T, n int) []string {
	t.Helper()
	var paths []string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		known := map[string]beacon.PageView{}
		for _, e := range s.all("session") {
			v, ok := beacon.PageViewOf(e)
			if !ok {
				t.Fatalf("no page view: %+v", e)
			}
			if old, ok := known[e.View]; ok {
				v = old.Join(v)
			}
			known[e.View] = v
		}
		var views []beacon.PageView
		for _, v := range known {
			views = append(views, v)
		}
		slices.SortFunc(views, func(a, b beacon.PageView) int { return a.Start.Compare(b.Start) })
		paths = nil
		for _, v := range views {
			_, path, _ := strings.Cut(strings.TrimPrefix(v.Page, "http://"), "/")
			paths = append(paths, "/"+path)
		}
		if len(paths) >= n || time.Now().After(deadline) {
			break
		}
	}
	time.Sleep(300 * time.Millisecond)
	return paths
}

// messages returns what was logged, without what comes and goes.
func (s *store) messages(t *testing.T) []string {
	t.Helper()
	var messages []string
	for _, e := range s.all("log") {
		var d struct{ Msg string }
		if err := json.Unmarshal(fmt.Append(nil, e.Body), &d); err != nil {
			t.Fatalf("%s: %v", e.Body, err)
		}
		messages = append(messages, d.Msg)
	}
	slices.Sort(messages)
	return messages
}

// TestRecipes runs the code of docs/browser-recipes.md.
func TestRecipes(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	b := Start(t, Chromium)
	t.Run("web vitals", func(t *testing.T) { testVitals(t, k, b.For(t)) })
	t.Run("errors", func(t *testing.T) { testErrors(t, k, b.For(t)) })
	t.Run("htmx", func(t *testing.T) { testHTMX(t, k, b.For(t)) })
	t.Run("Turbo", func(t *testing.T) { testTurbo(t, k, b.For(t)) })
	t.Run("React", func(t *testing.T) { testReact(t, k, b.For(t)) })
}

func testVitals(t *testing.T, k kitchen, b *Browser) {
	k.write(t, "entry.js", `
		import { init } from "@pagebeacon/beacon";
		import { reportVitals } from "./vitals.js";
		init();
		reportVitals();
		addEventListener("pageshow", (e) => { if (e.persisted) globalThis.persisted = true; });`)
	s, url := serve(t, `<!doctype html><h1 style="margin: 0">A headline</h1><button>Click</button><script src="/app.js"></script>`,
		map[string]string{"/app.js": k.bundle(t, "entry.js"), "/away": "<!doctype html><p>away"})
	p := b.Open(url + "/page")
	p.WaitFor(`return document.readyState === "complete"`)
	p.Click("button")
	// A shift half a second after the click is not of its making.
	p.Eval(`await new Promise(done => setTimeout(done, 800));
		const p = document.createElement("p"); p.style.height = "200px"; document.body.prepend(p);
		await new Promise(done => setTimeout(done, 500))`, nil)
	p.Navigate(url + "/away")
	// Of each metric, the last event of each of its series.
	last := func(wait int) map[string][]beacon.Event {
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			metrics, n, series := map[string][]beacon.Event{}, 0, ""
			for _, e := range s.all("vital") {
				var d struct{ Name string }
				if err := json.Unmarshal(fmt.Append(nil, e.Body), &d); err != nil || e.Mode != beacon.ModeReplace {
					t.Fatalf("%s: %v, mode %v", e.Body, err, e.Mode)
				}
				of := metrics[d.Name]
				if e.Series == series && len(of) > 0 {
					of[len(of)-1] = e
				} else {
					metrics[d.Name] = append(of, e)
					n++
				}
				series = e.Series
			}
			if n >= wait || time.Now().After(deadline) {
				return metrics
			}
		}
	}
	time.Sleep(300 * time.Millisecond)
	got := last(5)
	for _, name := range []string{"CLS", "FCP", "INP", "LCP", "TTFB"} {
		var d struct{ Value float64 }
		if len(got[name]) != 1 || json.Unmarshal(fmt.Append(nil, got[name][0].Body), &d) != nil || d.Value <= 0 {
			t.Errorf("%s: %+v, want one value", name, got[name])
		}
	}
	if cls := got["CLS"]; len(cls) == 1 && cls[0].Seq < 2 {
		t.Errorf("CLS is value %d of its series: it began as 0", cls[0].Seq)
	}
	// A browser is free not to keep the page, which is then measured as another one.
	p.Eval(`history.back()`, nil)
	p.WaitFor(`return location.pathname === "/page" && document.readyState === "complete"`)
	time.Sleep(500 * time.Millisecond)
	p.Navigate(url + "/away")
	if got := last(8); len(got["LCP"]) != 2 || len(got["CLS"]) != 2 {
		t.Errorf("shown twice, got %+v", got)
	}
}

func testErrors(t *testing.T, k kitchen, b *Browser) {
	k.write(t, "entry.js", `
		import { init } from "@pagebeacon/beacon";
		import { reportErrors } from "./errors.js";
		init();
		globalThis.report = reportErrors();
		globalThis.fail = (text) => { throw new TypeError(text); };`)
	s, url := serve(t, `<!doctype html><script src="/app.js?v=secret"></script>`, map[string]string{"/app.js": k.bundle(t, "entry.js")})
	p := b.Open(url + "/page")
	p.WaitFor(`return typeof fail === "function"`)
	p.Eval(`for (let i = 0; i < 5; i++) setTimeout(fail, 0, "same");
		Promise.reject(new RangeError("refused at https://example.com/x?token=secret")); Promise.reject("only text"); Promise.reject(undefined);
		report({ get message() { throw new Error("hostile"); } });
		await new Promise(done => setTimeout(done, 200))`, nil)
	p.Close()
	s.eventually(t, 4, `"msg":"error"`, 10*time.Second)
	s.eventually(t, 1, `"message":"same"`, 0)
	s.eventually(t, 1, `"name":"TypeError"`, 0)
	s.eventually(t, 3, `"kind":"rejection"`, 0)
	s.eventually(t, 1, `refused at https://example.com/x"`, 0)
	s.eventually(t, 1, `"message":"only text"`, 0)
	s.eventually(t, 0, "secret", 0)

	s, url = serve(t, `<!doctype html><script src="/app.js"></script>`, map[string]string{"/app.js": k.read(t, "out.js")})
	p = b.Open(url + "/page")
	p.WaitFor(`return typeof fail === "function"`)
	p.Eval(`for (let i = 0; i < 100; i++) setTimeout(fail, 0, "number " + i); await new Promise(done => setTimeout(done, 300))`, nil)
	p.Close()
	s.eventually(t, 20, `"msg":"error"`, 10*time.Second)
}

func testHTMX(t *testing.T, k kitchen, b *Browser) {
	s, url := serve(t, k.read(t, "htmx.html"), map[string]string{
		"/htmx.min.js": k.read(t, "node_modules/htmx.org/dist/htmx.min.js"),
		"/partial":     `<p id="came">partial <a id="out" href="https://other.example/x?secret" onclick="event.preventDefault()">out</a>`,
		"/pushed":      `<p id="came">pushed`,
	})
	p := b.Open(url + "/start?q=secret")
	p.WaitFor(ready)
	p.Eval(`globalThis.same = true`, nil)
	p.Click("#partial")
	p.WaitFor(`return !!document.querySelector("#came")`)
	p.Click("#out")
	p.Click("#push")
	p.WaitFor(`return location.pathname === "/pushed"`)
	p.Click("#link")
	p.WaitFor(`return location.pathname === "/next" && !document.querySelector("#came")`)
	p.Eval(`history.back()`, nil)
	p.WaitFor(`return location.pathname === "/pushed"`)
	time.Sleep(300 * time.Millisecond)
	var same bool
	if p.Eval(`return !!globalThis.same`, &same); !same {
		t.Error("the page was loaded anew: nothing is shown")
	}
	p.Close()
	if diff := cmp.Diff([]string{"/start", "/pushed", "/next", "/pushed"}, s.views(t, 4)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"outbound"}, s.messages(t)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	s.eventually(t, 0, "secret", 0)
}

func testTurbo(t *testing.T, k kitchen, b *Browser) {
	page := strings.Replace(k.read(t, "turbo.html"), "</body>", `<a id="out" href="https://other.example/" onclick="event.preventDefault()">out</a>
		<script>globalThis.bodies = (globalThis.bodies || 0) + 1</script><script src="/_pb.js"></script></body>`, 1)
	s, url := serve(t, page, map[string]string{"/turbo.js": k.read(t, "node_modules/@hotwired/turbo/dist/turbo.es2017-umd.js")})
	p := b.Open(url + "/start")
	p.WaitFor(ready)
	p.WaitFor(`return typeof Turbo === "object"`)
	p.Click("#link")
	p.WaitFor(`return location.pathname === "/next" && bodies === 2`)
	p.Eval(`history.back()`, nil)
	p.WaitFor(`return location.pathname === "/start" && bodies >= 3`)
	p.Eval(`Turbo.visit("/last")`, nil)
	p.WaitFor(`return location.pathname === "/last" && bodies >= 4`)
	time.Sleep(300 * time.Millisecond)
	p.Click("#out") // several scripts listen by now, as one
	p.Eval(`beacon.log("said once")`, nil)
	p.Close()
	if diff := cmp.Diff([]string{"/start", "/next", "/start", "/last"}, s.views(t, 4)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"outbound", "said once"}, s.messages(t)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func testReact(t *testing.T, k kitchen, b *Browser) {
	s, url := serve(t, `<!doctype html><div id="root"></div><script src="/app.js"></script>`, map[string]string{"/app.js": k.bundle(t, "main.jsx")})
	p := b.Open(url + "/checkout")
	for step := 1; step <= 2; step++ {
		p.WaitFor(fmt.Sprintf(`return document.querySelector("#next")?.textContent === "Step %d"`, step))
		p.Click("#next")
	}
	p.WaitFor(`return document.querySelector("#next")?.textContent === "Step 3"`)
	time.Sleep(300 * time.Millisecond)
	p.Close()
	if diff := cmp.Diff([]string{"/checkout", "/checkout/2", "/checkout/3"}, s.views(t, 3)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"checkout shown", "next", "next"}, s.messages(t)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	values := s.all("checkout")
	if len(values) == 0 {
		t.Fatal("no value of useLastValue")
	}
	last := values[len(values)-1]
	if body := fmt.Sprintf("%s", last.Body); last.Series != values[0].Series || body != `{"step":3}` {
		t.Errorf("useLastValue: %s in series %s and %s", body, last.Series, values[0].Series)
	}
}
