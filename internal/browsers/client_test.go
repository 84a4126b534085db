package browsers

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// TestCrash kills the page's process: what its beacons held comes from the browser,
// where that has fetchLater, and from the client at the next visit.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "without-fetchlater&"} {
		b, s := Start(t, Chromium), newStore(t)
		p := b.Open(s.near + "/page?" + query)
		p.WaitFor(ready)
		p.Eval(`globalThis.r = new beacon.ReplaceableBeacon("/_pb"); r.replaceData("first"); r.replaceData("at the crash")`, nil)
		time.Sleep(400 * time.Millisecond) // the store is written after a moment
		p.Crash()
		time.Sleep(time.Second)
		next := b.Open(s.near + "/page/next?" + query)
		next.WaitFor(ready)
		// A crashed page leaves its lease behind, which has to run out first.
		s.eventually(t, 1, "at the crash", 130*time.Second)
		s.eventually(t, 0, `"first"`, 0)
	}
}

// TestServerAway takes the network away from a page and gives it back.
func TestServerAway(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		s, h := newSink(t)
		app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html>", h.ScriptTag(client.Tag{}))
		}))
		listen := func(addr string) (*httptest.Server, string) {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: app}}
			srv.Start()
			return srv, l.Addr().String()
		}
		srv, addr := listen("127.0.0.1:0")
		p := b.Open("http://" + addr + "/")
		p.WaitFor(ready)

		srv.CloseClientConnections()
		srv.Close()
		p.Eval(`globalThis.post = new beacon.PendingPostBeacon("/_pb"); post.setData("posted meanwhile"); post.sendNow();
			globalThis.rep = new beacon.ReplaceableBeacon("/_pb"); rep.replaceData("total while away"); rep.sendNow()`, nil)
		time.Sleep(500 * time.Millisecond)
		srv, _ = listen(addr)
		t.Cleanup(srv.Close)
		p.Eval(`dispatchEvent(new Event("online"))`, nil)
		s.eventually(t, 1, "total while away", 30*time.Second)
		s.eventually(t, 1, "posted meanwhile", 10*time.Second)
	})
}

// TestOffline is the same with the browser's own idea of being offline.
func TestOffline(t *testing.T) {
	b, s := Start(t, Chromium), newStore(t)
	p := b.Open(s.near + "/page?")
	p.WaitFor(ready)
	conditions := func(offline bool) {
		p.CDP("Network.emulateNetworkConditions", map[string]any{"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}, nil)
		p.WaitFor(fmt.Sprintf("return navigator.onLine === %t", !offline))
	}
	p.CDP("Network.enable", nil, nil)
	conditions(true)
	p.Eval(`globalThis.r = new beacon.ReplaceableBeacon("/_pb"); r.replaceData("offline total"); r.sendNow()`, nil)
	time.Sleep(300 * time.Millisecond)
	conditions(false)
	s.eventually(t, 1, "offline total", 20*time.Second)
}

// TestClientKeepsBackForwardCache goes away and back with the script loaded and
// beacons held.
func TestClientKeepsBackForwardCache(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		s := newStore(t)
		for range 5 { // a browser is free not to keep a page
			p := b.Open(s.near + "/page?a")
			p.WaitFor(ready)
			p.Eval(`globalThis.mark = true; addEventListener("pageshow", e => { globalThis.persisted = e.persisted });
				globalThis.held = new beacon.ReplaceableBeacon("/_pb"); held.replaceData("held")`, nil)
			time.Sleep(200 * time.Millisecond)
			p.Navigate(s.near + "/page?b")
			p.WaitFor(ready)
			p.Eval(`history.back()`, nil)
			p.WaitFor(`return location.search === "?a" && (globalThis.persisted || !globalThis.mark)`)
			var kept bool
			p.Eval(`return !!(globalThis.persisted && globalThis.mark)`, &kept)
			if kept {
				return
			}
			t.Log("loaded anew")
		}
		t.Error("the page is not kept")
	})
}

// TestStrictPolicy runs the client under a policy that allows little, and none of
// what it forbids may be tried.
func TestStrictPolicy(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		s, h := newSink(t)
		srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-abc'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'")
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><script nonce="abc">globalThis.violations = []; addEventListener("securitypolicyviolation", e => violations.push(e.violatedDirective + " " + e.blockedURI))</script>`,
				h.ScriptTag(client.Tag{Nonce: "abc"}))
		})))
		t.Cleanup(srv.Close)
		p := b.Open(srv.URL)
		p.WaitFor(ready)
		p.Eval(`beacon.log("under a strict policy")`, nil)
		time.Sleep(200 * time.Millisecond)
		var violations []string
		p.Eval(`return violations.filter(v => !v.includes("favicon"))`, &violations)
		if len(violations) > 0 {
			t.Errorf("violations: %v", violations)
		}
		p.Close()
		s.eventually(t, 1, "under a strict policy", 10*time.Second)
	})
}

// TestSessionWithoutCode is a page with the tag and nothing else.
func TestSessionWithoutCode(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		s := newStore(t)
		p := b.Open(s.near + "/page?")
		p.WaitFor(ready)
		time.Sleep(1200 * time.Millisecond)
		p.Close()
		var last beacon.Event
		for deadline := time.Now().Add(10 * time.Second); last.ID == "" && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			s.mu.Lock()
			for _, e := range s.events {
				if e.Name == "session" && e.Seq >= last.Seq {
					last = e
				}
			}
			s.mu.Unlock()
		}
		session, err := beacon.SessionOf(last)
		if d := session.Duration(); err != nil || d < time.Second || d > time.Minute {
			t.Errorf("session of %v, %v; %+v", d, err, last)
		}
		if last.Session == "" || last.View == "" || last.Mode != beacon.ModeReplace || !strings.Contains(last.Page, "/page") {
			t.Errorf("identity: %+v", last)
		}
	})
}
