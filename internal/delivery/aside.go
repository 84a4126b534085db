package delivery

import (
	"time"

	"github.com/pagebeacon/beacon"
)

// A suspicion is what is held against an event that was set aside.
type suspicion struct {
	why      error     // of the last failure
	since    time.Time // of the first
	last     time.Time
	due      time.Time // of the next attempt
	failures int
	alone    int  // those since the sink was away
	open     bool // nothing was accepted since the last failure that counts against it
	tries    int  // failures with another event accepted since
	named    bool // by the sink, once
	dead     bool // to be buried
}

const (
	maxAside   = 1000             // events; also of those that wait for them
	namedTries = 10 * time.Minute // before an event that the sink names is buried
	passAfter  = time.Second      // and passTries if it was not named; then others of its session go on
	passTries  = 4
)

// setAside notes that an event failed by itself, and when to try it again.
func (c *Courier[T]) setAside(now time.Time, i int, why error, named bool) {
	it := &c.items[i]
	if it.aside == nil {
		it.aside = &suspicion{since: now}
	}
	a := it.aside
	a.last = now
	a.why, a.named, a.open = why, a.named || named, true
	a.due = now
	if !c.crowded() {
		asked, _ := beacon.RetryAfter(why)
		a.due = now.Add(max(Backoff(c.Base, c.Limit, a.failures), min(asked, longest)))
		if pass := a.since.Add(passAfter); asked == 0 && now.Before(pass) && pass.Before(a.due) {
			a.due = pass // before others pass it
		}
	}
	if a.named {
		a.due = c.groupDue
	}
	a.failures++
	a.alone++
}

// passable says whether others of its session may go on before the event.
func (a *suspicion) passable(now time.Time) bool {
	if a.named {
		return now.Sub(a.since) >= passAfter
	}
	return a.alone >= passTries && a.last.Sub(a.since) >= passAfter
}

// regroup notes how an attempt at what was named went, and when the next one is due. A store
// behind the sink may be away: then there is one attempt at a time, and in the end at one
// event. A first failure is not one of those.
func (c *Courier[T]) regroup(now time.Time, part, taken []int, of kind, named bool) {
	switch {
	case of != retry:
		c.group = max(c.group, 1)
		if c.groupFails == 0 && !c.groupDue.After(now) {
			c.group = c.BatchEvents
		}
	case len(taken) > 0:
		c.groupFails, c.group = 0, min(c.BatchEvents, 2*max(c.group, len(part)))
	default:
		c.groupFails++
		if !named {
			c.group = max(1, len(part)/2)
		}
	}
	if of == retry || !c.groupDue.After(now) {
		c.groupDue = now.Add(Backoff(c.Base, c.Limit, c.groupFails))
	}
}

// condemn has an event buried at the next chance.
func (c *Courier[T]) condemn(now time.Time, i int, why error) {
	it := &c.items[i]
	if it.aside == nil {
		it.aside = &suspicion{since: now}
	}
	it.aside.why, it.aside.dead = why, true
}

// accuse counts a failure of those that were set aside, now that others were taken.
func (c *Courier[T]) accuse(now time.Time, taken []int) {
	var names map[string]bool
	for i := range c.items {
		a := c.items[i].aside
		if a == nil || c.items[i].done || a.dead || !a.open && !a.named {
			continue
		}
		if a.named && a.open {
			if names == nil {
				names = map[string]bool{}
				for _, t := range taken {
					names[c.items[t].event.Name] = true
				}
			}
			if !names[c.items[i].event.Name] {
				continue
			}
		}
		if a.open {
			a.tries++
			a.open = false
		}
		if a.tries >= c.MaxTries && (!a.named || c.crowd || now.Sub(a.since) >= namedTries) {
			c.condemn(now, i, a.why)
		}
	}
}

// bury buries what is condemned. It returns false if there was nothing, or if that has
// failed and is not due again.
func (c *Courier[T]) bury(now time.Time, p *Progress) bool {
	if c.buryDue.After(now) {
		return false
	}
	c.dead = c.dead[:0]
	var events []beacon.Event
	var tags []T
	var why []error
	for i := range c.items {
		if it := &c.items[i]; it.aside != nil && it.aside.dead && !it.done {
			c.dead = append(c.dead, i)
			events, tags, why = append(events, it.event), append(tags, it.tag), append(why, it.aside.why)
		}
	}
	if len(events) == 0 {
		return false
	}
	kept, err := c.Bury(events, tags, why)
	for _, i := range c.dead[:kept] {
		c.items[i].done = true
	}
	if err != nil && c.Leave != nil && c.full(c.apart, 1) {
		for _, i := range c.dead[kept:] {
			c.Leave(c.items[i].tag)
			c.items[i].done = true
		}
	}
	p.Buried += kept
	c.buryDue = time.Time{}
	if kept > 0 || err == nil {
		c.buryFails = 0
	}
	if err != nil {
		c.buryDue = now.Add(max(c.Base, Backoff(c.Base, c.Limit, c.buryFails)))
		c.buryFails++
	}
	return true
}

// together returns what was set aside and is due: one event, or a group of those that the
// sink named.
func (c *Courier[T]) together() []int {
	if !c.items[c.due[0]].aside.named {
		return []int{c.due[0]}
	}
	var part []int
	bytes := int64(0)
	for _, i := range c.due {
		if !c.items[i].aside.named {
			continue
		}
		if bytes += c.items[i].size; len(part) == min(max(1, c.group), c.BatchEvents) || len(part) > 0 && bytes > c.BatchBytes {
			break
		}
		part = append(part, i)
	}
	return part
}

// look finds what may be tried: what comes in its turn and does not wait for another
// of its session; what was set aside and is due; and the first of each session.
func (c *Courier[T]) look(now time.Time) {
	c.scan(now, false)
	if len(c.free) == 0 && len(c.due) == 0 && c.full(c.apart, 1) {
		c.scan(now, true) // or nothing could go on
	}
}

// scan does it. pass says that nothing has to wait for another of its session.
func (c *Courier[T]) scan(now time.Time, pass bool) {
	c.free, c.due, c.heads = c.free[:0], c.due[:0], c.heads[:0]
	c.aside, c.apart, c.next = load{}, load{}, time.Time{}
	var seen map[string]bool   // sessions of heads
	var behind map[string]bool // sessions of what was set aside; true if all of it goes in one call
	away := c.away(now)
	for i := range c.items {
		it := &c.items[i]
		a := it.aside
		if a != nil {
			c.aside.add(it.size)
		}
		c.apart.add(it.size)
		if a != nil && a.dead {
			c.wakeAt(c.buryDue)
			continue
		}
		s := Session(&it.event)
		if away && !seen[s] {
			c.heads = append(c.heads, i)
			if s != "" && (a == nil || !a.passable(now)) {
				if seen == nil {
					seen = map[string]bool{}
				}
				seen[s] = true
			}
		}
		together, waits := behind[s]
		switch {
		case a == nil && !waits:
			c.free = append(c.free, i)
			c.apart = load{c.apart.events - 1, c.apart.bytes - it.size}
		case a != nil:
			due := a.due
			if gate := c.gate(a); gate.After(due) {
				due = gate
			}
			goes := !due.After(now) && (!waits || together && a.named)
			if goes {
				c.due = append(c.due, i)
			} else if !waits {
				c.wakeAt(due)
			}
			if s != "" && !pass && !a.passable(now) {
				if behind == nil {
					behind = map[string]bool{}
				}
				behind[s] = goes && a.named
				if a.named {
					c.wakeAt(a.since.Add(passAfter))
				}
			}
		}
	}
}

// gate is when one of those like it may be tried again.
func (c *Courier[T]) gate(a *suspicion) time.Time {
	if a.named {
		return c.groupDue
	}
	return c.retryDue
}

func (c *Courier[T]) wakeAt(t time.Time) {
	if c.next.IsZero() || t.Before(c.next) {
		c.next = t
	}
}

// Crowd says that there is not much room for what is set aside, where its owner keeps it:
// it is tried as fast as the others, and buried sooner.
func (c *Courier[T]) Crowd(is bool) { c.crowd = is }

// crowded says whether what was set aside has half of its bounds.
func (c *Courier[T]) crowded() bool { return c.crowd || c.full(c.aside, 2) }

func (l *load) add(bytes int64) { l.events, l.bytes = l.events+1, l.bytes+bytes }

// full says whether events have one of so many parts of what may be set aside.
func (c *Courier[T]) full(l load, parts int) bool {
	return l.events >= maxAside/parts || l.bytes >= c.AsideBytes/int64(parts)
}
