package connect

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
	"github.com/pagebeacon/beacon/internal/histogram"
)

// A Relay brings the events of a log past a Sink. Make one with [NewRelay]. It is safe for
// concurrent use, and has a few goroutines, which Close ends.
//
// T is what its owner wants to know of an event again when that is settled, such as its
// partition and offset, or the message to acknowledge.
//
// An event is settled when the Sink has taken it, or when Dead has kept it because the Sink
// never will. Each is settled once, and in any order: who commits offsets has to commit the
// lowest one that is not.
//
//   - A Sink that is away is waited for, for as long as that takes. No event is lost, and
//     none is taken for bad.
//   - What the Sink refuses for good is narrowed down to the one event, if the Sink does not
//     name it with a [*beacon.PartialError], and goes to Dead. A panic or a call of
//     [runtime.Goexit] in it is a failure like others.
//   - An event that fails by itself, again and again, while others are taken is set aside
//     and tried again, with growing waits, and goes to Dead after MaxTries. If there are no
//     others it is waited for: then it cannot be told from a Sink that is away.
//   - Events of one [Key] are given to the Sink in the order in which they were added, and
//     never at the same time. They wait for one that was set aside, but for a second only:
//     then they pass it. Others do not wait for it.
//   - A call that does not return holds up what it has, and later events of the same keys,
//     and what was to follow on its one of the Parallel ways. Others go on.
type Relay[T any] struct {
	next  beacon.Sink
	o     RelayOptions[T]
	lanes []*lane[T]
	dead  undertaker[T]
	log   reporter
	took  *histogram.Histogram // by calls of next

	ctx     context.Context // of all calls
	cancel  context.CancelFunc
	more    chan struct{} // something is pending
	stopped chan struct{} // the goroutines are over
	ended   chan struct{} // Close is

	mu      sync.Mutex
	closed  bool
	over    bool // Done is told of nothing any more
	slots   []slot[T]
	events  []beacon.Event     // of the slots whose events are queued
	free    []int              // of slots
	owners  map[string]owner   // of keys: who has events of it has to have the next ones
	pending delivery.Ring[int] // slots of events that have not gone to a lane yet
	seq     uint64             // of the next event
	taken   uint64             // by next, of all lanes
	held    int                // slots in use
	bytes   int64              // of those
	gone    int                // of those, forgotten
	grown   time.Time          // when there were last not enough slots
	hanging int                // calls that do not return
	stats   RelayStats         // but Held and HeldBytes
	failure error              // of next, since it has taken anything
	changed chan struct{}      // closed, and a new one made, when something is settled
	waiting bool               // for changed
}

// A slot is what is kept of an event until it is settled.
type slot[T any] struct {
	tag   T
	key   string
	size  int64
	seq   uint64
	lane  int // which it was given to, or none
	state state
	gone  bool // forgotten

	received time.Time
}

type state uint8

const (
	unused   state = iota
	queued         // pending, or in the queue of a lane
	carried        // a Courier has it
	dying          // next does not take it
	reported       // Done is told
)

const none = -1

// An owner is the lane that events of a key have to go through, as it has n of them.
type owner struct{ lane, n int }

// Add hands over an event, with what its owner wants to know of it again. It waits for
// room, and returns the error of ctx if that ends before there is any, or [ErrClosed]. The
// Relay owns the event from then on. An event that exceeds a bound by itself is taken when
// the Relay has no other.
func (r *Relay[T]) Add(ctx context.Context, e beacon.Event, tag T) error {
	size := int64(e.Size())
	key := Key(&e)
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && r.held > 0 && (r.held >= r.o.MaxEvents || r.bytes+size > r.o.MaxBytes) {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	if r.closed {
		return ErrClosed
	}
	i := len(r.slots)
	if n := len(r.free); n > 0 {
		i, r.free = r.free[n-1], r.free[:n-1]
	} else {
		r.slots = append(r.slots, slot[T]{})
		r.events = append(r.events, beacon.Event{})
		r.grown = time.Now()
	}
	r.events[i] = e
	r.slots[i] = slot[T]{tag: tag, key: key, size: size, seq: r.seq, lane: none, state: queued, received: e.Received}
	r.seq++
	r.held++
	r.bytes += size
	r.stats.Added++
	r.pending.Push(i)
	signal(r.more)
	return nil
}

// Forget lets go of events for which which returns true: the part of the log that they
// came from is somebody else's now. Done and Dead are not told of them any more. Forget
// returns when no call of next has any of them: the contexts of those that may are ended
// at once, and what else they bring is tried again. A call that outlasts that by a second
// is not waited for.
//
// which is called while the Relay waits, and must not call it. Neither Done nor Dead may
// call Forget.
func (r *Relay[T]) Forget(which func(tag T) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cut := make([]bool, len(r.lanes))
	for i := range r.slots {
		s := &r.slots[i]
		if s.state == unused || s.state == reported || s.gone || !which(s.tag) {
			continue
		}
		s.gone = true
		r.gone++
		r.stats.Forgotten++
		if s.state == carried {
			cut[s.lane] = true
		}
	}
	drop := func(i *int) bool { return r.dropped(*i) }
	r.pending.Delete(drop)
	r.dead.letters.Delete(func(l *letter) bool { return r.dropped(l.slot) })
	if r.dead.letters.Len() == 0 && !r.dead.busy {
		r.dead.failure = nil
	}
	r.rest()
	for _, l := range r.lanes {
		l.own.Delete(drop)
		if cut[l.at] {
			l.drop = true
			l.cut()
			signal(l.call)
		}
	}
	r.wake()
	r.quiet(func(t *turn, lane int) bool { return t.reporting || lane != none && cut[lane] && t.busy })
}

// dropped frees a slot if its event is forgotten. The caller holds the lock.
func (r *Relay[T]) dropped(i int) bool {
	if !r.slots[i].gone {
		return false
	}
	r.release(i)
	return true
}

// Held yields the tags of the events that are not settled, in no order: a log that sends a
// message again after a while has to be told that they are still in hand. One may be
// settled by the time that it is yielded.
func (r *Relay[T]) Held() iter.Seq[T] {
	return func(yield func(T) bool) {
		r.mu.Lock()
		tags := make([]T, 0, r.held)
		for i := range r.slots {
			if s := &r.slots[i]; s.state != unused && s.state != reported && !s.gone {
				tags = append(tags, s.tag)
			}
		}
		r.mu.Unlock()
		for _, tag := range tags {
			if !yield(tag) {
				return
			}
		}
	}
}

// Flush returns nil when all that was added before is settled, and Done was told of it.
// What waits for another attempt is tried at once. It returns an error if ctx ends first.
func (r *Relay[T]) Flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flush(ctx)
}

func (r *Relay[T]) flush(ctx context.Context) error {
	for _, l := range r.lanes {
		l.hurry = true
		signal(l.call)
	}
	signal(r.dead.hurry)
	for until := r.seq; ; {
		left := 0
		for i := range r.slots {
			if s := &r.slots[i]; s.state != unused && !s.gone && s.seq < until {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if r.over {
			return r.unsettled(left, ErrClosed)
		}
		if err := r.wait(ctx); err != nil {
			return r.unsettled(left, err)
		}
	}
}

func (r *Relay[T]) unsettled(n int, cause error) error {
	last := r.failure
	if last == nil {
		last = r.dead.failure
	}
	if last == nil {
		return fmt.Errorf("connect: relay: %d events not settled: %w", n, cause)
	}
	// The text of the last error only: whether it would have lasted is not known.
	return fmt.Errorf("connect: relay: %d events not settled: %w; last attempt: %v", n, cause, last)
}

// Close takes no more events, flushes for as long as ctx lasts, and ends the Relay. It
// returns an error if events are left: they are still in the log. The context of a call
// that is under way then is ended; one that outlasts that by a second is not waited for.
// When Close has returned Done is not called any more. It does not close next. A second
// Close only waits for the first one, as long as its own ctx lasts.
func (r *Relay[T]) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		select {
		case <-r.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.closed = true
	r.wake() // those that wait for room
	err := r.flush(ctx)
	r.cancel()
	r.mu.Unlock()
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-r.stopped:
	case <-late.C:
	}
	r.mu.Lock()
	r.over = true
	r.quiet(func(t *turn, _ int) bool { return t.reporting })
	if left := r.held - r.gone; left == 0 {
		err = nil // it was settled after all
	} else if err != nil {
		err = r.unsettled(left, ctx.Err())
	}
	r.wake()
	r.mu.Unlock()
	close(r.ended)
	return err
}

// Healthy returns nil if events go on, as far as is known, or why they do not: a call that
// does not return; next has taken nothing for a second in which it was tried; Dead fails;
// or next says itself that it is not well, see [beacon.Healthy].
func (r *Relay[T]) Healthy(ctx context.Context) error {
	r.mu.Lock()
	closed, hanging, failure, since, dead := r.closed, r.hanging, r.failure, r.stats.StuckSince, r.dead.failure
	r.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case hanging > 0:
		return errHangs
	case failure != nil && time.Since(since) >= time.Second:
		return fmt.Errorf("connect: relay: nothing is taken: %w", failure)
	case dead != nil:
		return fmt.Errorf("connect: relay: dead letters are not kept: %w", dead)
	}
	return delivery.Guard(func() error { return beacon.Healthy(ctx, r.next) })
}

// release gives the slot of an event back, and its room. The caller holds the lock.
func (r *Relay[T]) release(i int) {
	r.disown(i)
	s := &r.slots[i]
	r.held--
	r.bytes -= s.size
	if s.gone {
		r.gone--
	}
	if s.state == queued {
		r.events[i] = beacon.Event{}
	}
	*s = slot[T]{}
	r.free = append(r.free, i)
	r.rest()
}

// rest notes whether nothing is left: then nothing is stuck, whatever next said last. The
// caller holds the lock.
func (r *Relay[T]) rest() {
	if r.held == r.gone {
		r.failure, r.stats.StuckSince = nil, time.Time{}
	}
}

// shrink gives back what a bad hour needed, when there is nothing, and that was enough for a
// while. The caller holds the lock.
func (r *Relay[T]) shrink() {
	if most := r.o.BatchEvents; r.held == 0 && len(r.slots) > most && time.Since(r.grown) > time.Minute {
		r.slots, r.events, r.free = nil, nil, nil
		r.owners = map[string]owner{}
		r.pending.Fit(most)
	}
}

// disown notes that an event does not keep others of its key to its lane any more. The
// caller holds the lock.
func (r *Relay[T]) disown(i int) {
	s := &r.slots[i]
	if s.lane != none && s.key != "" {
		if o := r.owners[s.key]; o.n > 1 {
			r.owners[s.key] = owner{o.lane, o.n - 1}
		} else {
			delete(r.owners, s.key)
		}
	}
	s.lane = none
}

// wait waits for something to be settled. The lock is held before and after.
func (r *Relay[T]) wait(ctx context.Context) error {
	r.waiting = true
	changed := r.changed
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wake wakes all that wait for a change. The caller holds the lock.
func (r *Relay[T]) wake() {
	if r.waiting {
		r.waiting = false
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// A turn is one go of a lane or of the undertaker at what it has.
type turn struct {
	n         int // counts them
	busy      bool
	reporting bool // calls Done
}

// quiet waits until turns that are under way, and that which says, are over, for a second
// at most if they are not reporting. The lock is held before and after.
func (r *Relay[T]) quiet(which func(t *turn, lane int) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	over := func(t *turn, lane int) {
		for n := t.n; t.n == n && which(t, lane); {
			if r.wait(ctx) != nil {
				if !t.reporting {
					return
				}
				for t.n == n && t.reporting {
					_ = r.wait(context.Background())
				}
			}
		}
	}
	for _, l := range r.lanes {
		over(&l.turn, l.at)
	}
	over(&r.dead.turn, none)
}

// grace is how long a call whose context has ended is waited for.
const grace = time.Second

// signal wakes the one that waits for c, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A reporter logs failures, the first of a row and then one a minute.
type reporter struct {
	logger *slog.Logger
	what   string

	mu     sync.Mutex
	last   time.Time
	failed int
}

func (r *reporter) outcome(err error, taken bool) {
	r.mu.Lock()
	failed, tell := r.failed, false
	if err != nil {
		if failed++; time.Since(r.last) >= time.Minute {
			r.last, tell = time.Now(), true
		}
		r.failed = failed
	} else if taken && failed > 0 {
		r.failed, r.last, tell = 0, time.Time{}, true
	}
	r.mu.Unlock()
	switch {
	case tell && err != nil:
		r.logger.Error("connect: relay: "+r.what+" failed", "error", delivery.Printable(err.Error()), "failures", failed)
	case tell:
		r.logger.Info("connect: relay: "+r.what+" is well again", "failures", failed)
	}
}
