package sink_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// TestAllocations holds what it costs to hand events over. What is behind is blocked
// meanwhile, or does nothing: it is the caller's side that is counted.
func TestAllocations(t *testing.T) {
	check := func(name string, budget float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(50, f); got > budget {
			t.Errorf("%s: %v allocations, budget %v", name, got, budget)
		}
	}
	ctx := t.Context()
	consume := func(s beacon.Sink, events []beacon.Event) {
		if err := s.Consume(ctx, events); err != nil {
			t.Error(err)
		}
	}
	events := make([]beacon.Event, 100)
	for i := range events {
		events[i] = beacon.Event{ID: strconv.Itoa(i), Body: beacon.Text("hello"), Request: beacon.Request{ID: "one"}}
	}

	held := make(chan struct{})
	q := sink.VolatileQueue(beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-held; return nil }),
		sink.QueueOptions{Timeout: time.Hour, MaxEvents: 1 << 20, MaxBytes: 1 << 30})
	for range 130 { // a ring that has grown beyond what is counted
		consume(q, events)
	}
	check("queue, 1 event", 0, func() { consume(q, events[:1]) })
	check("queue, 16 events", 0, func() { consume(q, events[:16]) })
	check("queue, 100 events", 1, func() { consume(q, events) }) // their sizes
	close(held)
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}

	d := sink.Dedup(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), sink.DedupOptions{MaxIDs: 1000})
	one, n := events[:1], 0
	next := func() {
		n++
		one[0].ID = "id " + strconv.Itoa(n)
		consume(d, one)
	}
	for range 2000 {
		next()
	}
	check("dedup, 1 new event", 3, next) // the flight, and two for the id here
}
