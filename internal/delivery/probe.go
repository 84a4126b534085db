package delivery

import (
	"context"
	"math/rand/v2"
	"time"
)

// spread is how many events have to fail besides the first, one right after the other,
// until the sink is taken for away.
const spread = 8

// inOrder is how many events of a session have to fail alone, behind the first of it and with
// nothing accepted, until its newest one is tried before those between them.
const inOrder = 6

// first returns the event that is tried first while the sink may be away: if it is back
// that keeps the order.
func (c *Courier[T]) first() []int {
	for k, i := range c.heads {
		if c.items[i].aside == nil {
			return c.heads[k : k+1]
		}
	}
	return c.heads[:min(1, len(c.heads))]
}

// others tries events besides the first one, which failed: one, or some when a turn tells
// more than the last one did. It returns how long to wait and the last error, from those of
// the first.
func (c *Courier[T]) others(ctx context.Context, first int, wait time.Duration, err error, p *Progress) (time.Duration, error) {
	n, start := 1, time.Now()
	if c.probes++; c.probes == 1 || c.items[first].lone == passTries {
		n = spread
	}
	for ; n > 0 && c.fails > 0 && ctx.Err() == nil; n-- {
		i, found := c.other(first)
		if !found {
			break
		}
		part := []int{i}
		err = c.call(ctx, part)
		wait = max(wait, c.outcome(ctx, part, probe, err, p))
		if wait > 0 || time.Since(start) > c.Limit {
			break // it asks for mercy, or hangs
		}
	}
	if c.fails > 0 {
		wait = max(wait, c.pause())
	}
	return wait, err
}

// other returns an event that may be tried before the first one, each of them once in a
// turn: the first of another session, by turns the newest and any, and what was not set
// aside before what was. After them it may be one behind others of its session: if they are
// poison they have no place in the order.
func (c *Courier[T]) other(first int) (i int, found bool) {
	for range 2 {
		var fresh, aside []int
		for _, i := range c.heads {
			switch it := &c.items[i]; {
			case it.probed:
			case it.aside == nil:
				fresh = append(fresh, i)
			default:
				aside = append(aside, i)
			}
		}
		if len(fresh) == 0 {
			fresh = aside
		}
		c.picks++
		switch newest := c.picks%2 == 1; {
		case len(fresh) > 0 && newest:
			return fresh[len(fresh)-1], true
		case len(fresh) > 0:
			return fresh[rand.N(len(fresh))], true
		}
		if i, found := c.behind(); found {
			return i, true
		}
		c.unprobe()
		c.items[first].probed = true
	}
	return 0, false
}

// A line is the events of a session.
type line struct {
	open         bool // what is behind the first may be tried
	probed       int  // of those
	next, newest int  // of those that are not; 0 if there are none
}

// behind returns an event that is not the first of its session: the next, and when inOrder
// were tried, by turns the newest. That is if the first has failed alone some times, or
// if poison was found a moment ago, and this is what many failures in a row are about.
func (c *Courier[T]) behind() (i int, found bool) {
	lines := map[string]*line{}
	var all []*line
	for i := range c.items {
		it := &c.items[i]
		s := session(&it.event)
		switch l := lines[s]; {
		case s == "":
		case l == nil:
			lines[s] = &line{open: c.waits == 0 || it.lone >= passTries}
			all = append(all, lines[s])
		case it.aside != nil:
		case it.probed:
			l.probed++
		default:
			l.newest = i
			if l.next == 0 {
				l.next = i
			}
		}
	}
	for _, l := range all {
		switch {
		case !l.open || l.next == 0:
		case l.probed >= inOrder && c.picks%2 == 1:
			return l.newest, true
		default:
			return l.next, true
		}
	}
	return 0, false
}

// unprobe begins another turn.
func (c *Courier[T]) unprobe() {
	for i := range c.items {
		c.items[i].probed = false
	}
}
