package browsers

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// site serves pages that report by beacon, and hands on what they report.
type site struct {
	*httptest.Server
	beacons chan string
}

func newSite(t *testing.T, start func(http.Handler) *httptest.Server) *site {
	s := &site{beacons: make(chan string, 100)}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			s.beacons <- string(body)
			return
		}
		// With a strict policy, as scripts of the driver must work regardless.
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'nonce-n'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html>
			<p style="height: 3000px"></p>
			<button>No</button> <button id="yes">Yes</button> <a href="/next">Next</a>
			<script nonce="n">
				window.clicks = [];
				addEventListener("click", e => clicks.push(e.target.id, e.isTrusted));
				window.persisted = false;
				addEventListener("pageshow", e => { persisted = e.persisted });
				addEventListener("visibilitychange", () =>
					navigator.sendBeacon("/beacon", location.pathname + " " + document.visibilityState));
			</script>`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.beacons:
		if got != want {
			t.Fatalf("beacon %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no beacon %q", want)
	}
}

func each(t *testing.T, f func(t *testing.T, b *Browser, s *site)) {
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) { f(t, Start(t, e), newSite(t, httptest.NewServer)) })
	}
}

func TestUse(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, s *site) {
		t.Log(b.Version())
		p := b.Open(s.URL + "/a")

		var got struct {
			Path    string
			Awaited int
		}
		p.Eval(`const n = await new Promise(done => setTimeout(done, 10, 42));
			return {path: location.pathname, awaited: n} // with "quotes"`, &got)
		if got.Path != "/a" || got.Awaited != 42 {
			t.Errorf("Eval: got %+v", got)
		}
		nothing := new(int)
		p.Eval("", &nothing)
		if nothing != nil {
			t.Errorf("Eval without return: got %v, want null", *nothing)
		}

		p.Click("#yes")
		p.WaitFor(`return clicks.join() === "yes,true"`)
		p.Reload()
		p.WaitFor(`return clicks.length === 0`)
		s.expect(t, "/a hidden")
		p.Click("a")
		p.WaitFor(`return location.pathname === "/next"`)
		s.expect(t, "/a hidden")
		p.Navigate(s.URL + "/next#fragment")
		p.Eval(`location.href = "/last"`, nil)
		p.WaitFor(`return location.pathname === "/last"`)
		s.expect(t, "/next hidden")

		secure := newSite(t, httptest.NewTLSServer)
		p.Navigate(secure.URL)
		p.WaitFor(`return location.protocol === "https:"`)
		s.expect(t, "/last hidden")
	})
}

func TestLeave(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, s *site) {
		one, two := b.Open(s.URL+"/one"), b.Open(s.URL+"/two")
		for _, p := range []*Page{one, two} {
			p.WaitFor(`return document.visibilityState === "visible"`)
			p.Click("#yes")
			p.WaitFor(`return clicks.length === 2`)
		}
		two.Navigate(s.URL + "/three")
		s.expect(t, "/two hidden")
		one.Close()
		s.expect(t, "/one hidden")
		two.Close()
		s.expect(t, "/three hidden")
		for i := range 5 {
			path := fmt.Sprint("/again", i)
			b.For(t).Open(s.URL + path).Close()
			s.expect(t, path+" hidden")
		}
		b.Close()
		b.Close()
	})
}

// Drivers and debuggers tend to switch the back/forward cache off.
func TestBackForwardCache(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, s *site) {
		// A browser is free not to keep a page. Firefox now and then does not
		// keep one that has only just loaded.
		for range 5 {
			p := b.Open(s.URL + "/a")
			p.Eval(`window.mark = true`, nil)
			p.Navigate(s.URL + "/b")
			p.Eval(`history.back()`, nil)
			p.WaitFor(`return location.pathname === "/a" && (persisted || !window.mark)`)
			var kept bool
			p.Eval(`return persisted && mark`, &kept)
			if kept {
				return
			}
			t.Log("loaded anew")
		}
		t.Error("pages are not kept")
	})
}

// A page that asks "Leave?" must not hold up its end.
func TestBeforeUnload(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, s *site) {
		ask := `addEventListener("beforeunload", e => { e.preventDefault(); e.returnValue = "?" })`
		p := b.Open(s.URL + "/a")
		p.Eval(ask, nil)
		p.Click("#yes")
		p.Navigate(s.URL + "/b")
		s.expect(t, "/a hidden")
		p.Eval(ask, nil)
		p.Click("#yes")
		p.Close()
		s.expect(t, "/b hidden")
	})
}

func TestScreenshot(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, s *site) {
		p := b.Open(s.URL)
		p.Eval(`window.before = innerWidth + "x" + innerHeight`, nil)
		img, err := png.DecodeConfig(bytes.NewReader(p.Screenshot(900, 600)))
		if err != nil || img.Width != 900 || img.Height != 600 {
			t.Errorf("got %d x %d, %v", img.Width, img.Height, err)
		}
		p.WaitFor(`return before === innerWidth + "x" + innerHeight`)
	})
}

func TestCDP(t *testing.T) {
	b, s := Start(t, Chromium), newSite(t, httptest.NewServer)
	p := b.Open(s.URL + "/a")
	offline := map[string]any{"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
	p.CDP("Network.enable", nil, nil)
	p.CDP("Network.emulateNetworkConditions", offline, nil)
	p.WaitFor(`return !navigator.onLine && await fetch("/").then(() => false, () => true)`)
	p.Close()

	p = b.Open(s.URL + "/b")
	p.Crash()
	p.Close()
	b.Open(s.URL + "/c").Close()
	s.expect(t, "/c hidden")

	p = b.Open(s.URL)
	var tree struct {
		FrameTree struct{ Frame struct{ URL string } }
	}
	p.CDP("Page.getFrameTree", nil, &tree)
	if !strings.HasPrefix(tree.FrameTree.Frame.URL, s.URL) {
		t.Errorf("got %+v", tree)
	}
}
