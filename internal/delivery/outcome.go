package delivery

import (
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// outcome notes what became of the events of a call, and returns how long to wait.
func (c *Courier[T]) outcome(ctx context.Context, part []int, of kind, err error, p *Progress) time.Duration {
	now := time.Now()
	c.retried = of == retry
	failed, why, named := Failed(err, len(part))
	for k, i := range failed {
		failed[k] = part[i]
	}
	taken := part
	if len(failed) > 0 {
		taken = slices.DeleteFunc(slices.Clone(part), func(i int) bool {
			_, found := slices.BinarySearch(failed, i)
			return found
		})
	}
	if len(taken) > 0 {
		p.Delivered += len(taken)
		c.accepted(now, taken, of)
	}
	switch {
	case err == nil:
		if of == retry && c.items[part[0]].aside.named {
			c.regroup(now, part, taken, of, false)
		}
		if of == regular && c.begun == 0 && c.size > 0 && len(part) >= c.size {
			if c.size *= 2; c.size >= c.BatchEvents {
				c.size = 0
			}
		}
		return 0
	case ctx.Err() != nil:
		return 0
	case beacon.IsPermanent(why):
		c.heard() // it is there
		c.refused(now, failed, why, named, of)
		return 0
	case named && (len(taken) > 0 || of == retry):
		c.regroup(now, part, taken, of, true)
		for _, i := range failed {
			c.setAside(now, i, why, true)
		}
		c.conclude(of)
		return 0
	}
	asked, _ := beacon.RetryAfter(why)
	asked = min(asked, longest)
	if of == retry { // which says nothing of the others
		c.missed(now, part, failed, why, named)
		return asked
	}
	c.fails++
	c.credit--
	switch {
	case of == probe:
		c.items[part[0]].probed = true
		c.items[part[0]].lone++
		return asked
	case now.Before(c.wary) && c.credit > 0 && len(failed) == 1:
		c.found(now, failed[0], why)
	case now.Before(c.wary) && c.credit > 0:
		c.doubt(failed)
	case now.Before(c.wary): // others may show at once that it is there
	default:
		return max(asked, c.pause())
	}
	return asked
}

// missed notes that what was set aside failed again.
func (c *Courier[T]) missed(now time.Time, part, failed []int, why error, named bool) {
	if c.misses++; c.misses > maxMisses {
		c.retryDue = now.Add(Backoff(c.Base, c.Limit, c.misses-maxMisses))
	}
	if c.items[failed[0]].aside.named {
		c.regroup(now, part, nil, retry, false)
	}
	for _, i := range failed {
		if len(failed) == 1 {
			c.setAside(now, i, why, named)
		} else {
			c.items[i].aside.due = c.groupDue // it may be the fault of another
		}
	}
}

// maxMisses is how many of those that were set aside may fail in a row, with nothing
// accepted, until one waits for the other.
const maxMisses = 16

// longest is the most that a sink may ask to wait: it may be mistaken.
const longest = 5 * time.Minute

func (c *Courier[T]) pause() time.Duration {
	c.waits++
	return Backoff(c.Base, c.Limit, c.waits-1)
}

// accepted notes that the sink is there, and holds that against those that failed.
func (c *Courier[T]) accepted(now time.Time, taken []int, of kind) {
	if of == probe {
		if c.waits > 0 {
			c.acquit() // it is back, or there was poison all the time
		}
		c.wary = now.Add(wariness)
	}
	c.heard()
	c.misses, c.retryDue, c.credit = 0, time.Time{}, bits.Len(uint(c.BatchEvents))+patience
	for _, i := range taken {
		c.items[i].done = true
	}
	c.accuse(now, taken)
}

// heard begins to count anew what failed with no answer but that.
func (c *Courier[T]) heard() {
	if c.fails > 0 {
		for i := range c.items {
			c.items[i].probed, c.items[i].lone = false, 0
		}
	}
	c.fails, c.waits, c.probes = 0, 0, 0
}

// acquit gives what was set aside another chance, before others of its session pass it.
func (c *Courier[T]) acquit() {
	c.Hurry()
	for i := range c.items {
		if a := c.items[i].aside; a != nil {
			a.alone = 0
		}
	}
}

// refused narrows down what the sink refused for good, or has it buried.
func (c *Courier[T]) refused(now time.Time, failed []int, why error, named bool, of kind) {
	if !named && len(failed) > 1 {
		for _, i := range failed {
			if a := c.items[i].aside; a != nil {
				c.group, a.due = 1, now
				return
			}
		}
		c.doubt(failed)
		return
	}
	for _, i := range failed {
		c.condemn(now, i, why)
	}
	c.conclude(of)
}

// doubt notes that one of these events is bad.
func (c *Courier[T]) doubt(part []int) {
	if c.begun == 0 {
		c.begun = len(part)
	}
	for i := range c.items {
		c.items[i].doubted = false
	}
	for _, i := range part {
		c.items[i].doubted = true
	}
}

// found sets an event aside that failed alone while the sink is there.
func (c *Courier[T]) found(now time.Time, i int, why error) {
	c.wary = now.Add(wariness)
	c.setAside(now, i, why, false)
	c.conclude(regular)
}

// conclude notes that it is known which event of a batch was bad. The next batch has half
// the size, and grows again as soon as one is taken: then about every other one fails,
// however many bad ones there are, which is when a failure tells most.
func (c *Courier[T]) conclude(of kind) {
	if of == regular && c.begun > 0 {
		c.size = max(1, c.begun/2)
		c.begun = 0
	}
}

// forget lets go of what is settled.
func (c *Courier[T]) forget(p *Progress) {
	for i := range c.items {
		if c.items[i].done {
			p.Bytes += c.items[i].size
			if c.Settled != nil {
				c.Settled(c.items[i].tag)
			}
		}
	}
	c.items = slices.DeleteFunc(c.items, func(it item[T]) bool { return it.done })
}

// Session is what events are kept in order by.
func Session(e *beacon.Event) string {
	if e.Session != "" {
		return e.Session
	}
	return e.View
}
