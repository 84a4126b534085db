package sink

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

const (
	// asideCalls is how many calls of next may run beside that of the batch whose turn
	// it is.
	asideCalls = 8

	// fanOut is into how many parts a lot is cut. A tree of quarters costs no more calls
	// than one of halves, if few are bad, and those who are not wait half as long.
	fanOut = 4

	// probes is how many shares of a lot are tried alone to find out whether next is away.
	probes = 4

	// awayAfter is how many have to fail alone, one after the other, until it is held to
	// be. Fewer and it would be held to be so while only some events are bad.
	awayAfter = 8

	// lookAgain is after how many lots that failed while next is away one is tried alone.
	lookAgain = 8
)

// A lot is what goes to next in one call: a batch, or a part of one that is tried apart.
type lot struct {
	shares [][]beacon.Event // what each call brought

	told  atomic.Bool
	done  chan struct{} // closed when what follows is known
	errs  []error       // by share; nil if all were taken
	parts []*lot        // they say more, if there are any
}

// wait returns the outcome of one share.
func (l *lot) wait(ctx context.Context, share int) error {
	for {
		select {
		case <-l.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.parts == nil {
			break
		}
		i := 0
		for share >= len(l.parts[i].shares) {
			share -= len(l.parts[i].shares)
			i++
		}
		l = l.parts[i]
	}
	if l.errs == nil {
		return nil
	}
	return l.errs[share]
}

// tell tells those who wait, unless they have been told.
func (l *lot) tell(errs []error, parts []*lot) {
	if l.told.CompareAndSwap(false, true) {
		l.errs, l.parts = errs, parts
		close(l.done)
	}
}

// cut cuts the lot into parts. At both ends so many shares are parts of their own.
func (l *lot) cut(ends int) []*lot {
	m := len(l.shares) - 2*ends
	pieces := min(fanOut, m)
	parts := make([]*lot, 0, pieces+2*ends)
	add := func(lo, hi int) {
		parts = append(parts, &lot{shares: l.shares[lo:hi], done: make(chan struct{})})
	}
	for i := range ends {
		add(i, i+1)
	}
	for i := range pieces {
		add(ends+m*i/pieces, ends+m*(i+1)/pieces)
	}
	for i := range ends {
		add(ends+m+i, ends+m+i+1)
	}
	return parts
}

// fail makes the errors of the shares; failed are positions among all their events.
func (l *lot) fail(failed []int, why error) []error {
	errs := make([]error, len(l.shares))
	start := 0
	for i, share := range l.shares {
		n := len(share)
		var own []int
		for len(failed) > 0 && failed[0] < start+n {
			own = append(own, failed[0]-start)
			failed = failed[1:]
		}
		switch len(own) {
		case 0:
		case n:
			errs[i] = why
		default:
			errs[i] = &beacon.PartialError{Failed: own, Err: why}
		}
		start += n
	}
	return errs
}

// events returns how many there are.
func (l *lot) events() (n int) {
	for _, s := range l.shares {
		n += len(s)
	}
	return n
}

// merge returns the events of all shares in a slice that can be given away. That
// of one alone is: it is not needed again.
func (l *lot) merge() []beacon.Event {
	if len(l.shares) == 1 {
		return l.shares[0]
	}
	all := make([]beacon.Event, 0, l.events())
	for _, s := range l.shares {
		all = append(all, s...)
	}
	return all
}

// A verdict is how a call of next ended.
type verdict struct {
	err  error
	own  bool // it panicked or ended the goroutine, which an event may be the cause of
	late bool // at the end of its context, or later
}

// try hands a lot to next, on a goroutine of its own: next may hang or end it. That of a
// whole group has its turn.
func (b *batch) try(g *group, l *lot) {
	whole := l == &g.lot
	before := b.took.Load()
	v := verdict{err: errGone, own: true} // unless it comes back
	back := make(chan struct{})
	overdue := time.AfterFunc(overdueAfter(b.timeout), func() { b.overdue(g, l, back) })
	defer func() {
		overdue.Stop()
		close(back)
		if v.err == nil {
			b.took.Add(1)
			b.alone.Store(0)
		}
		if whole {
			g.passOn()
		}
		b.settle(g, l, before, v)
	}()
	v = b.call(l.merge())
}

func (b *batch) call(events []beacon.Event) verdict {
	ctx, cancel := context.WithTimeout(context.Background(), b.timeout)
	defer cancel()
	panicked := true
	err := delivery.Guard(func() error {
		err := b.next.Consume(ctx, events)
		panicked = false
		return err
	})
	return verdict{err, panicked, ctx.Err() != nil}
}

// overdue gives up on a call of next that does not come back: its callers are told, and
// the batches behind go ahead as soon as it counts as one beside them.
func (b *batch) overdue(g *group, l *lot, back <-chan struct{}) {
	l.tell(slices.Repeat([]error{errOverdue}, len(l.shares)), nil)
	b.hanging.Add(1)
	defer b.hanging.Add(-1)
	if l != &g.lot {
		<-back
		return
	}
	select {
	case b.aside <- struct{}{}:
		g.passOn()
		<-back
		<-b.aside
	case <-back:
	}
}

func (g *group) passOn() { g.pass.Do(func() { close(g.passed) }) }

// settle notes how the call for a lot ended; before is how many next had taken when it
// began.
func (b *batch) settle(g *group, l *lot, before uint64, v verdict) {
	if v.err == nil {
		b.finish(g, l, nil)
		return
	}
	failed, why, named := delivery.Failed(v.err, l.events())
	_, asks := beacon.RetryAfter(why)
	oneIsBad := v.own || beacon.IsPermanent(why) // at least
	if len(l.shares) == 1 && !oneIsBad {
		b.alone.Add(1)
	}
	switch {
	case named || len(l.shares) == 1 || l.told.Load(),
		!oneIsBad && (v.late || asks || b.hopeless()):
		b.finish(g, l, l.fail(failed, why))
	case oneIsBad || b.took.Load() > before:
		b.tryAll(g, b.part(g, l, 0))
	default:
		go b.probe(g, l, before, why)
	}
}

// probe tries a lot apart that failed temporarily, unless next turns out to be away.
func (b *batch) probe(g *group, l *lot, before uint64, why error) {
	left := slices.Clone(b.part(g, l, min(probes/2, len(l.shares)/2)))
	for range probes {
		i := slices.IndexFunc(left, func(p *lot) bool { return len(p.shares) == 1 })
		if i < 0 {
			break
		}
		one := left[i]
		left = slices.Delete(left, i, i+1)
		b.tryAll(g, []*lot{one})
		if <-one.done; b.took.Load() > before {
			b.tryAll(g, left)
			return
		}
		if b.away() {
			break
		}
	}
	for _, p := range left {
		b.finish(g, p, slices.Repeat([]error{why}, len(p.shares)))
	}
}

func (b *batch) away() bool { return b.alone.Load() >= awayAfter }

// hopeless says whether next is away, and it is not worth while to look again. Now and then
// it is: only some events may be bad, but of every batch.
func (b *batch) hopeless() bool { return b.away() && b.skipped.Add(1)%lookAgain != 0 }

// part cuts a lot, see [lot.cut], whose shares then wait for the parts.
func (b *batch) part(g *group, l *lot, ends int) []*lot {
	parts := l.cut(ends)
	g.pending.Add(int64(len(parts)) - 1)
	l.tell(nil, parts)
	return parts
}

// tryAll hands lots to next, beside the batch whose turn it is.
func (b *batch) tryAll(g *group, lots []*lot) {
	for _, l := range lots {
		go func() {
			b.aside <- struct{}{}
			defer func() { <-b.aside }()
			b.try(g, l)
		}()
	}
}

// finish tells those who wait for a lot what became of it, and lets go of the group with
// the last one.
func (b *batch) finish(g *group, l *lot, errs []error) {
	l.tell(errs, nil)
	if g.pending.Add(-1) > 0 {
		return
	}
	b.mu.Lock()
	delete(b.unsettled, g)
	b.waiting -= g.bytes
	b.full = false
	b.mu.Unlock()
	close(g.settled)
}
