// Package delivery is what sinks that stand in front of another one share: which events
// an error is about, how long to wait, and how to get a batch past a sink that fails.
package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/wire"
)

// RetryBase and RetryLimit are the waits, see [Backoff], of those that deliver in the
// background for as long as it takes.
const (
	RetryBase  = 50 * time.Millisecond
	RetryLimit = 5 * time.Second
)

// Backoff returns how long to wait before a retry, the first being number 0: full
// jitter, that is anything up to base doubled with each retry, and up to limit.
// Jitter over the whole range is what spreads the callers of a sink that comes
// back.
func Backoff(base, limit time.Duration, retry int) time.Duration {
	ceiling := limit
	if retry < 32 && base<<retry > 0 {
		ceiling = min(limit, base<<retry)
	}
	return rand.N(ceiling + 1)
}

// Consume gives the events to s, guarded. So is the text of the error, which will be asked
// for: that of a nil pointer in an error panics.
func Consume(ctx context.Context, s beacon.Sink, events []beacon.Event) error {
	return Guard(func() error {
		err := s.Consume(ctx, events)
		if err != nil {
			_ = err.Error()
		}
		return err
	})
}

// maxLogged is how much of a text is logged.
const maxLogged = 256

// Printable returns the beginning of a text as a log or a page may hold it. A client may
// have written parts of it.
func Printable(text string) string {
	if len(text) <= maxLogged {
		return wire.Printable(text)
	}
	return wire.Printable(text[:maxLogged]) + "…"
}

// Guard calls f and makes an error of a panic: the one that the handler would make
// of it, so that it is answered and counted as a panic. It is temporary. On a
// goroutine that is not a request's, nobody else would stop a panic from ending the
// host.
func Guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &beacon.RequestError{
				Status: http.StatusInternalServerError, Reason: beacon.ReasonPanic,
				Err: fmt.Errorf("sink: panic: %v\n%s", p, debug.Stack()),
			}
		}
	}()
	return f()
}
