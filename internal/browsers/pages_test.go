package browsers

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
)

// fragments returns the named code of a page of the documentation.
func fragments(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```\\w+ (\\S+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[2]
	}
	return found
}

// TestPages runs the pages of docs/browser-recipes.md and docs/client.md that need no
// other library, in all engines at once; and meanwhile has a program with a Watcher tell
// the engines' beacons apart.
func TestPages(t *testing.T) {
	t.Parallel()
	code := fragments(t, "docs/browser-recipes.md")
	reference := fragments(t, "docs/client.md")
	srv := underTest(t, func(h *beacon.Handler, _ *http.Request) string { return string(h.ScriptTag(client.Tag{})) })
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			b := Start(t, engine)
			t.Run("watcher", func(t *testing.T) { testWatcher(t, b.For(t), srv) })
			for name, test := range map[string]func(*testing.T, *Browser, map[string]string){
				"static": testStatic, "history": testHistory, "hash": testHash, "early": testEarly, "consent": testConsent,
				"gpc": testGPC, "policy": testPolicy, "token": testTokenOfNow, "worker": testWorker,
			} {
				t.Run(name, func(t *testing.T) { test(t, b.For(t), code) })
			}
			t.Run("reference", func(t *testing.T) { testReference(t, b.For(t), reference) })
		})
	}
}

// has fails t unless the page has the fragments.
func has(t *testing.T, code map[string]string, names ...string) {
	t.Helper()
	for _, name := range names {
		if code[name] == "" {
			t.Fatalf("no fragment %s", name)
		}
	}
}

func testStatic(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "static.html")
	s, url := serve(t, code["static.html"], nil)
	p := b.Open(url + "/some/page.html?query")
	p.WaitFor(ready)
	p.leave()
	if diff := cmp.Diff([]string{"/some/page.html"}, s.views(t, 1)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
}

// leave goes on to a document of the same origin that has no script. How much arrives of a
// page whose window is closed, on a machine that is busy, is counted elsewhere: see
// [TestDelivery].
func (p *Page) leave() {
	p.b.t.Helper()
	var origin string
	p.Eval(`return location.origin`, &origin)
	p.Navigate(origin + "/_pb.mjs")
}

// has waits until the page has begun so many views after the first: with each, the one
// before is reported.
func (s *store) has(t *testing.T, views int) {
	t.Helper()
	if got := s.views(t, views); len(got) != views {
		t.Errorf("views that are over: %q", got)
	}
}

func testHistory(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "history.html")
	s, url := serve(t, code["history.html"], nil)
	p := b.Open(url + "/")
	p.WaitFor(ready)
	p.Click("#cart")
	p.WaitFor(`return location.pathname === "/cart"`)
	s.has(t, 1)
	p.Click("#sorted")
	p.WaitFor(`return location.search === "?sort=price"`)
	time.Sleep(700 * time.Millisecond) // which is longer than anybody takes to see it, and it is none
	p.Eval(`history.go(-2)`, nil)
	p.WaitFor(`return location.pathname === "/"`)
	s.has(t, 2)
	p.Eval(`history.replaceState(null, "", "/replaced")`, nil)
	s.has(t, 3)
	p.leave()
	if diff := cmp.Diff([]string{"/", "/cart", "/", "/replaced"}, s.views(t, 4)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
}

func testHash(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "hash.html")
	s, url := serve(t, code["hash.html"], nil)
	p := b.Open(url + "/")
	p.WaitFor(ready)
	p.Click("#cart")
	p.WaitFor(`return location.hash === "#/cart"`)
	s.has(t, 1)
	p.Click("#pay")
	s.has(t, 2)
	p.leave()
	if diff := cmp.Diff([]string{"/", "/#/cart", "/#/cart"}, s.views(t, 3)); diff != "" {
		t.Errorf("page views (-want +got):\n%s", diff)
	}
	s.eventually(t, 1, `"plan":"pro"`, 0)
	s.eventually(t, 1, `"name":"payment"`, 0)
}

func testEarly(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "early.html")
	const place = "/* the text of client.Stub() */"
	if !strings.Contains(code["early.html"], place) {
		t.Fatalf("no %s", place)
	}
	s, h := newSink(t)
	app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, strings.Replace(code["early.html"], place, client.Stub(), 1))
	}))
	called := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_pb.js" {
			<-called // the page comes first
		}
		app.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	time.AfterFunc(time.Second, func() { close(called) })
	p := b.Open(srv.URL + "/")
	p.WaitFor(`return !!globalThis.beacon?.PendingPostBeacon`)
	p.leave()
	s.eventually(t, 1, `"msg":"shown"`, 30*time.Second)
}

// A forgetter is the host's own route by which a session is forgotten.
type forgetter struct {
	mu   sync.Mutex
	said []string
}

func (f *forgetter) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, string(b))
}

func testConsent(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "consent.html", "consent.js")
	s, h := newSink(t)
	f := &forgetter{}
	mux := http.NewServeMux()
	mux.Handle("/forget", f)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if path.Ext(name) == ".js" {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, code[name])
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Query().Has("gpc") {
			fmt.Fprint(w, `<script>Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => true, configurable: true})</script>`)
		}
		html := code["consent.html"]
		if r.URL.Query().Has("blocked") { // by an extension, which leaves the page without the client
			html = strings.Replace(html, "/_pb.js", "/blocked.js", 1)
		}
		fmt.Fprint(w, html)
	})
	srv := httptest.NewServer(h.Middleware(mux))
	t.Cleanup(srv.Close)
	visit := func(path string) *Page {
		t.Helper()
		p := b.Open(srv.URL + path)
		p.WaitFor(ready)
		return p
	}
	const asks = `return !document.querySelector("#ask").hidden`
	const silent = `return document.querySelector("#ask").hidden`
	quiet := func(p *Page, what string) {
		t.Helper()
		var keys int
		p.Eval(storedKeys, &keys)
		if n := s.count(""); n != 0 || keys != 0 {
			t.Errorf("%s: %d events, %d keys stored", what, n, keys)
		}
	}

	p := visit("/?gpc") // which has answered
	p.WaitFor(silent)
	p.leave()
	p = visit("/first")
	p.WaitFor(asks)
	p.Eval(`beacon.log("said before the answer")`, nil)
	time.Sleep(pause(1))
	quiet(p, "before the answer")
	p.Click("#yes")
	p.WaitFor(silent)
	p.leave()
	s.eventually(t, 1, "said before the answer", 30*time.Second)

	p = visit("/second") // remembers
	p.WaitFor(silent)
	p.Eval(`beacon.log("said on the second visit")`, nil)
	p.leave()
	s.eventually(t, 1, "said on the second visit", 30*time.Second)

	p = visit("/third")
	session := ""
	p.Eval(`return beacon.session`, &session)
	p.Click("#change")
	p.WaitFor(asks)
	p.Click("#no")
	p.WaitFor(silent)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		f.mu.Lock()
		said := strings.Join(f.said, ",")
		f.mu.Unlock()
		if said == session && said != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("forget %q, want %q", said, session)
		}
	}
	p.Eval(`beacon.log("said after the denial")`, nil)
	p.leave()
	p = visit("/fourth")
	p.WaitFor(silent)
	p.Eval(`beacon.log("said after the denial")`, nil)
	var keys int
	if p.Eval(storedKeys, &keys); keys != 0 {
		t.Errorf("%d keys are stored after the denial", keys)
	}
	p.Click("#change")
	p.Click("#yes")
	p.Eval(`beacon.log("said after all")`, nil)
	p.leave()
	s.eventually(t, 1, "said after all", 30*time.Second)
	s.eventually(t, 0, "said after the denial", 0)
	p = visit("/fifth")
	p.Eval(`localStorage.clear()`, nil)
	p.leave()
	p = b.Open(srv.URL + "/?blocked")
	p.WaitFor(asks)
	p.Click("#no")
	p.WaitFor(silent)
	p.Navigate(srv.URL + "/again?blocked")
	p.WaitFor(`return document.readyState === "complete" && document.querySelector("#ask").hidden`)
	p.Eval(`localStorage.clear()`, nil)
	p.leave()
}

// testGPC: what the client holds back, and what the host does with what pages send
// without it.
func testGPC(t *testing.T, b *Browser, _ map[string]string) {
	page := `<!doctype html><script>Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => true, configurable: true})</script>
		<script src="/_pb.js" %s async></script>`
	s, url := serve(t, fmt.Sprintf(page, ""), map[string]string{"/flag": fmt.Sprintf(page, `data-gpc="flag"`)})
	p := b.Open(url + "/block")
	p.WaitFor(ready)
	p.Eval(`beacon.consent("granted"); beacon.log("said with GPC")`, nil)
	p.Navigate(url + "/flag")
	p.WaitFor(ready)
	p.Eval(`beacon.log("said with a flag")`, nil)
	p.leave()
	s.eventually(t, 1, "said with a flag", 30*time.Second)
	s.eventually(t, 0, "said with GPC", 0)
	for _, e := range s.all("log") {
		if !e.Privacy.GPC {
			t.Errorf("not marked: %+v", e)
		}
	}
}

// TestGPCDropped: the header by itself, for beacons of pages without the client.
func TestGPCDropped(t *testing.T) {
	var events beacontest.Recorder
	h, err := beacon.New(beacon.Config{
		Sink: &events,
		Enrich: func(_ *http.Request, e *beacon.Event) error {
			if e.Privacy.GPC {
				return beacon.ErrDrop // answered as if it had been taken, and counted as dropped
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, gpc := range []string{"1", "0"} {
		r := beacontest.NewRequest("/_pb", beacon.Text("left"))
		r.Header.Set("Sec-GPC", gpc)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
			t.Errorf("%d", w.Code)
		}
	}
	if s := h.Stats(); s.Dropped != 1 || len(events.Events()) != 1 {
		t.Errorf("%+v", s)
	}
}

// testPolicy counts what the policies of the recipes stop, as browsers report it: nothing
// of the client's, and what a page tries besides.
func testPolicy(t *testing.T, b *Browser, _ map[string]string) {
	s, h := newSink(t)
	app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/nonce":
			nonce := rand.Text()
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; connect-src 'self'; img-src 'self'; base-uri 'none'; "+
				"require-trusted-types-for 'script'; trusted-types 'none'; report-uri /_pb")
			fmt.Fprint(w, "<!doctype html>", h.ScriptTag(client.Tag{Nonce: nonce, Queue: true, Auto: true}))
		case "/hash":
			policy := "default-src 'none'; script-src 'self' '" + client.StubIntegrity() + "'; connect-src 'self'; img-src 'self'; base-uri 'none'; report-uri /_pb"
			w.Header().Set("Content-Security-Policy", policy)
			fmt.Fprint(w, "<!doctype html>", h.ScriptTag(client.Tag{Queue: true, Auto: true, Integrity: true}))
		default:
			http.NotFound(w, r)
			return
		}
		if r.URL.Query().Has("bad") {
			fmt.Fprint(w, "<script>document.title = 'not allowed'</script>")
		}
	}))
	srv := httptest.NewServer(app)
	t.Cleanup(srv.Close)
	for _, path := range []string{"/nonce", "/hash"} {
		p := b.Open(srv.URL + path)
		p.WaitFor(`return document.readyState === "complete" && !!globalThis.beacon?.PendingPostBeacon`)
		p.Eval(`beacon.log("said under `+path+`"); globalThis.end = new beacon.PendingPostBeacon("/_pb"); end.setData("left under `+path+`")`, nil)
		p.leave()
		s.eventually(t, 1, "said under "+path, 30*time.Second)
		s.eventually(t, 1, "left under "+path, 30*time.Second)
		for _, e := range s.all("csp-violation") {
			t.Errorf("%s: %s", path, e.Body)
		}
	}
	p := b.Open(srv.URL + "/nonce?bad")
	p.WaitFor(ready)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if found := s.all("csp-violation"); len(found) > 0 {
			if _, ok := found[0].Body.(beacon.Report); !ok {
				t.Errorf("%+v", found[0])
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no report of what the policy stopped")
		}
	}
	p.leave()
}

// testTokenOfNow has a page that comes without a token ask for one, where one is required.
func testTokenOfNow(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "token.js")
	s := &store{events: map[string]beacon.Event{}}
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(s.consume), TokenKeys: [][]byte{[]byte("a key of the test's server")}, RequireToken: true})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, h.Token())
	})
	mux.HandleFunc("GET /token.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, code["token.js"])
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><script type="module" src="/token.js"></script>`)
	})
	app := h.Middleware(mux)
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" && asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // as while the server is replaced
			return
		}
		app.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	p := b.Open(srv.URL + "/cached")
	p.WaitFor(`const {beacon} = await import("/_pb.mjs"); return beacon.session !== ""`)
	p.Eval(`const {log} = await import("/_pb.mjs"); log("said with a token of now")`, nil)
	p.leave()
	s.eventually(t, 1, "said with a token of now", 30*time.Second)
	for _, e := range s.all("log") {
		if !e.Verified {
			t.Errorf("not verified: %+v", e)
		}
	}
	if refused := h.Stats().Refused; len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

func testWorker(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "sw.js")
	s, url := serve(t, `<!doctype html><script src="/_pb.js" async></script>`, map[string]string{
		"/sw.js": code["sw.js"] + `
			addEventListener("activate", (e) => e.waitUntil(clients.claim()));`,
	})
	p := b.Open(url + "/")
	p.Eval(`await navigator.serviceWorker.register("/sw.js"); await navigator.serviceWorker.ready`, nil)
	p.WaitFor(`return !!navigator.serviceWorker.controller`)
	p.Navigate(url + "/behind")
	p.WaitFor(ready)
	p.Eval(`beacon.log("said behind a worker")`, nil)
	p.leave()
	s.eventually(t, 1, "said behind a worker", 30*time.Second)
}

// testReference runs the code of docs/client.md.
func testReference(t *testing.T, b *Browser, code map[string]string) {
	has(t, code, "functions.js", "classes.js")
	s, url := serve(t, `<!doctype html><script src="/_pb.js" async></script><script>globalThis.editor = {state: {text: "half a sen"}}</script>`, map[string]string{
		"/functions":    `<!doctype html><script type="module" src="/functions.js"></script>`,
		"/functions.js": code["functions.js"],
	})
	p := b.Open(url + "/functions")
	p.WaitFor(`const {beacon} = await import("/_pb.mjs"); return beacon.session !== ""`)
	p.leave()
	s.eventually(t, 1, `"msg":"added to cart"`, 30*time.Second)
	s.eventually(t, 1, `"experiment":"B"`, 30*time.Second)
	p = b.Open(url + "/")
	p.WaitFor(ready)
	p.Eval(code["classes.js"]+"\neditor.onchange(); globalThis.kept = [draft, clicks, total, bill]", nil)
	p.leave()
	s.eventually(t, 1, `"button":"save"`, 30*time.Second)
	s.eventually(t, 1, `"scrolled":0.8`, 30*time.Second)
}
