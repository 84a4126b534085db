package connect

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A lane is one of the ways to next that a Relay has: a Courier, and the goroutine that it
// belongs to. An event goes to whichever lane has room first, unless one has others of its
// key.
type lane[T any] struct {
	r  *Relay[T]
	at int // its place among the lanes

	// The goroutine's alone.
	courier delivery.Courier[int]
	settled []int    // by the attempt that is under way
	buried  []letter // of those
	tags    []T
	failed  bool   // the last attempt did
	seen    uint64 // what the other lanes had delivered then

	more chan struct{} // there is something in own
	call chan struct{} // do not wait for anything

	// Under the lock of the Relay.
	turn
	cut       func()             // ends the context of the call that is under way
	own       delivery.Ring[int] // slots of events of keys that the lane owns
	drop      bool               // the Courier has events that are forgotten
	hurry     bool
	delivered uint64
}

// lookAfter is how long a lane whose call has failed waits, at most, until it looks whether
// others have more luck.
const lookAfter = delivery.RetryLimit / 20

func (r *Relay[T]) start() {
	var running sync.WaitGroup
	for _, l := range r.lanes {
		running.Go(l.run)
	}
	running.Go(r.dead.run)
	go func() {
		running.Wait()
		close(r.stopped)
	}()
}

// run delivers until all calls are to end.
func (l *lane[T]) run() {
	r := l.r
	for r.ctx.Err() == nil {
		ctx, cancel, some := l.feed()
		if !some {
			select {
			case <-r.more:
			case <-l.more:
			case <-l.call:
			case <-r.ctx.Done():
			}
			continue
		}
		if l.failed && l.others() != l.seen {
			l.courier.Vouch()
		}
		p, wait, err := l.courier.Try(ctx)
		cut := ctx.Err() != nil
		cancel()
		l.settle(p, err, cut)
		if wait > 0 {
			l.pause(wait, err)
		}
	}
}

// feed gives the Courier what it has a use for, and begins a turn, unless there is nothing
// at all.
func (l *lane[T]) feed() (ctx context.Context, cancel context.CancelFunc, some bool) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.drop {
		l.drop = false
		l.courier.Drop(r.dropped)
		r.wake()
	}
	if l.hurry {
		l.hurry = false
		l.courier.Hurry()
	}
	events, bytes := l.courier.Room()
	for events > 0 && bytes > 0 {
		i, ok := l.next()
		if !ok {
			break
		}
		s := &r.slots[i]
		s.state = carried
		l.courier.Add(r.events[i], s.size, i)
		r.events[i] = beacon.Event{}
		events, bytes = events-1, bytes-s.size
	}
	if r.pending.Len() > 0 {
		signal(r.more) // another may have a use for it
	}
	if l.courier.Len() == 0 {
		l.own.Fit(r.o.BatchEvents)
		r.shrink()
		return nil, nil, false
	}
	ctx, cancel = context.WithCancel(r.ctx)
	l.cut, l.busy = cancel, true
	return ctx, cancel, true
}

// next returns the next event for the lane. Those before it whose key another lane owns go
// there. The caller holds the lock.
func (l *lane[T]) next() (slot int, ok bool) {
	if i, ok := l.own.Pop(); ok {
		return i, true
	}
	r := l.r
	for {
		i, ok := r.pending.Pop()
		if !ok {
			return i, false
		}
		s := &r.slots[i]
		if s.lane = l.at; s.key == "" {
			return i, true
		}
		o, owned := r.owners[s.key]
		if owned {
			s.lane = o.lane
		}
		r.owners[s.key] = owner{s.lane, o.n + 1}
		if s.lane == l.at {
			return i, true
		}
		other := r.lanes[s.lane]
		other.own.Push(i)
		signal(other.more)
	}
}

// bury keeps what the Courier has given up until the attempt is over.
func (l *lane[T]) bury(events []beacon.Event, slots []int, why []error) (int, error) {
	for i := range events {
		l.buried = append(l.buried, letter{events[i], slots[i], why[i]})
	}
	return len(events), nil
}

// settle notes what an attempt led to. cut says that it was ended before its time.
func (l *lane[T]) settle(p delivery.Progress, err error, cut bool) {
	r := l.r
	r.mu.Lock()
	for _, b := range l.buried {
		s := &r.slots[b.slot]
		if s.gone {
			continue
		}
		s.state = dying
		r.disown(b.slot) // the next ones have passed it
		r.dead.letters.Push(b)
		signal(r.dead.more)
	}
	clear(l.buried)
	l.buried = l.buried[:0]
	l.delivered += uint64(p.Delivered)
	r.taken += uint64(p.Delivered)
	switch {
	case p.Delivered > 0:
		r.failure, r.stats.StuckSince, r.stats.LastDelivery = nil, time.Time{}, time.Now()
	case err != nil && !cut:
		if r.failure == nil {
			r.stats.StuckSince = time.Now()
		}
		r.failure = err
	}
	if err != nil && !cut {
		r.stats.SinkErrors++
		l.failed, l.seen = true, r.taken-l.delivered
	} else if p.Delivered > 0 {
		l.failed = false
	}
	l.settled = slices.DeleteFunc(l.settled, func(slot int) bool { return r.slots[slot].state == dying })
	l.tags = r.report(&l.turn, l.settled, l.tags, &r.stats.Delivered)
	l.settled = l.settled[:0]
	r.mu.Unlock()
	if !cut {
		r.log.outcome(err, p.Delivered > 0)
	}
}

// report tells Done of events, but not of those that are forgotten, and lets go of all. When
// Close is over it does neither. The lock is held before and after, not meanwhile. It ends
// the turn.
func (r *Relay[T]) report(t *turn, slots []int, tags []T, count *uint64) []T {
	tags = tags[:0]
	done := slots[:0]
	for _, i := range slots {
		switch s := &r.slots[i]; {
		case s.gone:
			r.release(i)
		case !r.over:
			s.state = reported
			done, tags = append(done, i), append(tags, s.tag)
		}
	}
	t.busy, t.reporting = false, len(done) > 0
	if t.reporting {
		r.mu.Unlock()
		r.o.Done(tags)
		r.mu.Lock()
		t.reporting = false
		*count += uint64(len(done))
		for _, i := range done {
			r.release(i)
		}
	}
	t.n++
	r.wake()
	clear(tags)
	return tags
}

// others returns how many events the other lanes have delivered.
func (l *lane[T]) others() uint64 {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.r.taken - l.delivered
}

// pause waits until it is time for the next attempt.
func (l *lane[T]) pause(wait time.Duration, err error) {
	r := l.r
	var shared, own <-chan struct{}
	if l.courier.Eager() {
		if events, bytes := l.courier.Room(); events > 0 && bytes > 0 {
			shared, own = r.more, l.more
		}
	}
	asked, _ := beacon.RetryAfter(err)
	look := err != nil && asked == 0
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 || look && l.others() != l.seen {
			return
		}
		if look {
			left = min(left, lookAfter)
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
			continue
		case <-shared:
		case <-own:
		case <-l.call:
		case <-r.ctx.Done():
		}
		t.Stop()
		return
	}
}
