package sink

import (
	"context"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// Filter returns a sink that hands on the events for which keep returns true. The
// others are taken and dropped; if none are left, next is not called. keep is called
// concurrently for concurrent calls; a panic in it goes through. [Split] can change
// events, too.
//
// Filter panics if next or keep is nil.
func Filter(next beacon.Sink, keep func(beacon.Event) bool) Sink {
	mustSink("Filter", next)
	if keep == nil {
		panic("sink: Filter: no function to decide")
	}
	return &filter{front: front{next: next}, keep: keep}
}

type filter struct {
	front
	keep func(beacon.Event) bool
}

func (f *filter) Consume(ctx context.Context, events []beacon.Event) error {
	if f.closed.Load() {
		return ErrClosed
	}
	var few [16]int // spares most calls an allocation
	kept := few[:0]
	for i := range events {
		if f.keep(events[i]) {
			kept = append(kept, i)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	if len(kept) == len(events) {
		return f.next.Consume(ctx, events)
	}
	var tally delivery.Tally
	tally.Add(kept, f.next.Consume(ctx, pick(events, kept)))
	return tally.Err()
}
