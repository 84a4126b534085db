package beacon

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/pagebeacon/beacon/client"
)

// Middleware wraps a whole application: requests for [Config.Path] are handled by h,
// those for [Config.ScriptPath] get the browser client, and all others reach next
// untouched.
func (h *Handler) Middleware(next http.Handler) http.Handler {
	hashed := cmp.Or(h.ScriptURL(), "-") // which no path is, but some are empty
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case h.cfg.Path:
			h.ServeHTTP(w, r)
		case h.cfg.ScriptPath:
			client.Serve(w, r, client.Script, false)
		case hashed:
			client.Serve(w, r, client.Script, true)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ScriptURL returns the path under which [Handler.Middleware] serves the browser
// client for good: it changes when the script does. It is empty if it serves none.
func (h *Handler) ScriptURL() string {
	if h.cfg.ScriptPath == "-" {
		return ""
	}
	stem := strings.TrimSuffix(h.cfg.ScriptPath, ".js")
	return stem + strings.TrimPrefix(client.Hashed(client.Script), strings.TrimSuffix(client.Script, ".js"))
}

// Capture wraps a route of the host's own that takes beacons: the request goes to
// the Sink as it would through ServeHTTP, and then to next, which has the events
// in its context ([FromContext]) and can still read the body, and which writes the
// answer. A preflight, or a request that was not taken, is answered without next.
func (h *Handler) Capture(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, ok := h.receive(w, r, true)
		if !ok {
			return
		}
		defer in.body.release()
		ctx := context.WithValue(r.Context(), eventsKey{}, in.events)
		next.ServeHTTP(w, withBody(r.WithContext(ctx), in.body.buf))
	})
}

type eventsKey struct{}

// FromContext returns the events of the request that [Handler.Capture] wrapped,
// without those that were dropped, or nil.
func FromContext(ctx context.Context) []Event {
	events, _ := ctx.Value(eventsKey{}).([]Event)
	return events
}

// withBody gives r a body that can be read again.
func withBody(r *http.Request, body []byte) *http.Request {
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), r.Body}
	return r
}
