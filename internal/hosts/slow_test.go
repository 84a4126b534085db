package hosts

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/pagebeacon/beacon"
)

const readTimeout = 100 * time.Millisecond

func slowHost(t *testing.T) *host {
	return newHost(t, func(c *beacon.Config) { c.ReadTimeout = readTimeout })
}

// A slow request has said that its body is of ten bytes, and sent two.
type slow struct {
	rest    *io.PipeWriter
	outcome chan error // of the answer, which is in the field below once it is there
	answer  *http.Response
}

func (s *site) slow(t *testing.T) *slow {
	t.Helper()
	body, rest := io.Pipe()
	t.Cleanup(func() { rest.Close() })
	r := s.request(t, beacon.Text("0123456789"))
	r.Body = body
	sl := &slow{rest: rest, outcome: make(chan error, 1)}
	go func() {
		res, err := s.client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			err = errors.Join(err, res.Body.Close())
			sl.answer = res
		}
		body.CloseWithError(errors.New("the request is over")) // nobody waits in Write
		sl.outcome <- err
	}()
	if _, err := io.WriteString(rest, "01"); err != nil {
		t.Fatal(err)
	}
	return sl
}

// send sends the rest.
func (sl *slow) send(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(sl.rest, "23456789"); err != nil {
		t.Error(err)
	}
	sl.rest.Close()
}

// expectTooSlow waits for the answer.
func (sl *slow) expectTooSlow(t *testing.T) {
	t.Helper()
	if err := <-sl.outcome; err != nil {
		t.Errorf("no answer: %v", err)
		return
	}
	status, reason := sl.answer.StatusCode, sl.answer.Header.Get("Beacon-Refused")
	if status != http.StatusRequestTimeout || reason != beacon.ReasonBodyTooSlow {
		t.Errorf("answer %d %q, want %d %q", status, reason, http.StatusRequestTimeout, beacon.ReasonBodyTooSlow)
	}
}

// TestSlowBody: behind everything that lets net/http.ResponseController through, a
// body that does not come is refused when its time is over, and not before.
func TestSlowBody(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"nothing", func(next http.Handler) http.Handler { return next }},
		{"writer with Unwrap", withUnwrap},
		{"chi", func(next http.Handler) http.Handler {
			return chimiddleware.Compress(5)(chimiddleware.Recoverer(chimiddleware.Timeout(time.Minute)(next)))
		}},
		{"gzhttp", func(next http.Handler) http.Handler { return gzhttp.GzipHandler(next) }},
		{"otelhttp", otelhttp.NewMiddleware("host")},
		{"MaxBytesHandler", func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 1<<20) }},
		{"inflating", inflating(func(*http.Request) {})},
		{"gin", func(next http.Handler) http.Handler { return inGin(next) }},
		{"echo", func(next http.Handler) http.Handler { return inEcho(next) }},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				h := slowHost(t)
				s := serve(t, tt.wrap(w.mount(h)))
				begun := time.Now()
				s.slow(t).expectTooSlow(t)
				if took := time.Since(begun); took < readTimeout {
					t.Errorf("refused after %v, and it has %v", took, readTimeout)
				}
				s.expect(t, s.request(t, jsonBody), w.taken(), "")
				checkStats(t, h, counts{Delivered: 1, Events: 1, Refused: map[string]uint64{beacon.ReasonBodyTooSlow: 1}})
				if n := h.log.withoutDeadline(); n != 0 {
					t.Errorf("%d log records that the time cannot be enforced, and it was", n)
				}
			})
		}
	}
}

// TestSlowBodyWithoutDeadline: a writer that hides net/http's own leaves nothing to
// end a read with. What comes through in the end is refused all the same, so that
// no proxy or test tells another story than the network does; and the log says
// once what the host should know.
func TestSlowBodyWithoutDeadline(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"TimeoutHandler", func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "too late") }},
		{"writer without Unwrap", withoutUnwrap},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				h := slowHost(t)
				s := serve(t, tt.wrap(w.mount(h)))
				slows := []*slow{s.slow(t), s.slow(t), s.slow(t)}
				time.Sleep(4 * readTimeout) // it is late when this much time is over, and nothing else tells
				for _, sl := range slows {
					sl.send(t)
					sl.expectTooSlow(t)
				}
				s.expect(t, s.request(t, jsonBody), w.taken(), "")
				checkStats(t, h, counts{Delivered: 1, Events: 1, Refused: map[string]uint64{beacon.ReasonBodyTooSlow: 3}})
				if n := h.log.withoutDeadline(); n != 1 {
					t.Errorf("%d log records that the time cannot be enforced, want 1", n)
				}
			})
		}
	}
}

// TestSlowStreams: where requests share a connection, one that is slow is refused
// alone. A proxy has one such connection for all of its visitors.
func TestSlowStreams(t *testing.T) {
	for name, p := range map[string]protocol{"HTTP2": serveHTTP2, "h2c": serveH2C, "HTTP3": serveHTTP3} {
		for _, w := range ways {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				h := slowHost(t)
				s := p.start(t, w.mount(h))
				fast := func() { t.Helper(); s.expect(t, s.request(t, jsonBody), w.taken(), "") }
				fast() // so that the others find a connection
				var slows []*slow
				for range 5 {
					slows = append(slows, s.slow(t))
				}
				fast()
				for _, sl := range slows {
					sl.expectTooSlow(t)
					if sl.answer != nil && sl.answer.Header["Connection"] != nil {
						t.Errorf("Connection: %q, which says nothing in this protocol", sl.answer.Header["Connection"])
					}
				}
				fast()
				if n := s.connections.Load(); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
				checkStats(t, h, counts{Delivered: 3, Events: 3, Refused: map[string]uint64{beacon.ReasonBodyTooSlow: 5}})
			})
		}
	}
}

// TestSlowConnection: an HTTP/1 connection whose body does not come is of no more
// use, and the others go on.
func TestSlowConnection(t *testing.T) {
	h := slowHost(t)
	s := serve(t, h)
	sl := s.slow(t)
	s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
	sl.expectTooSlow(t)
	if sl.answer != nil && !sl.answer.Close {
		t.Error("the answer does not close the connection, on which the rest of the body may still come")
	}
	checkStats(t, h, counts{Delivered: 1, Events: 1, Refused: map[string]uint64{beacon.ReasonBodyTooSlow: 1}})
}

// TestTimeoutHandlerFires: when the host's time-out is the shorter one it answers,
// and the client is told that the beacon was not taken. The sink goes on: its
// context is not the request's, so the event is stored, and may come twice.
func TestTimeoutHandlerFires(t *testing.T) {
	gate, stored := make(chan struct{}), make(chan error, 1)
	h := newHost(t, func(c *beacon.Config) {
		next := c.Sink
		c.Sink = beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			<-gate
			err := errors.Join(ctx.Err(), next.Consume(ctx, events))
			stored <- err
			return err
		})
	})
	s := serve(t, http.TimeoutHandler(h, readTimeout, "too late"))
	a := s.expect(t, s.request(t, jsonBody), http.StatusServiceUnavailable, "")
	if a.body != "too late" {
		t.Errorf("body %q, want that of the TimeoutHandler", a.body)
	}
	close(gate)
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if err := h.Shutdown(t.Context()); err != nil { // waits for the handler, which the answer did not
		t.Error(err)
	}
	if diff := cmp.Diff([]arrival{{Method: "POST", Origin: s.origin, Body: jsonBody}}, arrivals(h), sameBytes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	checkStats(t, h, counts{Delivered: 1, Events: 1})
}
