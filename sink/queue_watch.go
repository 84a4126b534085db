package sink

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
)

// A watched sink is one whose calls are looked after: it tells of those that do not
// return in time.
type watched struct {
	next   beacon.Sink
	within time.Duration
	logger *slog.Logger
	late   atomic.Bool // one does not, right now
}

func (w *watched) Consume(ctx context.Context, events []beacon.Event) error {
	begun := time.Now()
	back := make(chan struct{})
	over := time.AfterFunc(w.within, func() {
		w.late.Store(true)
		w.logger.Error("sink: queue: a call of the sink behind does not return, and nothing is delivered", "events", len(events), "for", time.Since(begun))
		<-back
		w.late.Store(false)
		w.logger.Info("sink: queue: the call of the sink behind has returned", "after", time.Since(begun))
	})
	defer func() {
		over.Stop()
		close(back)
	}()
	return w.next.Consume(ctx, events)
}
