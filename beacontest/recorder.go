// Package beacontest helps to test code that uses package beacon: a Sink that
// remembers, requests as browsers send them, and a conformance suite for Sinks.
package beacontest

import (
	"context"
	"slices"
	"sync"

	"github.com/pagebeacon/beacon"
)

// A Recorder is a Sink that keeps the events it gets. The zero value is ready to
// use, by concurrent requests too.
type Recorder struct {
	mu     sync.Mutex
	events []beacon.Event
	err    error
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

// Reset forgets what was kept.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}
