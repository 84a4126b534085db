package browsers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// A fixture is a server with one page, at every path but the handler's.
type fixture struct {
	*store
	h      *beacon.Handler
	status atomic.Int32 // answer to beacons, unless 0
}

func newFixture(t *testing.T, page func(h *beacon.Handler, r *http.Request) string) *fixture {
	t.Helper()
	f := &fixture{}
	f.store, f.h = newSink(t)
	pages := f.h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>page</title>", page(f.h, r))
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch status := f.status.Load(); {
		case r.URL.Path == "/_pb" && status != 0:
			w.WriteHeader(int(status))
		case r.URL.Path == "/sw.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, worker)
		default:
			pages.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	f.near = srv.URL
	f.far = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return f
}

func tagged(h *beacon.Handler, _ *http.Request) string { return string(h.ScriptTag(client.Tag{})) }

// open opens a page and waits for the client.
func (f *fixture) open(b *Browser, path string) *Page {
	b.t.Helper()
	p := b.Open(f.near + path)
	p.WaitFor(ready)
	return p
}

// TestFourTabsRecover opens four tabs at once on what a page left behind: what one of
// them takes, no other may, even if its view of the storage lags behind.
func TestFourTabsRecover(t *testing.T) {
	const raws = 15
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			s, b, r := newStore(t), Start(t, c.engine), newTable(c, "four-tabs")
			n := (trials() + raws - 1) / raws * 2
			for i := range n {
				p := b.Open(s.near + "/page/gone?" + c.query)
				p.WaitFor(ready)
				s.away.Store(true)
				p.Eval(fmt.Sprintf(`globalThis.held = []; for (let i = 0; i < %d; i++) {
					const mark = "post." + %s + i + ".", b = new beacon.PendingPostBeacon("/_pb?trial=" + mark);
					b.setData(mark + "last"); b.sendNow(); held.push(b); }`, raws, quote(r.mark(i))), nil)
				time.Sleep(time.Second)
				p.Navigate(s.far + "/plain")
				s.away.Store(false)
				var tabs []*Page
				for range 4 {
					tabs = append(tabs, b.Open(s.near+"/plain"))
				}
				tabs[0].Eval(expireLeases, nil)
				at := time.Now().Add(1500 * time.Millisecond).UnixMilli()
				for _, tab := range tabs {
					tab.Eval(fmt.Sprintf(`setTimeout(() => location.replace("/page/tab?%s"), %d - Date.now())`, c.query, at), nil)
				}
				time.Sleep(2 * time.Second)
				for _, tab := range tabs {
					tab.WaitFor(ready)
				}
				time.Sleep(2500 * time.Millisecond) // what is recovered is spread over two seconds
				s.settle()
				for _, tab := range append(tabs, p) {
					tab.Close()
				}
				for j := range raws {
					r.add(s, "post", fmt.Sprintf("%s%d.", r.mark(i), j))
				}
			}
			r.print("")
			r.check(t, 0.98, nil)
		})
	}
}

// worker answers in place of a server that does not.
const worker = `addEventListener("install", () => skipWaiting());
	addEventListener("activate", e => e.waitUntil(clients.claim()));
	addEventListener("fetch", e => e.respondWith((async () => {
		const r = await fetch(e.request).catch(() => {});
		return r?.status < 500 ? r : new Response("you are offline");
	})()))`

// TestServiceWorkerAnswers has a service worker say 200 where the server said 503:
// only the server can say that a beacon arrived.
func TestServiceWorkerAnswers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		f := newFixture(t, tagged)
		p := f.open(b, "/")
		p.Eval(`await navigator.serviceWorker.register("/sw.js"); await navigator.serviceWorker.ready`, nil)
		p.WaitFor(`return !!navigator.serviceWorker.controller`)
		f.status.Store(503)
		p.Eval(`globalThis.r = new beacon.ReplaceableBeacon("/_pb"); r.replaceData("behind a worker"); r.sendNow()`, nil)
		time.Sleep(500 * time.Millisecond)
		f.status.Store(0)
		p.Eval(`dispatchEvent(new Event("online"))`, nil)
		f.eventually(t, 1, "behind a worker", 15*time.Second)
	})
}

// TestDocumentOpen has the page write itself anew, which removes all listeners.
func TestDocumentOpen(t *testing.T) {
	t.Parallel()
	var pages []*Page
	s := newStore(t)
	for _, c := range configs {
		b := Start(t, c.engine)
		p := b.Open(s.near + "/page/opened?" + c.query)
		p.WaitFor(ready)
		p.Eval(fillIn("globalThis", "opened."+c.name+".", 0)+`; document.open(); document.write("<p>new"); document.close()`, nil)
		pages = append(pages, p)
	}
	time.Sleep(32 * time.Second) // the client looks after its listeners now and then
	for _, p := range pages {
		p.Close()
	}
	s.settle()
	for _, c := range configs {
		for _, kind := range kinds[:4] {
			s.eventually(t, 1, kind+".opened."+c.name+".", 0)
		}
	}
}

// TestOtherRealm gives beacons what a frame's constructors have made.
func TestOtherRealm(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		f := newFixture(t, tagged)
		p := f.open(b, "/")
		p.Eval(`const f = document.createElement("iframe"); document.body.append(f); const w = f.contentWindow;
			const form = new w.FormData(); form.append("field", "of a form elsewhere");
			for (const data of [new w.Blob(["of a blob elsewhere"], {type: "text/plain"}), form, new w.URLSearchParams({p: "of params elsewhere"}), new w.TextEncoder().encode("of bytes elsewhere")]) {
				const b = new beacon.PendingPostBeacon("/_pb"); b.setData(data); b.sendNow();
			}`, nil)
		f.settle()
		for _, text := range []string{"of a blob elsewhere", "of a form elsewhere", "of params elsewhere"} {
			f.eventually(t, 1, text, 0)
		}
		f.eventually(t, 0, "[object", 0)
	})
}

// TestURLAtTheStart: a relative URL is what it was when the beacon was made, wherever
// the page says it is when the beacon leaves.
func TestURLAtTheStart(t *testing.T) {
	t.Parallel()
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			s, b := newStore(t), Start(t, c.engine)
			p := b.Open(s.near + "/page/first?" + c.query)
			p.WaitFor(ready)
			p.Eval(strings.ReplaceAll(fillIn("globalThis", "moved.", 0), `"/_pb`, `"../_pb`)+`; history.pushState(null, "", "/some/where/else/entirely")`, nil)
			time.Sleep(pause(1))
			p.Close()
			s.settle()
			for _, kind := range kinds[:4] {
				s.eventually(t, 1, kind+".moved.", 0)
			}
		})
	}
}

// TestSecureContextsOnly opens a page by plain http at a name of the local network,
// as phones see a page that is being developed: nothing is sent, nothing is thrown,
// the console says why, and once.
func TestSecureContextsOnly(t *testing.T) {
	for _, e := range []Engine{Chromium, Firefox} {
		t.Run(string(e), func(t *testing.T) {
			f := newFixture(t, func(h *beacon.Handler, r *http.Request) string {
				return `<script>globalThis.warnings = []; console.warn = (...a) => warnings.push(a.join(" ")); globalThis.errors = []; addEventListener("error", e => errors.push(e.message))</script>` + tagged(h, r)
			})
			p := Start(t, e).Open(strings.Replace(f.near, "127.0.0.1", lanName, 1) + "/")
			p.WaitFor(ready)
			var got struct {
				Secure           bool
				Warnings, Errors []string
				Thrown, Global   string
			}
			p.Eval(`beacon.log("said in the clear"); beacon.view(); beacon.install();
				let thrown = ""; try { new beacon.PendingPostBeacon("/_pb") } catch (e) { thrown = e.name }
				return {secure: isSecureContext, warnings, errors, thrown, global: typeof PendingPostBeacon}`, &got)
			if got.Secure || got.Thrown != "TypeError" || got.Global != "undefined" || len(got.Errors) != 0 {
				t.Errorf("got %+v", got)
			}
			if len(got.Warnings) != 1 || !strings.HasPrefix(got.Warnings[0], "beacon:") || !strings.Contains(got.Warnings[0], "http") {
				t.Errorf("warnings: %q, want one that says it is for plain http", got.Warnings)
			}
			p.Close()
			f.eventually(t, 0, "", 0)
		})
	}
}
