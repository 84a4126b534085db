package beacon

import (
	"bytes"
	"cmp"
	"context"
	"html/template"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/client"
)

// Middleware wraps a whole application: requests for [Config.Path] are handled by h,
// those for [Config.ScriptPath] and the files beside it get the browser client, and all
// others reach next untouched. It has to be outside of what refuses or changes requests,
// such as protection against CSRF, and of routers that match paths before they call a
// middleware; see docs/mounting.md.
func (h *Handler) Middleware(next http.Handler) http.Handler {
	scripts := h.scripts()
	older, _ := strings.CutSuffix(h.cfg.ScriptPath, "js")
	isOlder := !h.cfg.NoScript && path.Base(h.cfg.ScriptPath) == client.Script
	known := client.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == h.cfg.Path {
			h.ServeHTTP(w, r)
		} else if s, ok := scripts[r.URL.Path]; ok {
			client.Serve(w, r, s.name, s.hashed)
		} else if isOlder && strings.HasPrefix(r.URL.Path, older) && hashed.MatchString(r.URL.Path[len(older):]) {
			// A page that a cache keeps names the script of the release before.
			known.ServeHTTP(w, r)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// hashed is what client.Hashed makes of a name, behind its stem.
var hashed = regexp.MustCompile(`^((light|auto)\.)?[0-9a-f]{8}\.m?js$|^(core|debug)\.[0-9a-f]{8}\.mjs$`)

// script is a file of the client, as one path has it.
type script struct {
	name   string
	hashed bool
}

// scripts returns the files of the client that [Handler.Middleware] serves, by path.
func (h *Handler) scripts() map[string]script {
	scripts := map[string]script{}
	if !h.cfg.NoScript {
		for _, name := range client.Files() {
			scripts[h.beside(name)] = script{name, false}
			scripts[h.beside(client.Hashed(name))] = script{name, true}
		}
	}
	return scripts
}

// beside returns the path of a file of the client, with the stem that the host chose in
// the place of "_pb".
func (h *Handler) beside(name string) string {
	return strings.TrimSuffix(h.cfg.ScriptPath, ".js") + strings.TrimPrefix(name, strings.TrimSuffix(client.Script, ".js"))
}

// ScriptURL returns the path under which [Handler.Middleware] serves the browser
// client for good: it changes when the script does. [client.Handler] knows the last
// element of it too. It is empty with [Config.NoScript].
func (h *Handler) ScriptURL() string { return h.scriptURL(client.Script) }

func (h *Handler) scriptURL(name string) string {
	if h.cfg.NoScript {
		return ""
	}
	return h.beside(client.Hashed(name))
}

// ScriptTag returns the HTML of the script element that starts the browser client, its
// values escaped. What t leaves empty is filled in: Src is [Handler.ScriptURL], or that of
// the file beside it which t is for, and Endpoint is [Config.Path], under which
// [Handler.Middleware] serves both; Token is [Handler.Token]. Where the handler is mounted on a mux, or under a prefix that is
// stripped, set the first two.
//
// It panics if there is no Src, as with [Config.NoScript], or a value of t is none
// that the client knows: that is a mistake in the program.
func (h *Handler) ScriptTag(t client.Tag) template.HTML {
	t.Src = cmp.Or(t.Src, h.scriptURL(t.File()))
	t.Endpoint = cmp.Or(t.Endpoint, h.cfg.Path)
	t.Token = cmp.Or(t.Token, h.Token())
	return client.ScriptTag(t)
}

// Token returns the token of a page that is written now, or "" without
// [Config.TokenKeys]: for a page that has no element of [Handler.ScriptTag], or was
// open so long that it needs a new one, which it gives to the client's init. A body of
// the page's own, a pixel, the ping of a link and the URL in a Reporting-Endpoints header
// carry it as the query parameter _t, which no event has in its Query then.
//
// It holds letters, digits, "-", "_" and "." and is not a secret of the visitor's.
func (h *Handler) Token() string { return h.tokens.keys.Make(time.Now()) }

// Capture wraps a route of the host's own that takes beacons: the request goes to
// the Sink as it would through ServeHTTP, and then to next, which has the events
// in its context ([FromContext]) and can still read the body, and which writes the
// answer. A preflight, or a request that was not taken, is answered without next.
//
// Pages of [Config.Origins] can read the answer, with the visitor's cookies; those
// that only [Config.AnyOrigin] allows cannot.
func (h *Handler) Capture(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a arrival
		h.enter(&a, w, r)
		defer h.leave(&a)
		a.capture = true
		if !h.receive(w, r, &a) {
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), eventsKey{}, a.events))
		if !a.unread {
			r.Body = readAgain{bytes.NewReader(a.body.Bytes), r.Body}
			r.ContentLength = int64(len(a.body.Bytes)) // which a middleware may have changed
		}
		next.ServeHTTP(w, r)
	})
}

type eventsKey struct{}

// FromContext returns the events of the request that [Handler.Capture] wrapped,
// without those that were dropped, or nil.
func FromContext(ctx context.Context) []Event {
	events, _ := ctx.Value(eventsKey{}).([]Event)
	return events
}

// readAgain is the body of a request that was read.
type readAgain struct {
	io.Reader
	was io.ReadCloser // nil for a request that was made without
}

func (b readAgain) Close() error {
	if b.was == nil {
		return nil
	}
	return b.was.Close()
}
