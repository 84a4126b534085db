package beacon

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// shutdown is what [Handler.Shutdown] needs to know.
type shutdown struct {
	begun atomic.Bool
	idle  chan struct{} // told when the last request leaves, once begun
}

var errShuttingDown = &RequestError{
	Status: http.StatusServiceUnavailable, Reason: ReasonShuttingDown, RetryAfter: 5 * time.Second,
}

// leave is the end of a request. It and Shutdown each write one of active and begun
// and then read the other, so at least one of them sees that it is time.
func (h *Handler) leave() {
	if h.stats.active.Add(-1) == 0 && h.shutdown.begun.Load() {
		select {
		case h.shutdown.idle <- struct{}{}:
		default:
		}
	}
}

// Shutdown makes the handler answer 503 from now on, and waits until no request is
// in progress or ctx ends, of which it returns the error. It may be called more
// than once.
//
// It does not touch the Sink, which is the host's. To end a program, let
// http.Server.Shutdown finish the requests that have come in, then call this, in case
// that ran out of time, and then close the Sink (see [Closer]).
func (h *Handler) Shutdown(ctx context.Context) error {
	h.shutdown.begun.Store(true)
	for h.stats.active.Load() != 0 {
		select {
		case <-h.shutdown.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
			h.log(r.Context(), "not ready", "not-ready", http.StatusServiceUnavailable, err)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, text) // nobody is left to tell
		}
	})
}

func (h *Handler) healthy(ctx context.Context) (err error) {
	if h.shutdown.begun.Load() {
		return errShuttingDown
	}
	defer recoverTo(&err)
	if c, ok := h.cfg.Sink.(HealthChecker); ok {
		return c.Healthy(ctx)
	}
	return nil
}
