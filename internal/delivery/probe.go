package delivery

import (
	"context"
	"math/rand/v2"
	"time"
)

// spread is how many events have to fail besides the first, one right after the other,
// until the sink is taken for away.
const spread = 8

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

// behind returns an event that is not the first of its session, if each of those before it
// has failed alone some times.
func (c *Courier[T]) behind() (i int, found bool) {
	kept := map[string]bool{} // sessions with an event that has to come before others
	for i := range c.items {
		it := &c.items[i]
		s := Session(&it.event)
		if i > 0 && it.aside == nil && !it.probed && !kept[s] {
			return i, true
		}
		if s != "" && it.lone < passTries {
			kept[s] = true
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
