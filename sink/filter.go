package sink

import (
	"context"

	"github.com/pagebeacon/beacon"
)

// Filter returns a sink that hands on the events for which keep returns true. The
// others are taken and dropped; if none are left, next is not called.
//
// keep may change the event, which is the sink's own, but not in place what it
// points to: to set an attribute, clone the map. It is called concurrently for
// concurrent calls. Filter panics if next or keep is nil.
func Filter(next beacon.Sink, keep func(*beacon.Event) bool) Sink {
	mustSink("Filter", next)
	if keep == nil {
		panic("sink: Filter: no function to decide")
	}
	return &filter{front: front{next: next}, keep: keep}
}

type filter struct {
	front
	keep func(*beacon.Event) bool
}

func (f *filter) Consume(ctx context.Context, events []beacon.Event) error {
	if f.closed.Load() {
		return ErrClosed
	}
	n := 0
	for i := range events {
		if !f.keep(&events[i]) {
			continue
		}
		if n != i {
			events[n] = events[i]
		}
		n++
	}
	clear(events[n:])
	if n == 0 {
		return nil
	}
	return f.next.Consume(ctx, events[:n])
}
