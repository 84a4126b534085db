package beacontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// A probe is the sink behind the one under test. It makes full use of what a sink
// may do to the slice it gets.
type probe struct {
	mu       sync.Mutex
	fail     func(events []beacon.Event) error // if set, called first, without the lock; of a PartialError it takes the others
	flushErr error
	health   error

	stored                       []beacon.Event
	kept                         [][]beacon.Event // every slice it got; all events of slice i are scribble(i)
	flushes, closes, late        int
	storedAtFlush, storedAtClose int
}

func scribble(i int) beacon.Event { return beacon.Event{ID: fmt.Sprint("changed by its owner ", i)} }

func (p *probe) Consume(_ context.Context, events []beacon.Event) error {
	mine := slices.Clone(events)
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		mine := scribble(len(p.kept))
		for i := range events {
			events[i] = mine
		}
		_ = append(events, mine)
		p.kept = append(p.kept, events)
	}()
	p.mu.Lock()
	fail := p.fail
	if p.closes > 0 && len(events) > 0 {
		p.late++
	}
	p.mu.Unlock()
	var err error
	if fail != nil {
		err = fail(mine)
	}
	failed := notTaken(err, len(mine))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range mine {
		if !slices.Contains(failed, i) {
			p.stored = append(p.stored, mine[i])
		}
	}
	return err
}

// notTaken returns the positions of a call of n events that a sink did not take which
// returned err.
func notTaken(err error, n int) []int {
	if err == nil {
		return nil
	}
	if part, ok := errors.AsType[*beacon.PartialError](err); ok && len(part.Failed) > 0 &&
		!slices.ContainsFunc(part.Failed, func(i int) bool { return i < 0 || i >= n }) {
		return slices.Compact(slices.Sorted(slices.Values(part.Failed)))
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (p *probe) Flush(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushes++
	p.storedAtFlush = len(p.stored)
	return p.flushErr
}

func (p *probe) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closes++; p.closes == 1 {
		p.storedAtClose = len(p.stored)
	}
	return nil
}

func (p *probe) Healthy(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

// failWith changes what it does before it takes events; nil is nothing.
func (p *probe) failWith(fail func(events []beacon.Event) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// lacks reports the events of want that it does not have, or not as they were.
func (p *probe) lacks(want map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return compare(want, p.stored)
}

// once reports if it has other events than want, or one of them twice.
func (p *probe) once(want map[string]string) error {
	if err := p.lacks(want); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stored) != len(want) {
		return fmt.Errorf("%d events arrived, of %d", len(p.stored), len(want))
	}
	return nil
}

// wrapped makes a sink in front of a probe for check, and closes it after that.
func wrapped(wrap wrapFunc, check func(sink beacon.Sink, p *probe) error) error {
	p := &probe{}
	sink := wrap(p)
	err := check(sink, p)
	p.failWith(nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = beacon.Close(ctx, sink) // there is a rule for what it does
	return err
}

var errHangs = fmt.Errorf("Consume did not return within %v", patience)

// consume calls the sink as a Handler would, with a copy of the events and a
// deadline, and knows how to deal with one that hangs or panics.
func consume(ctx context.Context, sink beacon.Sink, events []beacon.Event) (err error, panicked bool) {
	type result struct {
		err      error
		panicked bool
	}
	ctx, cancel := context.WithTimeout(ctx, patience/3)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{fmt.Errorf("panic: %v", p), true}
			}
			done <- r
		}()
		r.err = sink.Consume(ctx, slices.Clone(events))
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case r := <-done:
		return r.err, r.panicked
	case <-t.C:
		return errHangs, false
	}
}

// take has the sink take the events; again, if it fails temporarily.
func take(sink beacon.Sink, events []beacon.Event) error {
	var err error
	for range 20 {
		if err, _ = consume(context.Background(), sink, events); err == nil || err == errHangs || beacon.IsPermanent(err) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("20 calls in a row failed, though the next sink works: %w", err)
}

func flush(sink beacon.Sink) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := beacon.Flush(ctx, sink); err != nil {
		return fmt.Errorf("Flush: %w", err)
	}
	return nil
}

func closeSink(sink beacon.Sink) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := beacon.Close(ctx, sink); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	return nil
}

// delivered consumes and flushes.
func delivered(sink beacon.Sink, events []beacon.Event) error {
	if err, _ := consume(context.Background(), sink, events); err != nil {
		return err
	}
	return flush(sink)
}
