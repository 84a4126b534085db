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
	ahead   map[uint64]struct{} // positions of events delivered before their turn
	size    int                 // events in an attempt; 0 for all there are
	tries   int                 // failures in a row
	strikes int                 // those of the first event, with another accepted in between
	turn    int                 // whose turn it is to be tried instead of the first
}

// Stuck says that the first event may be poison: it is time to look further ahead
// for others.
func (c *Courier) Stuck() bool { return c.tries >= c.MaxTries }

// Try makes one attempt at the first n events, which are those that follow the
// ones settled before; any others are there to be tried when it is stuck. It
// returns how many from the front are settled, that is delivered or buried, and,
// if it failed, why and how long to wait before the next attempt. It does not keep
// or change events.
func (c *Courier) Try(ctx context.Context, events []beacon.Event, n int) (settled int, wait time.Duration, err error) {
	if c.size > 0 {
		n = min(n, c.size)
	}
	err = c.send(ctx, events[:n])
	switch {
	case err == nil:
		c.settle(n)
		if c.size *= 2; c.size > 1<<16 {
			c.size = 0
		}
		return n, 0, nil
	case ctx.Err() != nil:
		return 0, 0, err
	case beacon.IsPermanent(err) && n > 1:
		c.size = n / 2
		return 0, 0, err
	case beacon.IsPermanent(err):
		return c.bury(events[0], err)
	}
	c.tries++
	asked, _ := beacon.RetryAfter(err)
	wait = max(Backoff(c.Base, c.Limit, c.tries-1), asked)
	if !c.Stuck() {
		return 0, wait, err
	}
	if n > 1 {
		c.size = n / 2
		return 0, wait, err
	}
	if !c.tryAnother(ctx, events) {
		return 0, wait, err
	}
	if c.strikes++; c.strikes >= c.MaxTries {
		return c.bury(events[0], err)
	}
	return 0, Backoff(c.Base, c.Limit, 0), err // the sink is there: no reason to wait for it
}

// send gives the sink a copy of the events, since it owns what it is given,
// without those that it has already.
func (c *Courier) send(ctx context.Context, events []beacon.Event) error {
	batch := make([]beacon.Event, 0, len(events))
	for i := range events {
		if _, done := c.ahead[c.pos+uint64(i)]; !done {
			batch = append(batch, events[i])
		}
	}
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return Consume(ctx, c.Next, batch)
}

func (c *Courier) settle(n int) {
	if len(c.ahead) > 0 {
		for i := range n {
			delete(c.ahead, c.pos+uint64(i))
		}
	}
	c.pos += uint64(n)
	c.tries, c.strikes = 0, 0
}

func (c *Courier) bury(e beacon.Event, why error) (int, time.Duration, error) {
	if err := c.Bury(e, why); err != nil {
		c.tries++
		return 0, Backoff(c.Base, c.Limit, c.tries-1), err
	}
	c.settle(1)
	return 1, 0, nil
}

// tryAnother tries one event besides the first, a different one each time, and says
// whether it was accepted.
func (c *Courier) tryAnother(ctx context.Context, events []beacon.Event) bool {
	others := c.others(events)
	if len(others) == 0 {
		return false
	}
	c.turn++
	i := others[c.turn%len(others)]
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if Consume(ctx, c.Next, slices.Clone(events[i:i+1])) != nil {
		return false
	}
	if c.ahead == nil {
		c.ahead = map[uint64]struct{}{}
	}
	c.ahead[c.pos+uint64(i)] = struct{}{}
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
		if _, done := c.ahead[c.pos+uint64(i)]; done {
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
