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

// evil is a server that takes anything from anybody, and says what it got.
type evil struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newEvil(t *testing.T) *evil {
	e := &evil{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Images and frames may load; what counts is what looks like a beacon.
		if r.Method != http.MethodGet || strings.Contains(r.URL.RawQuery, "trial") || strings.HasPrefix(r.URL.Path, "/_pb") {
			e.mu.Lock()
			e.got = append(e.got, r.Method+" "+r.URL.String())
			e.mu.Unlock()
		}
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}))
	t.Cleanup(e.Close)
	return e
}

// TestClobbering puts markup that sanitizers let through before the tag, of names
// that the client asks the document for.
func TestClobbering(t *testing.T) {
	t.Parallel()
	attributes := `name=%s data-endpoint=EVIL/_pb data-consent=granted data-token=x src=EVIL/x`
	cases := map[string]string{
		"img": `<img ` + attributes + `>`, "form": `<form ` + attributes + `></form>`, "embed": `<embed ` + attributes + `>`,
		"object": `<object ` + attributes + `></object>`, "iframe": `<iframe ` + attributes + `></iframe>`,
		"two": `<img ` + attributes + `><img ` + attributes + `>`,
	}
	each(t, func(t *testing.T, b *Browser, _ *site) {
		e := newEvil(t)
		f := newFixture(t, func(h *beacon.Handler, r *http.Request) string {
			markup := cases[strings.Trim(r.URL.Path, "/")]
			name := r.URL.Query().Get("name")
			if strings.Contains(markup, "%s") {
				markup = strings.ReplaceAll(strings.ReplaceAll(markup, "%s", name), "EVIL", e.URL)
			}
			return markup + string(h.ScriptTag(client.Tag{Consent: "required"}))
		})
		for kind := range cases {
			b := b.For(t)
			mark := "clobbered by " + kind
			p := f.open(b, "/"+kind+"?name=currentScript")
			p.Eval(`beacon.log("`+mark+` before consent")`, nil)
			time.Sleep(pause(1))
			p.Close()
			f.eventually(t, 0, mark, 0)

			p = f.open(b, "/"+kind+"?name=currentScript")
			p.Eval(`beacon.consent("granted"); beacon.log("`+mark+` with consent")`, nil)
			time.Sleep(pause(1))
			p.Close()
			f.eventually(t, 1, mark, 5*time.Second)
		}
		// The client may fall silent for these, but nothing may go astray.
		for _, name := range []string{"baseURI", "hasFocus", "addEventListener", "prerendering", "visibilityState", "cookie", "referrer", "documentElement"} {
			p := b.For(t).Open(f.near + "/img?name=" + name)
			time.Sleep(pause(1))
			p.Eval(`globalThis.beacon?.log?.("astray before consent")`, nil)
			p.Close()
		}
		f.eventually(t, 0, "astray", 0)
		e.heardNothing(t)
	})
}

// heardNothing fails t if anything was sent to the other server.
func (e *evil) heardNothing(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.got) > 0 {
		t.Errorf("the other server got %q", e.got)
	}
}

// TestClobberedGlobal puts an element in the place of the client's own global.
func TestClobberedGlobal(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		f := newFixture(t, func(h *beacon.Handler, r *http.Request) string {
			return `<form id=beacon name=beacon><input name=q><input name=init><input name=session></form>` + tagged(h, r)
		})
		p := b.Open(f.near)
		p.WaitFor(`return typeof beacon.log === "function"`)
		p.Eval(`beacon.log("in spite of a form")`, nil)
		p.Close()
		f.eventually(t, 1, "in spite of a form", 10*time.Second)
	})
}

// TestBase has injected markup say that all URLs of the page mean another site.
func TestBase(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		e := newEvil(t)
		var f *fixture
		f = newFixture(t, func(h *beacon.Handler, r *http.Request) string {
			base := `<base href="` + e.URL + `/">`
			return base + string(h.ScriptTag(client.Tag{Src: f.near + h.ScriptURL()}))
		})
		p := f.open(b, "/")
		p.Eval(`beacon.log("said at home"); globalThis.held = new beacon.ReplaceableBeacon("/_pb"); held.replaceData("held at home")`, nil)
		time.Sleep(pause(1))
		p.Close()
		f.eventually(t, 1, "said at home", 10*time.Second)
		f.eventually(t, 1, "held at home", 10*time.Second)
		e.heardNothing(t)
	})
}

// TestPage: what a page's address says after the path, and what the one before it
// said, is nobody's business unless the tag says so.
func TestPage(t *testing.T) {
	each(t, func(t *testing.T, b *Browser, _ *site) {
		f := newFixture(t, func(h *beacon.Handler, r *http.Request) string {
			if r.URL.Path == "/before" {
				return `<a href="/first?secret=2#mystery">first</a>`
			}
			page := map[string]string{"/false": "false", "/none": "none", "/full": "full"}[r.URL.Path]
			return fmt.Sprintf(`<script src="%s" data-endpoint="/_pb" data-page="%s" async></script>`, h.ScriptURL(), page)
		})
		p := b.Open(f.near + "/before?secret=1")
		p.Click("a")
		p.WaitFor(`return location.pathname === "/first" && ` + strings.TrimPrefix(ready, "return "))
		p.Eval(`beacon.log("said")`, nil)
		time.Sleep(pause(1))
		p.Close()
		f.eventually(t, 1, "said", 10*time.Second)
		for path, want := range map[string]string{"/false": "", "/none": "", "/full": f.near + "/full?query=1"} {
			p := f.open(b.For(t), path+"?query=1#fragment")
			p.Eval(`beacon.log("said at `+path+`")`, nil)
			time.Sleep(pause(1))
			p.Close()
			f.eventually(t, 1, "said at "+path, 10*time.Second)
			if e := f.find("said at " + path); e.Page != want {
				t.Errorf("data-page of %s: page is %q, want %q", path, e.Page, want)
			}
		}
		if e := f.find(`"said"`); e.Page != f.near+"/first" {
			t.Errorf("page: %q", e.Page)
		}
		s := f.find("session." + f.near + "/first")
		var body struct{ Ref string }
		if err := s.Bind(&body); err != nil || body.Ref != f.near+"/before" {
			t.Errorf("referrer: %q, %v", body.Ref, err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.events {
			if all := fmt.Sprintf("%s %v %v %s", e.Page, e.Query, e.Attrs, e.Body); strings.Contains(all, "secret") || strings.Contains(all, "mystery") {
				t.Errorf("%s", all)
			}
		}
	})
}

// find returns a stored event that has this text in it.
func (s *store) find(text string) beacon.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if strings.Contains(textOf(e), text) {
			return e
		}
	}
	return beacon.Event{}
}
