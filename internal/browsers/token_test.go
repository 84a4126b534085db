package browsers

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// TestToken: what a page with the handler's tag sends is verified, whichever way the
// browser sends it, and what one with a forged token or with none sends is not, or is
// refused where a token is required. An image on another site's page is refused.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		s := &store{events: map[string]beacon.Event{}}
		h, err := beacon.New(beacon.Config{
			Sink: beacon.SinkFunc(s.consume), TokenKeys: [][]byte{[]byte("a key of the test's server")}, RequireToken: required,
		})
		if err != nil {
			t.Fatal(err)
		}
		tags := map[string]client.Tag{"/good": {}, "/forged": {Token: "v1.ajvo.gkvvkJRnrARo-uKNVxZawQ"}}
		srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if tag, ok := tags[r.URL.Path]; ok {
				fmt.Fprint(w, "<!doctype html>", h.ScriptTag(tag))
			} else {
				fmt.Fprintf(w, `<!doctype html><script src="%s"></script>`, h.ScriptURL())
			}
		})))
		t.Cleanup(srv.Close)
		_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
		s.near, s.far = "http://127.0.0.1:"+port, "http://localhost:"+port

		b := Start(t, Chromium)
		for _, page := range []string{"good", "forged", "none"} {
			p := b.Open(s.near + "/" + page)
			p.WaitFor(ready)
			p.Eval(fmt.Sprintf(`
				const now = new beacon.PendingPostBeacon("/_pb"); now.setData("now %[1]s"); now.sendNow();
				new beacon.PendingPostBeacon("/_pb").setData("end %[1]s");
				const series = new beacon.AppendableBeacon("/_pb"); series.appendData("item %[1]s"); series.sendNow();
				new beacon.ReplaceableBeacon("/_pb").replaceData("last %[1]s")`, page), nil)
			p.Navigate("about:blank")
			want := 1
			if required && page != "good" {
				want = 0
			}
			for _, way := range []string{"now ", "end ", "item ", "last "} {
				s.eventually(t, want, way+page, 10*time.Second)
			}
		}
		s.mu.Lock()
		for _, e := range s.events {
			if good := e.Page == s.near+"/good"; e.Verified != good || e.Query.Get("_t") != "" {
				t.Errorf("required %v: %s of %s: verified %v, query %v", required, e.Name, e.Page, e.Verified, e.Query)
			}
		}
		s.mu.Unlock()
		if refused := h.Stats().Refused["token"]; (refused > 0) != required {
			t.Errorf("required %v: %d refused", required, refused)
		}

		p := b.Open(s.far + "/none")
		p.WaitFor(ready)
		p.Eval(fmt.Sprintf(`globalThis.failed = false; new Image().src = "%[1]s/_pb?trial=embedded&_t=%[2]s";
			const i = new Image(); i.onerror = () => { failed = true }; i.src = "%[1]s/_pb?trial=embedded&_t=%[2]s"`, s.near, h.Token()), nil)
		p.WaitFor(`return failed`)
		if n := s.count("embedded"); n != 0 || h.Stats().Refused["origin"] == 0 {
			t.Errorf("%d of another site's images are stored: %+v", n, h.Stats())
		}
	}
}
