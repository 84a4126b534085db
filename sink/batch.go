package sink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// Defaults of [BatchOptions], and of what [QueueOptions] has in common with them.
const (
	batchEvents = 1024
	batchBytes  = 4 << 20
	callTimeout = 30 * time.Second
)

// BatchOptions say when a batch ends: at whichever of MaxEvents, MaxBytes and
// Linger comes first. The zero value is all defaults.
type BatchOptions struct {
	// MaxEvents and MaxBytes bound a batch; defaults 1,024 and 4 MiB. Bytes are
	// about those that events take in memory. The events of one call are never
	// parted, so a call that exceeds a bound by itself is a batch of its own.
	MaxEvents int
	MaxBytes  int64

	// Linger is how long a batch waits for more events. Without it a batch is
	// what gathered while the one before was being written: small and quick when
	// there is little to do, large when there is much. That is the default. Set it
	// if many small batches are a burden, as for object stores.
	Linger time.Duration

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
// be stored all the same. The exception is the caller that writes the batch, the
// first that came: it returns when that is done.
//
// If next names the events that it did not take, with a [*beacon.PartialError], only
// their callers get an error, each about its own. Otherwise, if next refuses a batch
// for good or panics, the events of its callers are delivered again apart, so that
// only the caller whose event it was gets the error. Next therefore has to expect
// events a second time that it took from a batch it then refused. A panic becomes an
// error that is answered like one, 500.
//
// Batch starts no goroutine. Flush ends the lingering and waits for the batches that
// are on their way.
// Batch panics if next is nil or an option is negative.
func Batch(next beacon.Sink, o BatchOptions) Sink {
	mustSink("Batch", next)
	b := &batch{
		front:     front{next: next},
		maxEvents: orDefault("BatchOptions.MaxEvents", o.MaxEvents, batchEvents),
		maxBytes:  orDefault("BatchOptions.MaxBytes", o.MaxBytes, batchBytes),
		linger:    orDefault("BatchOptions.Linger", o.Linger, 0),
		timeout:   orDefault("BatchOptions.Timeout", o.Timeout, callTimeout),
		last:      make(chan struct{}),
	}
	close(b.last)
	return b
}

var errGone = errors.New("sink: the goroutine that wrote the batch was ended")

type batch struct {
	front
	maxEvents       int
	maxBytes        int64
	linger, timeout time.Duration

	mu   sync.Mutex
	open *group        // the newest, while it takes calls; else nil
	last chan struct{} // done of the newest
}

// A group is one batch: the calls whose events go to next together. The first of
// them leads: it writes the batch for all.
type group struct {
	shares [][]beacon.Event // what each call brought
	events int
	bytes  int64

	before <-chan struct{} // done of the group before: when it is this one's turn
	ready  chan struct{}   // closed to end the lingering; nil without
	hurry  bool            // ready is closed
	done   chan struct{}   // closed when written
	errs   []error         // by share, nil if there are none; read it after done
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
		size += int64(events[i].Size())
	}
	g, share, err := b.join(events, size)
	if err != nil {
		return err
	}
	if share == 0 {
		b.lead(g)
		return g.err(0)
	}
	select {
	case <-g.done:
		return g.err(share)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) err(share int) error {
	if g.errs == nil {
		return nil
	}
	return g.errs[share]
}

// join adds a call to the open group, or to a new one if it has no room.
func (b *batch) join(events []beacon.Event, size int64) (g *group, share int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() { // under the lock: Close waits for the last group it finds there
		return nil, 0, ErrClosed
	}
	g = b.open
	if g != nil && (g.events+len(events) > b.maxEvents || g.bytes+size > b.maxBytes) {
		b.seal(g)
		g = nil
	}
	if g == nil {
		g = &group{before: b.last, done: make(chan struct{})}
		if b.linger > 0 {
			g.ready = make(chan struct{})
		}
		b.open, b.last = g, g.done
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

// lead sees a group through, whatever becomes of the caller: others wait for it.
func (b *batch) lead(g *group) {
	written := false
	defer func() {
		if !written { // next has ended the goroutine; nobody may take that for success
			g.errs = slices.Repeat([]error{errGone}, len(g.shares))
		}
		close(g.done)
	}()
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

	b.write(g, 0, len(g.shares))
	written = true
}

// write delivers the shares from lo to hi, and on an error that one event may be
// the cause of, the halves apart.
func (b *batch) write(g *group, lo, hi int) {
	events := merge(g.shares[lo:hi])
	n := len(events)
	ctx, cancel := context.WithTimeout(context.Background(), b.timeout)
	panicked := true
	err := delivery.Guard(func() error {
		err := b.next.Consume(ctx, events)
		panicked = false
		return err
	})
	cancel()
	failed, why, named := delivery.Failed(err, n)
	switch {
	case err == nil:
	case hi-lo > 1 && !named && (panicked || beacon.IsPermanent(why)):
		mid := int(uint(lo+hi) / 2)
		b.write(g, lo, mid)
		b.write(g, mid, hi)
	default:
		g.fail(lo, hi, failed, why)
	}
}

// fail tells the shares from lo to hi which of their events failed; failed are
// positions among all of these.
func (g *group) fail(lo, hi int, failed []int, why error) {
	if g.errs == nil {
		g.errs = make([]error, len(g.shares))
	}
	start := 0
	for i := lo; i < hi; i++ {
		n := len(g.shares[i])
		var own []int
		for len(failed) > 0 && failed[0] < start+n {
			own = append(own, failed[0]-start)
			failed = failed[1:]
		}
		switch len(own) {
		case 0:
		case n:
			g.errs[i] = why
		default:
			g.errs[i] = &beacon.PartialError{Failed: own, Err: why}
		}
		start += n
	}
}

// merge returns the events of all shares in a slice that can be given away. That
// of one alone is: it is not needed again.
func merge(shares [][]beacon.Event) []beacon.Event {
	if len(shares) == 1 {
		return shares[0]
	}
	n := 0
	for _, s := range shares {
		n += len(s)
	}
	all := make([]beacon.Event, 0, n)
	for _, s := range shares {
		all = append(all, s...)
	}
	return all
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
	last := b.last
	b.mu.Unlock()
	select {
	case <-last:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes next even if ctx ends before the last batch is written: its callers
// wait, and hear what becomes of it.
func (b *batch) Close(ctx context.Context) error {
	return b.end(ctx, func() error { return errors.Join(b.wait(ctx), beacon.Close(ctx, b.next)) })
}
