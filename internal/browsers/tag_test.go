package browsers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

const nonce = "script-src 'nonce-abc'"

var tags = map[string]struct {
	tag    client.Tag
	policy string
	files  []string
}{
	"integrity":    {client.Tag{Nonce: "abc", Integrity: true}, nonce, []string{client.Script}},
	"stub by hash": {client.Tag{}, "script-src 'self' '" + client.StubIntegrity() + "' 'sha256-" + callHash + "'", []string{client.Script}},
	"light":        {client.Tag{Nonce: "abc", Light: true, Integrity: true}, nonce, []string{client.Light}},
	"auto":         {client.Tag{Nonce: "abc", Auto: true, Integrity: true}, nonce, []string{client.Script, client.Auto}},
	"module":       {client.Tag{Nonce: "abc", Module: true}, nonce + " 'self'", []string{client.Module}},
	"modules":      {client.Tag{Nonce: "abc", Module: true, Light: true, Auto: true}, nonce + " 'self'", []string{client.LightModule, client.AutoModule}},
	"debug":        {client.Tag{Nonce: "abc", Debug: true}, nonce + " 'self'", []string{client.Script, client.Debug}},
	"every option": {client.Tag{
		Nonce: "abc", Consent: "granted", GPC: "flag", Page: "full", SPA: "hash", Props: map[string]any{"plan": "</script>'"},
		Origins: []string{"https://a.example"}, Reliability: "atLeastOnce",
	}, nonce, []string{client.Script}},
	"every option of a module": {client.Tag{
		Nonce: "abc", Module: true, Consent: "granted", GPC: "flag", Page: "full", SPA: "history", Props: map[string]any{"plan": "</script>'"},
		Origins: []string{"https://a.example"}, Reliability: "atLeastOnce",
	}, nonce + " 'self'", []string{client.Module}},
}

// TestTag loads what tags say, under policies that allow no more than that, with the
// script slower than the page that calls it.
func TestTag(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		for name, c := range tags {
			c.tag.Queue = true
			t.Run(name, func(t *testing.T) {
				s, h := newSink(t)
				var mu sync.Mutex
				loaded := map[string]string{} // the Content-Encoding, by path
				app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/" {
						http.NotFound(w, r)
						return
					}
					w.Header().Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; "+c.policy)
					w.Header().Set("Content-Type", "text/html")
					element := "<script>"
					if c.tag.Nonce != "" {
						element = `<script nonce="` + c.tag.Nonce + `">`
					}
					fmt.Fprint(w, `<!doctype html>`, h.ScriptTag(c.tag), element, call, "</script>")
				}))
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "js") {
						time.Sleep(300 * time.Millisecond)
					}
					app.ServeHTTP(w, r)
					mu.Lock()
					loaded[r.URL.Path] = w.Header().Get("Content-Encoding")
					mu.Unlock()
				}))
				t.Cleanup(srv.Close)
				p := b.For(t).Open(srv.URL + "/")
				p.WaitFor(`return document.readyState === "complete" && typeof beacon === "object" && !beacon.q`)
				p.Eval(`taken("taken before")`, nil)
				var warnings []string
				p.Eval(`return warnings`, &warnings)
				if len(warnings) > 0 {
					t.Errorf("the client warns: %q", warnings)
				}
				if c.tag.Debug {
					time.Sleep(time.Second) // it is loaded afterwards
				}
				p.Navigate("about:blank")
				s.eventually(t, 1, "called before", 10*time.Second)
				s.eventually(t, 1, "taken before", 10*time.Second)
				mu.Lock()
				for _, name := range c.files {
					path := strings.TrimSuffix(h.ScriptURL(), client.Hashed(client.Script)) + client.Hashed(name)
					if coding, ok := loaded[path]; !ok || coding == "" {
						t.Errorf("%s: loaded %v, as %q", path, ok, coding)
					}
				}
				mu.Unlock()
				s.mu.Lock()
				for _, e := range s.events {
					if e.Name == "log" && c.tag.Props != nil && (!strings.Contains(string(e.Body.(beacon.JSON)), "plan") || e.Page != srv.URL+"/") {
						t.Errorf("not as the options say: %s of %s", e.Body, e.Page)
					}
				}
				s.mu.Unlock()
				p.Close()
			})
		}
	})
}

// call is what the page does before the client is there.
const (
	call     = `var warnings = []; console.warn = (...a) => warnings.push(a.join(" ")); var taken = beacon.log; beacon.log("called before")`
	callHash = "0nfquqD6mS2znRg23MWHqfrlR+GXYbs1SpxANcZOoyM="
)
