package sink

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A watched sink is one whose calls are looked after: it may end the goroutine, and if it
// does not return in time that is told.
type watched struct {
	next   beacon.Sink
	within time.Duration
	logger *slog.Logger
	late   atomic.Bool // a call does not return, right now
}

func (w *watched) Consume(ctx context.Context, events []beacon.Event) error {
	begun, n := time.Now(), len(events)
	done := make(chan error, 1)
	go func() {
		err := errGone
		defer func() { done <- err }()
		err = delivery.Consume(ctx, w.next, events)
	}()
	t := time.NewTimer(w.within)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	w.late.Store(true)
	defer w.late.Store(false)
	w.logger.Error("sink: queue: the sink behind does not return, and nothing is delivered", "events", n, "since", begun)
	err := <-done
	w.logger.Info("sink: queue: the sink behind has returned", "after", time.Since(begun))
	return err
}
