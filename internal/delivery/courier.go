package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// A Courier brings a stream of events, in order, past a sink that may fail. What
// the sink refuses for good it narrows down to the one event, and buries that.
//
// A temporary failure is harder: the sink may be away, or one event may be poison
// to it. The Courier waits and retries; when that does not help it makes the
// batch smaller, and when the first event fails alone it lets others try their
// luck, those of other sessions first. Only an event that failed MaxTries times,
// each time with another one accepted since, is buried. While nothing is accepted,
// nothing is buried, however long it takes.
//
// A sink that names the events it did not take, in a [*beacon.PartialError], spares it
// the search: it gets no other event of that call again, and what it refused for good
// is buried at once.
//
// A Courier is not safe for concurrent use. Its first five fields are required.
type Courier struct {
	Next        beacon.Sink
	Timeout     time.Duration // of one call of Next
	Base, Limit time.Duration // of the wait between two attempts, see [Backoff]
	MaxTries    int

	// Bury keeps an event that Next does not take. If it fails, the event is
	// tried again.
	Bury func(e beacon.Event, why error) error

	pos     uint64              // how many events were settled so far
	ahead   map[uint64]struct{} // positions of events delivered or buried before their turn
	size    int                 // events in an attempt; 0 for all there are
	tries   int                 // failures in a row
	strikes int                 // those of the first event, with another accepted in between
	turn    int                 // whose turn it is to be tried instead of the first
}

// A Progress says what became of events in one attempt.
type Progress struct {
	Settled           int // how many from the front are delivered or buried, now or before
	Delivered, Buried int // how many of all there are, settled or ahead of their turn
}

// Stuck says that the first event may be poison: it is time to look further ahead
// for others.
func (c *Courier) Stuck() bool { return c.tries >= c.MaxTries }

// Ahead says whether the event i behind the ones that are settled was delivered or
// buried before its turn. It is of no more use.
func (c *Courier) Ahead(i int) bool {
	_, done := c.ahead[c.pos+uint64(i)]
	return done
}

// Try makes one attempt at the first n events, which are those that follow the
// ones settled before; any others are there to be tried when it is stuck. It
// returns what that led to, and, if it failed, why and how long to wait before the
// next attempt. It does not keep or change events.
func (c *Courier) Try(ctx context.Context, events []beacon.Event, n int) (p Progress, wait time.Duration, err error) {
	if c.Ahead(0) { // since the attempt before it was given fewer events
		p.Settled = c.settleAhead(len(events))
		return p, 0, nil
	}
	wait, err = c.attempt(ctx, events, n, &p)
	p.Settled += c.settleAhead(len(events) - p.Settled)
	return p, wait, err
}

func (c *Courier) attempt(ctx context.Context, events []beacon.Event, n int, p *Progress) (wait time.Duration, err error) {
	if c.size > 0 {
		n = min(n, c.size)
	}
	left := c.left(n) // the first is one of them
	err = c.send(ctx, events, left)
	failed, why, named := Failed(err, len(left))
	p.Delivered = len(left) - len(failed)
	if err == nil {
		c.settle(n)
		p.Settled = n
		if c.size *= 2; c.size > 1<<16 {
			c.size = 0
		}
		return 0, nil
	}
	if named {
		for i, f := range failed {
			failed[i] = left[f]
		}
		for _, i := range left {
			if _, found := slices.BinarySearch(failed, i); !found {
				c.done(i)
			}
		}
		left = failed
	}
	permanent := beacon.IsPermanent(why)
	switch {
	case ctx.Err() != nil:
		return 0, err
	case permanent && (named || len(left) == 1):
		return c.bury(events, left, why, p)
	case permanent:
		c.size = left[len(left)/2]
		return 0, err
	}
	c.tries++
	asked, _ := beacon.RetryAfter(err)
	wait = max(Backoff(c.Base, c.Limit, c.tries-1), asked)
	if !c.Stuck() {
		return wait, err
	}
	if len(left) > 1 && !named {
		c.size = left[len(left)/2]
		return wait, err
	}
	if left[0] != 0 || p.Delivered == 0 && !c.tryAnother(ctx, events, p) {
		return wait, err
	}
	if c.strikes++; c.strikes >= c.MaxTries {
		return c.bury(events, left[:1], why, p)
	}
	return Backoff(c.Base, c.Limit, 0), err // the sink is there: no reason to wait for it
}

// left returns which of the first n events are still to be delivered.
func (c *Courier) left(n int) []int {
	left := make([]int, 0, n)
	for i := range n {
		if !c.Ahead(i) {
			left = append(left, i)
		}
	}
	return left
}

// send gives the sink a copy of some events, since it owns what it is given.
func (c *Courier) send(ctx context.Context, events []beacon.Event, which []int) error {
	batch := make([]beacon.Event, len(which))
	for i, w := range which {
		batch[i] = events[w]
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return Consume(ctx, c.Next, batch)
}

// settle moves on past the first n events.
func (c *Courier) settle(n int) {
	if len(c.ahead) > 0 {
		for i := range n {
			delete(c.ahead, c.pos+uint64(i))
		}
	}
	c.pos += uint64(n)
	c.tries, c.strikes = 0, 0
}

// settleAhead moves on past those of the next n events that were done before their
// turn, and returns how many these are.
func (c *Courier) settleAhead(n int) int {
	ahead := 0
	for ahead < n && c.Ahead(ahead) {
		ahead++
	}
	if ahead > 0 {
		c.settle(ahead)
	}
	return ahead
}

// done notes that event i was delivered or buried.
func (c *Courier) done(i int) {
	if c.ahead == nil {
		c.ahead = map[uint64]struct{}{}
	}
	c.ahead[c.pos+uint64(i)] = struct{}{}
}

func (c *Courier) bury(events []beacon.Event, which []int, why error, p *Progress) (wait time.Duration, err error) {
	for _, i := range which {
		if err := c.Bury(events[i], why); err != nil {
			c.tries++
			return Backoff(c.Base, c.Limit, c.tries-1), err
		}
		c.done(i)
		p.Buried++
	}
	return 0, nil
}

// tryAnother tries one event besides the first, a different one each time, and says
// whether it was accepted.
func (c *Courier) tryAnother(ctx context.Context, events []beacon.Event, p *Progress) bool {
	others := c.others(events)
	if len(others) == 0 {
		return false
	}
	c.turn++
	i := others[c.turn%len(others)]
	if c.send(ctx, events, []int{i}) != nil {
		return false
	}
	c.done(i)
	p.Delivered++
	return true
}

// others returns the events that may be delivered before the first without changing
// the order within a session. If all belong to the session of the first, that is the
// next one of it: if the first is poison it will have no place in the order.
func (c *Courier) others(events []beacon.Event) []int {
	var others []int
	own := -1
	waiting := map[string]bool{}
	for i := 1; i < len(events); i++ {
		if c.Ahead(i) {
			continue
		}
		switch s := session(&events[i]); {
		case s == "":
			others = append(others, i)
		case waiting[s]:
		case s == session(&events[0]):
			waiting[s], own = true, i
		default:
			waiting[s] = true
			others = append(others, i)
		}
	}
	if len(others) == 0 && own > 0 {
		others = []int{own}
	}
	return others
}

// session is what events are kept in order by.
func session(e *beacon.Event) string {
	if e.Session != "" {
		return e.Session
	}
	return e.View
}
