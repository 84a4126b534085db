package delivery

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// A Courier brings a stream of events, in order, past a sink that may fail. It holds
// the events it was given until they are delivered or buried; T is what its owner wants
// to know of each of those that are left.
//
// What the sink refuses for good is narrowed down to the one event, which is buried. A
// temporary failure is harder: the sink may be away, or one event may be poison to it.
//
//   - A batch that fails is tried again, after a wait, twice.
//   - Then single events are tried, the first and some others without any wait, and after
//     that, with growing waits, the first and another one: by turns the newest and any,
//     since poison comes in clusters. They are the first of their sessions, or others of
//     the first one's when that has failed some times: the next ones. As long as none is accepted the sink is away. Nothing is
//     buried, however long that takes.
//   - When one is accepted and the batch still fails, the batch is halved without
//     any wait until the event that fails alone is found. That is set aside, and the
//     others go on; for a minute the next batch that fails is halved at once.
//   - What was set aside is tried again by itself, with growing waits. It is buried when
//     it has failed MaxTries times, and another event was accepted after each.
//
// Events of a session wait for one that was set aside, in order, but for a second only:
// then they pass it.
//
// A sink that names the events it did not take, in a [*beacon.PartialError], spares
// the search. It gets no other event of that call again. What it refused for good is
// buried at once. The rest is set aside, and may be all that goes to a store that is
// away while others are there: so what counts against such an event is only that one of
// the same name was accepted, and it is not buried before namedTries have passed.
//
// A Courier is not safe for concurrent use. Its fields but Leave, Settled, Hangs and Took
// are required.
type Courier[T any] struct {
	Next        beacon.Sink
	Timeout     time.Duration // of one call of Next
	Base, Limit time.Duration // of the wait between two attempts, see [Backoff]
	MaxTries    int
	BatchEvents int   // in a call
	BatchBytes  int64 // in a call; one event always fits
	AsideBytes  int64 // of what is set aside, give or take an event

	// Bury keeps events that Next does not take, and is told why for each. It returns how
	// many it kept, from the first on. The rest is not tried again, but buried later;
	// what is to be buried meanwhile waits with it, and all others go on.
	Bury func(events []beacon.Event, tags []T, why []error) (kept int, err error)

	// Leave, if set, is called for an event that cannot be buried, when so many are set aside
	// that others would have to wait for them. The Courier lets go of it.
	Leave func(tag T)

	// Settled, if set, is called for each event that was delivered, buried or left, when the
	// Courier lets go of it.
	Settled func(tag T)

	// Hangs, if set, is called with true when a call has not returned a second after its
	// context ended, and with false when it has. No other call is made meanwhile.
	Hangs func(bool)

	// Took, if set, is told how long each call of Next took, whatever it returned.
	Took func(time.Duration)

	items []item[T] // in the order of the stream
	crowd bool      // see Crowd

	size  int       // of a batch while there is poison in the stream; 0 for all there are
	begun int       // how many events were in the batch that is being halved; 0 if none is
	wary  time.Time // until then a batch that fails is halved at once

	fails  int // calls in a row that failed, with nothing accepted
	credit int // how many more of those may follow each other without a wait
	waits  int // in a row
	probes int // turns of them since anything was accepted
	picks  int // see pick

	idle              bool // there is nothing to do until something that was set aside is due
	retried           bool // the last call brought what was set aside
	group, groupFails int  // what was named is tried in groups, at the time groupDue
	groupDue          time.Time
	misses            int       // calls in a row that brought what was set aside, with nothing accepted
	retryDue          time.Time // of what was not named
	buryFails         int       // in a row
	buryDue           time.Time // after those

	free, due, dead, heads []int     // what look found, here to be used again
	aside, apart           load      // what was set aside, and that with what waits for it
	next                   time.Time // when that changes by itself, or zero
}

// An item is an event that is not settled.
type item[T any] struct {
	event   beacon.Event
	size    int64
	tag     T
	aside   *suspicion // nil for what comes in its turn
	doubted bool       // one of those that are is bad
	probed  bool       // was tried in this turn, see other
	lone    int        // how often it was tried alone since anything was accepted
	done    bool       // delivered or buried
}

// A load is a number of events.
type load struct {
	events int
	bytes  int64
}

// A Progress says what became of events in one attempt.
type Progress struct {
	Delivered, Buried int
	Bytes             int64 // of both
}

// Add gives the Courier the event that follows those that it was given before. size is what
// counts towards BatchBytes and AsideBytes.
func (c *Courier[T]) Add(e beacon.Event, size int64, tag T) {
	c.items = append(c.items, item[T]{event: e, size: size, tag: tag})
}

// Room returns how many more events the Courier has a use for: 0 of either while it has
// a batch, or has set aside too much. An event larger than the bytes is welcome all the
// same.
func (c *Courier[T]) Room() (events int, bytes int64) {
	c.look(time.Now())
	if c.full(c.apart, 1) {
		return 0, 0
	}
	events, bytes = c.BatchEvents-len(c.free), c.BatchBytes
	if c.away(time.Now()) { // there may be one among others that is not poison
		events, bytes = events+maxAside, bytes+c.AsideBytes
	}
	for _, i := range c.free {
		bytes -= c.items[i].size
	}
	return max(0, events), max(0, bytes)
}

// Len returns how many events are not settled.
func (c *Courier[T]) Len() int { return len(c.items) }

// Held yields what was added with the events that are not settled, in order.
func (c *Courier[T]) Held() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range c.items {
			if !yield(c.items[i].tag) {
				return
			}
		}
	}
}

// Oldest returns when the first of the events that are not settled was received, or the
// zero time if there are none.
func (c *Courier[T]) Oldest() time.Time {
	if len(c.items) == 0 {
		return time.Time{}
	}
	return c.items[0].event.Received
}

// Take takes the events that are not settled away from the Courier.
func (c *Courier[T]) Take() []beacon.Event {
	events := make([]beacon.Event, len(c.items))
	for i := range c.items {
		events[i] = c.items[i].event
	}
	c.items, c.begun = nil, 0
	return events
}

// Drop lets go of events, without a word: they are somebody else's now.
func (c *Courier[T]) Drop(which func(tag T) bool) {
	c.items = slices.DeleteFunc(c.items, func(it item[T]) bool { return which(it.tag) })
}

// Vouch says that Next has taken events of another Courier since the last attempt, which
// has failed: it is there, and what fails here has itself to blame.
func (c *Courier[T]) Vouch() { c.accepted(time.Now(), nil, probe) }

// Eager says whether an event that is added now is worth an attempt before the wait that
// Try asked for is over: while so few have failed, they may be all there is to blame.
func (c *Courier[T]) Eager() bool {
	if c.idle || !c.away(time.Now()) {
		return c.idle
	}
	others := 0
	for i := range c.items {
		if c.items[i].aside == nil {
			others++
		}
	}
	return others <= eager
}

// Hurry makes the next attempt one at everything that waits for its time.
func (c *Courier[T]) Hurry() {
	c.groupDue, c.retryDue, c.buryDue = time.Time{}, time.Time{}, time.Time{}
	for i := range c.items {
		if a := c.items[i].aside; a != nil {
			a.due = time.Time{}
		}
	}
}

// Try makes one attempt. It returns what that led to, and how long to wait before the next
// one, unless an event is added before and it is Eager; the error is that of a call of
// Next that failed, in part or as a whole. If nothing is left the wait is 0.
func (c *Courier[T]) Try(ctx context.Context) (p Progress, wait time.Duration, err error) {
	now := time.Now()
	if c.bury(now, &p) {
		c.forget(&p)
		return p, 0, nil
	}
	part, of := c.choose(now)
	if c.idle = len(part) == 0; c.idle {
		return p, max(0, c.next.Sub(now)), nil
	}
	err = c.call(ctx, part)
	wait = c.outcome(ctx, part, of, err, &p)
	if of == probe && ctx.Err() == nil && c.fails > 0 {
		wait, err = c.others(ctx, part[0], wait, err, &p)
	}
	if ctx.Err() == nil {
		c.bury(time.Now(), &p)
	}
	c.forget(&p)
	return p, wait, err
}

// A kind of attempt.
type kind int

const (
	regular kind = iota // what comes next in the stream
	retry               // what was set aside
	probe               // one event, to see whether the sink is there
)

// choose returns what the next call should bring.
func (c *Courier[T]) choose(now time.Time) (part []int, of kind) {
	c.look(now)
	switch {
	case c.away(now):
		return c.first(), probe
	case len(c.due) > 0 && (len(c.free) == 0 || !c.retried):
		return c.together(), retry
	}
	return c.batch(), regular
}

// batch returns the part of the stream that is to be delivered next. While one that has
// failed is halved, it is half of what may be to blame.
func (c *Courier[T]) batch() []int {
	if c.begun > 0 {
		doubted := slices.DeleteFunc(slices.Clone(c.free), func(i int) bool { return !c.items[i].doubted })
		if len(doubted) > 0 {
			return doubted[:max(1, len(doubted)/2)]
		}
		c.begun = 0 // all of them were taken after all, or wait for others of their sessions
	}
	n, bytes := 0, int64(0)
	for _, i := range c.free {
		if bytes += c.items[i].size; n == c.BatchEvents || n > 0 && (n == c.size || bytes > c.BatchBytes) {
			break
		}
		n++
	}
	return slices.Clone(c.free[:n])
}

const (
	patience = 3           // calls that fail until a batch is looked at event by event
	eager    = 3           // see Eager
	wariness = time.Minute // after poison was found
)

// away says whether the sink has to be taken for away.
func (c *Courier[T]) away(now time.Time) bool {
	return c.fails >= patience && (c.credit <= 0 || !now.Before(c.wary))
}
