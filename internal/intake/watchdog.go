package intake

import (
	"net/http"
	"sync"
	"time"
)

// A watchdog ends the reads of bodies that take too long. The obvious way, a
// deadline on the connection that is set before a body and cleared after it, costs
// more than decoding one; so all bodies share one slow clock, and only those it
// finds late get a deadline: one that has passed.
type watchdog struct {
	period time.Duration // of the clock; watchTicks of them are the time a body has

	mu      sync.Mutex
	slots   []watched
	free    []int // slots not in use
	tick    uint64
	running bool // the clock is, which it need not be without bodies
}

// A watched is a body being read; w is nil in a slot not in use.
type watched struct {
	w     http.ResponseWriter
	since uint64
	late  bool
	bound bool // a deadline is on the connection
}

// watchTicks trades the accuracy of the time-out (one part in as many) for how
// often the clock runs.
const watchTicks = 8

// enter begins to watch the body of the request that w answers.
func (d *watchdog) enter(w http.ResponseWriter) (slot int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.free); n > 0 {
		slot, d.free = d.free[n-1], d.free[:n-1]
	} else {
		slot = len(d.slots)
		d.slots = append(d.slots, watched{})
	}
	d.slots[slot] = watched{w: w, since: d.tick}
	if !d.running {
		d.running = true
		time.AfterFunc(d.period, d.run)
	}
	return slot
}

// leave ends that. It says whether the body was found late, and whether that put a
// deadline on the connection. After it the watchdog does not touch the connection
// again.
func (d *watchdog) leave(slot int) (late, bound bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	late, bound = d.slots[slot].late, d.slots[slot].bound
	d.slots[slot] = watched{}
	d.free = append(d.free, slot)
	return late, bound
}

// run is one tick of the clock.
func (d *watchdog) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.free) == len(d.slots) {
		d.running, d.slots, d.free = false, nil, nil
		return
	}
	d.tick++
	for i := range d.slots {
		s := &d.slots[i]
		// The first tick may have come at once, so it does not count.
		if s.w != nil && !s.late && d.tick-s.since > watchTicks {
			s.late = true
			s.bound = http.NewResponseController(s.w).SetReadDeadline(time.Now()) == nil
		}
	}
	time.AfterFunc(d.period, d.run)
}
