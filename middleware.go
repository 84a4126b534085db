package beacon

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Middleware wraps a whole application: requests for [Config.Path] are handled
// by h, all others reach next untouched.
func (h *Handler) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == h.cfg.Path {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
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
