package intake

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A watchdog ends the reads of bodies that take too long. The obvious way, a
// deadline on the connection that is set before a body and cleared after it, costs
// more than decoding one; so all bodies share one slow clock, and only those it
// finds late get a deadline: one that has passed.
type watchdog struct {
	timeout time.Duration // the time a body has, give or take a tick

	mu      sync.Mutex
	reads   []*read
	free    []*read // those of them that are not in use
	tick    uint64
	running bool // the clock is, which it need not be without bodies
}

// A read is that of one body.
type read struct {
	got  atomic.Int64 // bytes that have come
	room atomic.Int64 // that was set aside for them

	w        http.ResponseWriter // nil if it is not in use
	network  netip.Prefix
	begun    time.Time
	paused   time.Time // since when it waits for room; zero if it does not
	since    uint64    // the tick of that
	mark     uint64    // the tick at which the pace was last looked at
	marked   int64     // what had come by then
	late     bool
	deadline bool // there is one on the connection
}

const (
	// watchTicks trades the accuracy of the time-out (one part in as many) for how
	// often the clock runs.
	watchTicks = 8

	// paceTicks is the part of the time over which a body has to keep its pace, and
	// minWindow is the least of it.
	paceTicks = watchTicks / 2
	minWindow = time.Second

	// minPace is the least that a body brings, in bytes a second. A byte now and then
	// must not hold a connection for as long as a slow upload may.
	minPace = 16

	// pressedPace is the least while others wait, of a body older than pressedAge.
	pressedPace = 1 << 10
	pressedAge  = time.Second
)

func (d *watchdog) period() time.Duration { return max(d.timeout/watchTicks, time.Millisecond) }

// enter begins to watch the body of the request that w answers.
func (d *watchdog) enter(w http.ResponseWriter, network netip.Prefix) *read {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	var r *read
	if n := len(d.free); n > 0 {
		r, d.free = d.free[n-1], d.free[:n-1]
	} else {
		r = new(read)
		d.reads = append(d.reads, r)
	}
	r.w, r.network, r.begun, r.since, r.mark = w, network, now, d.tick, d.tick
	if !d.running {
		d.running = true
		time.AfterFunc(d.period(), d.run)
	}
	return r
}

// leave ends that. It says whether the body was found late, and whether that put a
// deadline on the connection. After it the watchdog does not touch the connection
// again.
func (d *watchdog) leave(r *read) (late, deadline bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	late, deadline = r.late, r.deadline
	r.w, r.late, r.deadline, r.marked = nil, false, false, 0
	r.got.Store(0)
	r.room.Store(0)
	d.free = append(d.free, r)
	return late, deadline
}

// run is one tick of the clock.
func (d *watchdog) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.free) == len(d.reads) {
		d.running, d.reads, d.free = false, nil, nil
		return
	}
	d.tick++
	window := paceTicks * d.period()
	for _, r := range d.reads {
		switch {
		case r.w == nil || r.late || !r.paused.IsZero():
		case d.tick-r.since > watchTicks: // the first tick may have come at once, so it does not count
			r.end()
		case d.tick-r.mark > paceTicks && window >= minWindow:
			got := r.got.Load()
			if got-r.marked < minPace*int64(window/time.Second) {
				r.end()
			}
			r.mark, r.marked = d.tick, got
		}
	}
	time.AfterFunc(d.period(), d.run)
}

// pause is for a body that waits for room, which is no fault of the client: until resume
// it is not ended, and the time does not count for its pace.
func (d *watchdog) pause(r *read) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.paused = time.Now()
}

func (d *watchdog) resume(r *read) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.begun = r.begun.Add(time.Since(r.paused))
	r.paused = time.Time{}
	r.mark, r.marked = d.tick, r.got.Load()
}

// press ends slow bodies, since others wait: those that bring little, and those that at
// their pace would not bring in time what they hold room for. If others of one network
// wait for its share, they are those of that network.
func (d *watchdog) press(of netip.Prefix) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.reads {
		if r.w == nil || r.late || !r.paused.IsZero() || of.IsValid() && of != r.network {
			continue
		}
		age := now.Sub(r.begun)
		pace := max(pressedPace, float64(r.room.Load())/d.timeout.Seconds())
		if age >= pressedAge && float64(r.got.Load()) < pace*age.Seconds() {
			r.end()
		}
	}
}

// end lets the next read of the body fail. Callers hold the lock.
func (r *read) end() {
	r.late = true
	r.deadline = http.NewResponseController(r.w).SetReadDeadline(time.Now()) == nil
}
