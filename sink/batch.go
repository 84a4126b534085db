package sink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
)

// Defaults of [BatchOptions], and of what [QueueOptions] has in common with them.
const (
	batchEvents = 1024
	batchBytes  = 4 << 20
	heldBytes   = 64 << 20
	callTimeout = 30 * time.Second
)

// BatchOptions say when a batch ends: at whichever of MaxEvents, MaxBytes and
// Linger comes first. The zero value is all defaults.
type BatchOptions struct {
	// MaxEvents and MaxBytes bound a batch; defaults 1,024 and 4 MiB. Bytes are
	// counted as those of [QueueOptions.MaxBytes] are. The events of one call are never
	// parted, so a call that exceeds a bound by itself is a batch of its own.
	MaxEvents int
	MaxBytes  int64

	// Linger is how long a batch waits for more events. Without it a batch is
	// what gathered while the one before was being written: small and quick when
	// there is little to do, large when there is much. That is the default. Set it
	// if many small batches are a burden, as for object stores.
	Linger time.Duration

	// MaxWaiting bounds what is in memory until the sink behind has spoken, in the same
	// bytes; default 64 MiB. A call beyond is refused at once with a
	// [*beacon.RetryAfterError] and [ErrFull]. One that exceeds the bound by itself is
	// taken when nothing else waits.
	MaxWaiting int64

	// Timeout bounds one call of the sink behind; default 30 s.
	Timeout time.Duration
}

// Batch returns a sink that merges the events of concurrent calls and hands them
// to next in one: group commit. Each call waits until next has taken the batch
// with its events, and gets the error if it has not. Batches go to next one at a
// time, in order.
//
// Next gets a context that ends after Timeout and is none of the callers', so it
// carries no values of a request, and a caller that gives up does not cost the
// others. Such a caller gets the error of its context at once, and its events may
// be stored all the same.
//
// # One bad event costs its neighbours nothing
//
// If next names the events that it did not take, with a [*beacon.PartialError], only
// their callers get an error, each about its own.
//
// Otherwise, if next refuses a batch for good, panics or ends the goroutine, the batch
// is tried apart: in quarters, and those that are refused in quarters again, until only
// the calls are left whose events next does not take alone. So nobody is refused for
// good whose events were not tried without those of others. The batches behind do not
// wait for it: up to 8 calls of next run beside theirs.
//
// A temporary failure may be that of one event, too, or next is away. To find out, up to
// four calls of the batch are tried alone. As soon as next takes one, the rest is tried
// apart as above; if it takes none, all get the error. When eight in a row have failed
// alone, next is away, and until it takes something only one call of every eighth batch is
// tried so.
//
// Nothing is tried apart for which next asks for a delay, with a [*beacon.RetryAfterError]
// or a [*beacon.RequestError], or that took all of Timeout.
//
// Trying apart costs about 4 log4(n) calls of next for each bad call in a batch of n, and
// fewer than 2n for all. Next has to expect events a second time that it took from a batch
// for which it returned an error.
//
// # What next does wrong
//
// A panic becomes an error that is answered like one, 500. If next does not return
// within a second of its context's end, the callers get an error that is temporary, the
// batches behind go ahead in one of the 8 calls' stead, and the events stay counted in
// MaxWaiting. When 8 do not return there is no such call left, nothing is tried apart and
// the next one that hangs stops the line; then Healthy fails.
//
// Batch starts a goroutine for each call of next. Flush ends the lingering and waits for
// what is on its way. Batch panics if next is nil or an option is negative.
func Batch(next beacon.Sink, o BatchOptions) Sink {
	mustSink("Batch", next)
	b := &batch{
		front:      front{next: next},
		maxEvents:  orDefault("BatchOptions.MaxEvents", o.MaxEvents, batchEvents),
		maxBytes:   orDefault("BatchOptions.MaxBytes", o.MaxBytes, batchBytes),
		maxWaiting: orDefault("BatchOptions.MaxWaiting", o.MaxWaiting, heldBytes),
		linger:     orDefault("BatchOptions.Linger", o.Linger, 0),
		timeout:    orDefault("BatchOptions.Timeout", o.Timeout, callTimeout),
		last:       make(chan struct{}),
		unsettled:  map[*group]struct{}{},
		aside:      make(chan struct{}, asideCalls),
	}
	close(b.last)
	return b
}

type batch struct {
	front
	maxEvents            int
	maxBytes, maxWaiting int64
	linger, timeout      time.Duration

	mu        sync.Mutex
	open      *group        // the newest, while it takes calls; else nil
	last      chan struct{} // passed of the newest
	unsettled map[*group]struct{}
	waiting   int64 // bytes of those
	full      bool  // a call was refused, and nothing left since

	aside chan struct{} // holds what each call of next beside the line has put in
	took  atomic.Uint64 // how many calls next took
	alone atomic.Int64  // how many calls failed alone since, temporarily

	skipped atomic.Uint64 // lots that were not tried apart because next is away
	hanging atomic.Int64  // calls that had to return and did not
}

// A group is one batch: the calls whose events go to next together.
type group struct {
	lot
	events int
	bytes  int64

	before <-chan struct{} // passed of the group before
	ready  chan struct{}   // closed to end the lingering; nil without
	hurry  bool            // ready is closed

	passed  chan struct{} // closed when it is the turn of the next one
	pass    sync.Once     // to close it
	pending atomic.Int64  // lots without an outcome
	settled chan struct{} // closed when there are none
}

func (b *batch) Consume(ctx context.Context, events []beacon.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var size int64
	for i := range events {
		size += weight(events, i)
	}
	g, share, err := b.join(events, size)
	if err != nil {
		return err
	}
	return g.wait(ctx, share)
}

// join adds a call to the open group, or to a new one if it has no room.
func (b *batch) join(events []beacon.Event, size int64) (g *group, share int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() { // under the lock: Close waits for the last group it finds there
		return nil, 0, ErrClosed
	}
	if b.waiting > 0 && b.waiting+size > b.maxWaiting {
		b.full = true
		return nil, 0, noRoom()
	}
	b.waiting += size
	g = b.open
	if g != nil && (g.events+len(events) > b.maxEvents || g.bytes+size > b.maxBytes) {
		b.seal(g)
		g = nil
	}
	if g == nil {
		g = b.begin()
	}
	share = len(g.shares)
	g.shares = append(g.shares, events)
	g.events += len(events)
	g.bytes += size
	if g.events >= b.maxEvents || g.bytes >= b.maxBytes {
		b.seal(g)
	}
	return g, share, nil
}

// begin opens a new group. The caller holds the lock.
func (b *batch) begin() *group {
	g := &group{before: b.last, passed: make(chan struct{}), settled: make(chan struct{})}
	g.done = make(chan struct{})
	g.pending.Store(1)
	if b.linger > 0 {
		g.ready = make(chan struct{})
	}
	b.open, b.last = g, g.passed
	b.unsettled[g] = struct{}{}
	go b.run(g)
	return g
}

// seal ends the taking of calls. The caller holds the lock.
func (b *batch) seal(g *group) {
	if b.open == g {
		b.open = nil
	}
	if g.ready != nil && !g.hurry {
		g.hurry = true
		close(g.ready)
	}
}

// run waits until it is the turn of g, and hands it to next.
func (b *batch) run(g *group) {
	if g.ready != nil {
		t := time.NewTimer(b.linger)
		select {
		case <-t.C:
		case <-g.ready:
		}
		t.Stop()
	}
	<-g.before
	b.mu.Lock()
	b.seal(g)
	b.mu.Unlock()
	b.try(g, &g.lot)
}

// Flush ends the lingering, waits for the batches on their way, and then flushes
// next.
func (b *batch) Flush(ctx context.Context) error {
	if err := b.wait(ctx); err != nil {
		return err
	}
	return b.front.Flush(ctx)
}

func (b *batch) wait(ctx context.Context) error {
	b.mu.Lock()
	if b.open != nil {
		b.seal(b.open)
	}
	groups := slices.Collect(maps.Keys(b.unsettled))
	b.mu.Unlock()
	for _, g := range groups {
		select {
		case <-g.settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close closes next even if ctx ends before the last batch is written: its callers
// wait, and hear what becomes of it.
func (b *batch) Close(ctx context.Context) error {
	return b.end(ctx, func() error { return errors.Join(b.wait(ctx), beacon.Close(ctx, b.next)) })
}

// Healthy says, before it asks next, whether there is room and things move.
func (b *batch) Healthy(ctx context.Context) error {
	b.mu.Lock()
	full := b.full
	b.mu.Unlock()
	switch {
	case b.closed.Load():
		return ErrClosed
	case b.hanging.Load() >= asideCalls: // nothing is tried apart, and soon the line stands
		return errOverdue
	case full:
		return ErrFull
	}
	return b.front.Healthy(ctx)
}
