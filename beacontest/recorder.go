// Package beacontest helps to test code that uses package beacon: a Sink that
// remembers and waits, what browser tests ask for the events of their pages,
// requests as browsers send them, and a conformance suite for Sinks.
package beacontest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pagebeacon/beacon"
)

// A Recorder is a Sink that keeps the events it gets. The zero value is ready to
// use, by concurrent requests too.
type Recorder struct {
	mu      sync.Mutex
	events  []beacon.Event
	err     error
	changed change
}

var _ beacon.Sink = (*Recorder)(nil)

// Consume keeps the events, or, after [Recorder.Fail], returns that error and
// keeps none.
func (r *Recorder) Consume(_ context.Context, events []beacon.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.events = append(r.events, events...)
	r.changed.tell()
	return nil
}

// Fail makes Consume return err from now on; nil ends that.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// Events returns a copy of what was kept, in the order it came.
func (r *Recorder) Events() []beacon.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Wait waits until n of the kept events match, and returns all that do, in the order
// they came; a nil match is one that all do. If ctx ends first it returns those that
// there are, and an error that tells how many, and the names of what else came. What
// sends events of its own accord, as a browser does, is waited for with it; a Handler
// has called the Sink when it answers.
func (r *Recorder) Wait(ctx context.Context, n int, match func(beacon.Event) bool) ([]beacon.Event, error) {
	for {
		r.mu.Lock()
		kept, failing := slices.Clone(r.events), r.err
		changed := r.changed.next()
		r.mu.Unlock()

		var found, others []beacon.Event
		for _, e := range kept {
			if match == nil || match(e) {
				found = append(found, e)
			} else {
				others = append(others, e)
			}
		}
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := fmt.Errorf("beacontest: %d of %d events came: %w; others: %s", len(found), n, context.Cause(ctx), tally(others))
			if failing != nil {
				err = fmt.Errorf("%w; Consume fails since Fail: %v", err, failing)
			}
			return found, err
		}
	}
}

// Reset forgets what was kept.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// A change is waited for by any number of goroutines. The mutex of what changes guards it.
type change struct {
	c chan struct{} // nil if nobody waits
}

// next returns what the next change closes.
func (c *change) next() <-chan struct{} {
	if c.c == nil {
		c.c = make(chan struct{})
	}
	return c.c
}

func (c *change) tell() {
	if c.c != nil {
		close(c.c)
		c.c = nil
	}
}

// tally says what events there are, by name or else by kind, as in "2 log, 1 form".
func tally(events []beacon.Event) string {
	counts := map[string]int{}
	for _, e := range events {
		what := e.Name
		if what == "" && e.Body != nil {
			what = e.Body.Kind()
		}
		counts[what]++
	}
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}
