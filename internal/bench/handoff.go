package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/sink"
)

// gathered is how many events those who gather them hand on at once.
const gathered = 1024

// handoffs measures how events get to those who gather them, beside the least that is
// needed for it: a mutex and two slices that are swapped.
func handoffs(r *report) error {
	e, err := eventOf(bodies.Multipart(3, 0))
	if err != nil {
		return err
	}
	ctx := context.Background()
	t := r.table(fmt.Sprintf("Hand-off of events to a sink that gathers %s of them", ns(gathered)),
		"sink", "calls with", "ns an event, median", "minimum", "allocations", "bytes", "of a mutex and two slices, median", "minimum")
	for _, each := range []int{1, 100} {
		events := slices.Repeat([]beacon.Event{e}, each)
		queue := sink.VolatileQueue(nowhere, sink.QueueOptions{BatchEvents: gathered})
		batch := sink.Batch(slow, sink.BatchOptions{MaxEvents: gathered})
		dedup := sink.Dedup(nowhere, sink.DedupOptions{})
		bare := new(swapped)
		since := 0
		results, err := pair.Measure(r.Options,
			pair.Subject{Name: "a mutex and two slices", Run: repeat(func() error { bare.add(events); return nil })},
			// Who only ever hands over would fill the queue: it is emptied as often as it delivers.
			pair.Subject{Name: "**VolatileQueue**", Run: repeat(func() error {
				if since += each; since >= gathered {
					since = 0
					if err := queue.Flush(ctx); err != nil {
						return err
					}
				}
				return queue.Consume(ctx, events)
			})},
			pair.Subject{Name: "**Batch**, 64 at once", Run: atOnce(64, func() error { return batch.Consume(ctx, events) })},
			pair.Subject{Name: "**Dedup**, of events that it knows", Run: repeat(func() error { return dedup.Consume(ctx, events) })})
		if err != nil {
			return err
		}
		for _, res := range results {
			n := float64(each)
			t.row(res.Name, count(each), ns(res.Median/n), ns(res.Min/n), ratio(res.Allocs/n), ns(res.Bytes/n), ratio(1/res.Ratio), ratio(1/res.RatioMin))
		}
		if each == 1 {
			r.reach("queue", reached{1 / results[1].Ratio, 1 / results[1].RatioMin, results[1].Allocs})
		}
		if err := queue.Close(ctx); err != nil {
			return err
		}
		if err := batch.Close(ctx); err != nil {
			return err
		}
	}
	return t.end()
}

// slow is a sink behind which calls gather, as behind a disk.
var slow = beacon.SinkFunc(func(context.Context, []beacon.Event) error {
	time.Sleep(200 * time.Microsecond)
	return nil
})

func count(n int) string {
	if n == 1 {
		return "1 event"
	}
	return ns(float64(n)) + " events"
}

// atOnce is f, n times by so many goroutines.
func atOnce(callers int, f func() error) func(n int) error {
	return func(n int) error {
		errs := make([]error, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for range (n + callers - 1 - i) / callers {
					if err := f(); err != nil {
						errs[i] = err
					}
				}
			})
		}
		all.Wait()
		return beacon.JoinErrors(errs...)
	}
}

// swapped gathers events in one slice while the other is written.
type swapped struct {
	mu         sync.Mutex
	full, idle []beacon.Event
}

func (s *swapped) add(events []beacon.Event) {
	s.mu.Lock()
	if s.full = append(s.full, events...); len(s.full) >= gathered {
		s.full, s.idle = s.idle[:0], s.full
		clear(s.idle)
	}
	s.mu.Unlock()
}
