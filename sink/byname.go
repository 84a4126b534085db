package sink

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// ByName returns a sink that hands each event to the sink that stands under its Name in
// routes, or to otherwise. If otherwise is nil, events with other names are taken and
// dropped. A sink gets its events of a call in one, in order; one that stands under
// several names, or is otherwise too, gets them together.
//
// The sinks are called one after the other, by the order of their names, all of them even
// if one fails, and a panic in one is an error that is answered like one, 500. Their
// errors are joined as [beacon.JoinErrors] does; if a part of the call was taken, in a
// [*beacon.PartialError] that names the rest. A sink that refuses several events for
// good, without naming any, may have only one of them to blame: the error about such a
// part is temporary, so that those in doubt come again by themselves.
//
// Flush, Close and Healthy reach all sinks, concurrently and each once: those that are
// equal by == are one. ByName copies routes. It panics if there is no sink at all, or one
// in routes is nil.
func ByName(routes map[string]beacon.Sink, otherwise beacon.Sink) Sink {
	b := &byName{otherwise: -1, routes: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		mustSink(fmt.Sprintf("ByName: %q", name), routes[name])
		b.routes[name] = b.add(routes[name])
	}
	if otherwise != nil {
		b.otherwise = b.add(otherwise)
	}
	if len(b.sinks) == 0 {
		panic("sink: ByName: no sink at all")
	}
	return b
}

type byName struct {
	lifetime
	sinks     []beacon.Sink  // each once
	routes    map[string]int // index of a sink, by name
	otherwise int            // -1 without one
}

// add returns the index of s.
func (b *byName) add(s beacon.Sink) int {
	if reflect.ValueOf(s).Comparable() {
		for i, t := range b.sinks {
			if s == t {
				return i
			}
		}
	}
	b.sinks = append(b.sinks, s)
	return len(b.sinks) - 1
}

func (b *byName) Consume(ctx context.Context, events []beacon.Event) error {
	if b.closed.Load() {
		return ErrClosed
	}
	at := make([][]int, len(b.sinks)) // the positions of each one's events
	for i := range events {
		to, ok := b.routes[events[i].Name]
		if !ok {
			to = b.otherwise
		}
		if to >= 0 {
			at[to] = append(at[to], i)
		}
	}
	var tally delivery.Tally
	for to, s := range b.sinks {
		if len(at[to]) == 0 {
			continue
		}
		mine := make([]beacon.Event, len(at[to]))
		for i, from := range at[to] {
			mine[i] = events[from]
		}
		tally.Add(at[to], delivery.Consume(ctx, s, mine))
	}
	return tally.Err()
}

func (b *byName) Flush(ctx context.Context) error {
	return each(b.sinks, func(s beacon.Sink) error { return beacon.Flush(ctx, s) })
}

func (b *byName) Close(ctx context.Context) error {
	return b.end(ctx, func() error {
		return each(b.sinks, func(s beacon.Sink) error { return beacon.Close(ctx, s) })
	})
}

func (b *byName) Healthy(ctx context.Context) error {
	if b.closed.Load() {
		return ErrClosed
	}
	return each(b.sinks, func(s beacon.Sink) error { return beacon.Healthy(ctx, s) })
}
