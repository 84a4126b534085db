package hosts

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/csrf"
	"github.com/justinas/nosurf"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
)

// This file has the programs of docs/mounting.md and one of docs/trust.md: their fragments
// are cut out of here.

// TestCSRFPages: the application stays protected, and the endpoint is exempt.
func TestCSRFPages(t *testing.T) {
	for name, tt := range map[string]struct {
		protect func(http.Handler) http.Handler
		status  int
	}{
		"nosurf": {exemptNosurf, http.StatusBadRequest},
		"gorilla": {func(app http.Handler) http.Handler {
			exempt := exemptGorilla(app)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { exempt.ServeHTTP(w, csrf.PlaintextHTTPRequest(r)) })
		}, http.StatusForbidden},
		"net/http": {exemptCrossOriginProtection, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(c *beacon.Config) { c.Path = "" })
			mux := http.NewServeMux()
			mux.Handle("/", app)
			mux.Handle("/_pb", h)
			s := serve(t, tt.protect(mux)).at("/_pb")
			visit{ways[0], s, h}.run(t)
			elsewhere := s.at("/transfer")
			s.expect(t, elsewhere.crossOrigin(t, unlisted), tt.status, "")
		})
	}
}

func exemptNosurf(mux http.Handler) http.Handler {
	protected := nosurf.New(mux)
	protected.ExemptPath("/_pb")
	protected.SetIsTLSFunc(func(*http.Request) bool { return false }) // of the test
	return protected
}

func exemptGorilla(mux http.Handler) http.Handler {
	key := []byte("thirty-two bytes that are random")
	protected := csrf.Protect(key)(mux)
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_pb" {
			r = csrf.UnsafeSkipCheck(r)
		}
		protected.ServeHTTP(w, r)
	})
	return app
}

func exemptCrossOriginProtection(mux http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("/_pb") // the handler has its own list: Config.Origins
	return protection.Handler(mux)
}

// TestOrders: what is outside of what, in the three orders of docs/mounting.md.
func TestOrders(t *testing.T) {
	for name, tt := range map[string]struct {
		app  func(h *beacon.Handler, mux http.Handler) http.Handler
		user string
	}{
		"the handler outside": {handlerOutside, ""},
		"inside the sessions": {insideSessions, "alice"},
		"a route of the mux":  {insideAll, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(c *beacon.Config) {
				c.Path = ""
				c.Enrich = func(r *http.Request, e *beacon.Event) error {
					if user, ok := r.Context().Value(userKey{}).(string); ok {
						e.Attrs = map[string]string{"user": user}
					}
					return nil
				}
			})
			mux := http.NewServeMux()
			mux.Handle("/", app)
			mux.Handle("/_pb", h)
			s := serve(t, tt.app(h.Handler, mux)).at("/_pb")
			r := s.request(t, jsonBody)
			r.AddCookie(&http.Cookie{Name: "session", Value: "of-alice"})
			s.expect(t, r, http.StatusNoContent, "")
			if got := h.events.Events()[0].Attrs["user"]; got != tt.user {
				t.Errorf("user %q, want %q", got, tt.user)
			}
		})
	}
}

type userKey struct{}

func handlerOutside(h *beacon.Handler, mux http.Handler) http.Handler {
	csrf, sessions := exemptNosurf, hostSessions
	return h.Middleware(csrf(sessions(mux))) // simplest: nothing refuses beacons; they have no user of the context
}

func insideSessions(h *beacon.Handler, mux http.Handler) http.Handler {
	csrf, sessions := exemptNosurf, hostSessions
	return sessions(h.Middleware(csrf(mux))) // beacons have the user of the session
}

func insideAll(_ *beacon.Handler, mux http.Handler) http.Handler {
	csrf, sessions := exemptNosurf, hostSessions
	return sessions(csrf(mux)) // with the endpoint on mux: exempt it
}

// hostSessions stands in for a host's own middleware.
func hostSessions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, ok := userOf(r); ok {
			r = r.WithContext(contextWithUser(r, user))
		}
		next.ServeHTTP(w, r)
	})
}

// userOf stands in for the host's own look at its session cookie.
func userOf(r *http.Request) (string, bool) {
	c, err := r.Cookie("session")
	if err != nil {
		return "", false
	}
	user, ok := map[string]string{"of-alice": "alice", "of-bob": "bob"}[c.Value]
	return user, ok
}

func withUser(sink beacon.Sink) (*beacon.Handler, error) {
	h, err := beacon.New(beacon.Config{
		Sink: sink,
		Enrich: func(r *http.Request, e *beacon.Event) error {
			if user, ok := userOf(r); ok { // the host's own look at its session cookie
				e.Attrs = map[string]string{"user": user}
			}
			return nil
		},
	})
	return h, err
}

// TestLoginMidVisit: whoever logs in has what was before without a user, and the same
// Session, as somebody else on the same device has. The cookie itself is in no event.
func TestLoginMidVisit(t *testing.T) {
	var recorder beacontest.Recorder
	h, err := withUser(&recorder)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, h.Middleware(app)).at("/_pb")
	for _, cookie := range []string{"", "of-alice", "of-nobody", "of-bob"} {
		r := s.request(t, beacon.Text(goodbye))
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		}
		s.expect(t, r, http.StatusNoContent, "")
	}
	var got []string
	for _, e := range recorder.Events() {
		got = append(got, e.Session+" "+e.Attrs["user"])
		if text, err := e.MarshalJSON(); err != nil || bytes.Contains(text, []byte("of-")) {
			t.Errorf("an event has the cookie, or no JSON: %s %v", text, err)
		}
	}
	if diff := cmp.Diff([]string{"s1 ", "s1 alice", "s1 ", "s1 bob"}, got); diff != "" {
		t.Errorf("sessions and users (-want +got):\n%s", diff)
	}
}

func tagOfUser(h *beacon.Handler, user string) template.HTML {
	tag := h.ScriptTag(client.Tag{Props: map[string]any{"user": user}})
	return tag
}

func withUserOfPage(sink beacon.Sink) (*beacon.Handler, error) {
	h, err := beacon.New(beacon.Config{
		Sink: sink,
		Enrich: func(r *http.Request, e *beacon.Event) error {
			var page struct{ User string }
			if user, ok := userOf(r); ok && e.Bind(&page) == nil && page.User == user {
				e.Attrs = map[string]string{"user": user}
			}
			return nil
		},
	})
	return h, err
}

// TestUserOfPage: what a page could not send is sent by the next one, with the cookie of
// whoever has logged in since. It is nobody's then, and never the wrong one's.
func TestUserOfPage(t *testing.T) {
	var recorder beacontest.Recorder
	h, err := withUserOfPage(&recorder)
	if err != nil {
		t.Fatal(err)
	}
	if tag := string(tagOfUser(h, "alice")); !strings.Contains(html.UnescapeString(tag), `data-props="{"user":"alice"}"`) {
		t.Errorf("the page does not say whose it is: %s", tag)
	}
	s := serve(t, h.Middleware(app)).at("/_pb")
	for _, tt := range []struct{ page, cookie string }{
		{"alice", "of-alice"}, {"alice", "of-bob"}, {"alice", ""}, {"", "of-alice"}, {"bob", "of-bob"},
	} {
		data := goodbye
		if tt.page != "" {
			data = strings.Replace(goodbye, `"start"`, `"user":"`+tt.page+`","start"`, 1)
		}
		r := s.request(t, beacon.Text(data))
		if tt.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "session", Value: tt.cookie})
		}
		s.expect(t, r, http.StatusNoContent, "")
	}
	var got []string
	for _, e := range recorder.Events() {
		got = append(got, e.Attrs["user"])
	}
	if diff := cmp.Diff([]string{"alice", "", "", "", "bob"}, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

// TestLoginRedirect: what sends visitors to a login page sends their beacons there as well.
func TestLoginRedirect(t *testing.T) {
	h := newHost(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := userOf(r); !ok {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		h.Middleware(app).ServeHTTP(w, r)
	}))
	s := serve(t, mux)
	s.client.CheckRedirect = nil // as browsers do
	s.expect(t, s.request(t, jsonBody), http.StatusOK, "")
	checkStats(t, h, counts{})
	r := s.request(t, jsonBody)
	r.AddCookie(&http.Cookie{Name: "session", Value: "of-alice"})
	s.expect(t, r, http.StatusNoContent, "")
}

// TestPrefixedTag: the tag of docs/mounting.md leads to the handler and to the script.
func TestPrefixedTag(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) { c.Path = "" })
	tag := prefixedTag(h.Handler)
	s := serve(t, http.StripPrefix("/app", h.Middleware(app))).at("/app/_pb")
	if want := fmt.Sprintf(`src="/app%s" data-endpoint="/app/_pb"`, h.ScriptURL()); !bytes.Contains([]byte(tag), []byte(want)) {
		t.Errorf("%s has no %s", tag, want)
	}
	checkScript(t, s, h, "/app"+h.ScriptURL())
	visit{ways[0], s, h}.run(t)
}

func prefixedTag(h *beacon.Handler) string {
	tag := h.ScriptTag(client.Tag{Src: "/app" + h.ScriptURL(), Endpoint: "/app/_pb"})
	return string(tag)
}

// TestMountedOnMux: with the handler as a route, the script needs one of its own.
func TestMountedOnMux(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) { c.Path = "" })
	mux := http.NewServeMux()
	mux.Handle("/", app) // a catch-all, as single-page applications have
	tag := routes(mux, h.Handler)
	s := serve(t, mux).at("/log-tracking")
	src := "/assets/" + client.Hashed(client.Script)
	if want := fmt.Sprintf(`src="%s" data-endpoint="/log-tracking"`, src); !bytes.Contains([]byte(tag), []byte(want)) {
		t.Errorf("%s has no %s", tag, want)
	}
	checkScript(t, s, h, src, "/assets/"+client.Hashed(client.Core))
	visit{ways[0], s, h}.run(t)
}

func routes(mux *http.ServeMux, h *beacon.Handler) string {
	mux.Handle("/log-tracking", h)
	mux.Handle("GET /assets/", client.Handler()) // or beside assets of your own, under any prefix
	tag := h.ScriptTag(client.Tag{Src: "/assets/" + client.Hashed(client.Script), Endpoint: "/log-tracking"})
	return string(tag)
}

// TestCatchAll: a page whose endpoint is not the handler's path gets the application's
// own page, with a 200 where that has one for everything, and nobody hears of it. A
// catch-all beside the handler costs nothing: the longer pattern wins.
func TestCatchAll(t *testing.T) {
	h := newHost(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><div id=app></div>") })
	mux.Handle(endpoint, h)
	s := serve(t, mux)
	visit{ways[0], s, h}.run(t)
	before := h.Stats()
	for _, path := range []string{"/_pb", endpoint + "/"} {
		elsewhere := s.at(path)
		if a := s.expect(t, elsewhere.request(t, jsonBody), http.StatusOK, ""); a.body == "" {
			t.Error("not the application's page")
		}
	}
	if diff := cmp.Diff(before, h.Stats()); diff != "" {
		t.Errorf("the handler heard of it (-before +after):\n%s", diff)
	}
}

// TestCanonicalRedirect: what sends visitors to the right address of a page sends
// beacons there as well, as an empty GET or, with 308, as what they were.
func TestCanonicalRedirect(t *testing.T) {
	for status, want := range map[int]uint64{http.StatusMovedPermanently: 0, http.StatusPermanentRedirect: 1} {
		h := newHost(t)
		mux := http.NewServeMux()
		mux.Handle(endpoint, h)
		mux.Handle("/old", http.RedirectHandler(endpoint, status))
		s := serve(t, mux).at("/old")
		s.client.CheckRedirect = nil // as browsers do
		r := s.request(t, beacon.Text("bye"))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("bye")), nil }
		if a := s.do(t, r); a.StatusCode/100 != 2 {
			t.Errorf("%d: the answer is %d", status, a.StatusCode)
		}
		var posts uint64
		for _, e := range h.events.Events() {
			if e.Body == beacon.Text("bye") {
				posts++
			}
		}
		if posts != want {
			t.Errorf("%d: %d of the beacons arrive, want %d", status, posts, want)
		}
	}
}

// TestSites: several sites in one process, told apart by Host, with a handler for all or
// one for each.
func TestSites(t *testing.T) {
	for name, make := range map[string]func(one, other beacon.Sink) (http.Handler, error){"one handler": oneHandler, "a handler each": handlerEach} {
		t.Run(name, func(t *testing.T) {
			var shop, blog beacontest.Recorder
			all, err := make(&shop, &blog)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, all).at("/_pb")
			for _, site := range []string{"shop.example", "blog.example", "shop.example", "shop.example:8443"} {
				r := s.request(t, beacon.Text(site))
				r.Host = site
				r.Header.Set("Origin", "https://"+site)
				s.expect(t, r, http.StatusNoContent, "")
			}
			r := s.request(t, beacon.Text("elsewhere"))
			r.Host = "elsewhere.example"
			if a := s.do(t, r); a.StatusCode/100 != 4 {
				t.Errorf("a site that is none: %d", a.StatusCode)
			}
			if n, m := len(shop.Events()), len(blog.Events()); n != 3 || m != 1 {
				t.Errorf("%d events of the shop, %d of the blog", n, m)
			}
		})
	}
}

// TestRobots: what calls itself a robot is taken, and marked.
func TestRobots(t *testing.T) {
	var events beacontest.Recorder
	h, err := markedRobots(&events)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, h).at("/_pb")
	agents := []string{"Mozilla/5.0 (compatible; examplebot/2.1)", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"}
	for _, agent := range agents {
		r := s.request(t, beacon.Text("hello"))
		r.Header.Set("User-Agent", agent)
		s.expect(t, r, http.StatusNoContent, "")
	}
	for i, want := range []string{"by name", ""} {
		if e := events.Events()[i]; e.Attrs["robot"] != want {
			t.Errorf("%s: marked %q, want %q", e.Request.UserAgent, e.Attrs["robot"], want)
		}
	}
}

func markedRobots(events beacon.Sink) (*beacon.Handler, error) {
	robot := regexp.MustCompile(`(?i)bot|crawl|spider|headless`) // what you see in your own events
	return beacon.New(beacon.Config{
		Sink: events,
		Enrich: func(_ *http.Request, e *beacon.Event) error {
			if robot.MatchString(e.Request.UserAgent) {
				e.Attrs = map[string]string{"robot": "by name"}
			}
			return nil
		},
	})
}

// TestOtherDomains: which pages may send to a collector that is not theirs. What they
// need in their tag is tried with browsers: TestOtherDomain in internal/browsers.
func TestOtherDomains(t *testing.T) {
	h, err := otherDomains(&beacontest.Recorder{})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, h.Middleware(app)).at("/_pb")
	for origin, want := range map[string]int{
		"https://shop.example":        http.StatusNoContent,
		"https://a.blog.example":      http.StatusNoContent,
		"https://b.a.blog.example":    http.StatusNoContent,
		"https://blog.example":        http.StatusForbidden,
		"http://shop.example":         http.StatusForbidden,
		"https://shop.example:8443":   http.StatusForbidden,
		"https://www.shop.example":    http.StatusForbidden,
		"https://shop.example.evil.x": http.StatusForbidden,
	} {
		reason := ""
		if want == http.StatusForbidden {
			reason = beacon.ReasonOrigin
		}
		s.expect(t, s.preflightRequest(t, origin), want, reason)
		s.expect(t, s.crossOrigin(t, origin), want, reason)
	}
}
