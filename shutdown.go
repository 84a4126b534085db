package beacon

import (
	"context"
	"io"
	"net/http"
)

// Shutdown makes the handler answer beacons with 503 from now on, and waits until no request that
// came before is in progress, its answer and what [Handler.Capture] wraps included, or
// ctx ends, of which it returns the error. It may be called more than once, and
// concurrently.
//
// It does not touch the Sink, which is the host's. To end a program, let
// http.Server.Shutdown finish the requests that have come in, then call this, in case
// that ran out of time, and then [Close] the Sink.
func (h *Handler) Shutdown(ctx context.Context) error {
	return h.requests.Wait(ctx)
}

// Ready returns a handler for the readiness probe of a load balancer: 200 while
// events can be taken, and 503 during [Handler.Shutdown] or while the Sink, if it is
// a [HealthChecker], says otherwise. Why goes to the log, at most once a second.
func (h *Handler) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h.healthy(r.Context())
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Type", "text/plain; charset=utf-8")
		text := "ready\n"
		if err != nil {
			text = "not ready\n"
			h.answers.log(r.Context(), "not ready", &RequestError{Status: http.StatusServiceUnavailable, Reason: "not-ready", Err: err})
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, text) // nobody is left to tell
		}
	})
}

func (h *Handler) healthy(ctx context.Context) (err error) {
	if h.requests.Begun() {
		return shuttingDown()
	}
	defer recoverTo(&err)
	return Healthy(ctx, h.cfg.Sink)
}
