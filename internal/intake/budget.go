package intake

import (
	"net/netip"
	"sync"
	"time"
)

// A budget bounds how much of something all requests hold at a time, and how much of it
// those of one network do. Those who do not get theirs wait in line.
//
// A large claim is not starved by small ones, and does not hold them up either: they go
// past it for a bounded while, and have room of their own.
type budget struct {
	share int64 // the most of one network, what it waits for included
	kept  int64 // what only small claims get
	crowd int   // how many may wait

	leave      [kinds]int64 // what has to be free after a claim, for those that are served first
	leaveShare [kinds]int64 // the same of a share

	mu       sync.Mutex
	free     int64
	small    int64 // held by small claims
	lines    lines // for room
	waiting  int
	pressed  time.Time // when all were last made to hurry
	networks map[netip.Prefix]*network
	spare    []*network
}

// maxSpare is how many networks that are gone are kept to be used again.
const maxSpare = 64

func newBudget(n, share, kept int64, crowd int) budget {
	return budget{share: share, kept: kept, crowd: crowd, free: n, networks: map[netip.Prefix]*network{}}
}

// A network is one whose requests hold something, or wait for it.
type network struct {
	asked   int64     // what they hold or wait for in a line of the budget
	lines   lines     // of claims that are beyond its share
	pressed time.Time // when they were last made to hurry
}

// A claim is what a request asks for.
type claim struct {
	n       int64
	network netip.Prefix // whose share it is of; the zero Prefix has none
	kind    kind
}

// A kind of claims has a line of its own. Who has more invested is served first, and finds
// room that the others have left: or else those who hold something would all wait for what
// they hold. Small claims have little to wait for.
type kind int

const (
	making    kind = iota // what is made of a body
	finishing             // all the rest of a body
	beginning             // the first of a body
	small
	kinds
)

type waiter struct {
	claim
	since time.Time
	ready chan struct{} // closed when granted
	asked bool          // it counts to the share of its network
	gone  bool          // it gave up
}

const (
	// overtake is how long small claims go past a large one that waits for room.
	overtake = 250 * time.Millisecond

	// pressing is how long a claim waits before others have to make room for it, and
	// pressEvery is how often they have to.
	pressing   = 100 * time.Millisecond
	pressEvery = 50 * time.Millisecond
)

// try takes what c asks for if nobody has to wait for it.
func (b *budget) try(c claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.network(c.network)
	if !b.admits(own, c) || !b.lines[c.kind].empty() || !b.fits(c) {
		b.forget(c.network, own)
		return false
	}
	own.ask(c.n)
	b.take(c)
	return true
}

// wait takes what c asks for, waiting for up to patience. If it has to wait it calls
// press, after a while, to free something: of a network if that has used up its share, or
// of anybody's for the zero Prefix.
func (b *budget) wait(c claim, patience time.Duration, press func(of netip.Prefix)) bool {
	if b.try(c) {
		return true
	}
	b.mu.Lock()
	if b.waiting >= b.crowd {
		b.mu.Unlock()
		return false
	}
	b.waiting++
	w := &waiter{claim: c, since: time.Now(), ready: make(chan struct{})}
	own := b.network(c.network)
	if w.asked = b.admits(own, c); w.asked {
		own.ask(c.n)
		b.lines[c.kind].add(w)
		b.grant() // there may be room since
	} else {
		own.lines[c.kind].add(w)
	}
	b.mu.Unlock()
	if w.waits(min(pressing, patience)) {
		return true
	}
	if of, due := b.inTheWay(w); due {
		press(of)
	}
	return w.waits(patience-pressing) || !b.giveUp(w)
}

// inTheWay returns whose requests hold what w waits for. due is false if they were
// pressed a moment ago.
func (b *budget) inTheWay(w *waiter) (of netip.Prefix, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := &b.pressed
	if !w.asked {
		of, last = w.network, &b.network(w.network).pressed
	}
	now := time.Now()
	if due = now.Sub(*last) >= pressEvery; due {
		*last = now
	}
	return of, due
}

func (w *waiter) waits(d time.Duration) (granted bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.ready:
		return true
	case <-t.C:
		return false
	}
}

// giveUp takes w out of its line. It is false if w was served in the last moment.
func (b *budget) giveUp(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready:
		return false
	default:
	}
	w.gone = true
	b.waiting--
	var back int64
	if w.asked {
		back = w.n
	}
	own := b.network(w.network)
	b.giveBack(own, back) // those behind may have waited for this one only
	b.forget(w.network, own)
	b.grant()
	return true
}

// release gives back n that was held for a network, of which small was by small claims.
func (b *budget) release(of netip.Prefix, n, small int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.small -= small
	own := b.network(of)
	b.giveBack(own, n)
	b.forget(of, own)
	b.grant()
}

func (b *budget) left() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

// outgrow notes that n of what small claims hold is that of a large one now.
func (b *budget) outgrow(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.small -= n
	b.grant()
}

// fits says whether there is room for c. Callers hold mu.
func (b *budget) fits(c claim) bool {
	if c.kind == small {
		return b.free >= c.n && (b.small+c.n <= b.kept || !b.lines.overtaken())
	}
	return b.free-c.n >= b.kept+b.leave[c.kind] && b.lines.first(c.kind)
}

func (b *budget) take(c claim) {
	b.free -= c.n
	if c.kind == small {
		b.small += c.n
	}
}

// grant serves the lines from their heads. Callers hold mu.
func (b *budget) grant() {
	for i := range b.lines {
		for w := b.lines[i].first(); w != nil && b.fits(w.claim); w = b.lines[i].first() {
			b.lines[i].next()
			b.take(w.claim)
			b.waiting--
			close(w.ready)
		}
	}
}

// network returns the network of that name, nil for the zero Prefix. Callers hold mu.
func (b *budget) network(name netip.Prefix) *network {
	if !name.IsValid() {
		return nil
	}
	own := b.networks[name]
	if own == nil {
		if n := len(b.spare); n > 0 {
			own, b.spare = b.spare[n-1], b.spare[:n-1]
			own.pressed = time.Time{}
		} else {
			own = new(network)
		}
		b.networks[name] = own
	}
	return own
}

// forget drops a network that holds nothing and waits for nothing. Callers hold mu.
func (b *budget) forget(name netip.Prefix, own *network) {
	if own != nil && own.asked == 0 && own.lines.empty() {
		delete(b.networks, name)
		if len(b.spare) < maxSpare {
			b.spare = append(b.spare, own)
		}
	}
}

// giveBack moves claims of a network into the lines of the budget as its share allows,
// when it holds or waits for n less. Callers hold mu.
func (b *budget) giveBack(own *network, n int64) {
	if own == nil {
		return
	}
	own.asked -= n
	for i := range own.lines {
		for w := own.lines[i].first(); w != nil && b.inShare(own, w.claim); w = own.lines[i].first() {
			own.lines[i].next()
			own.ask(w.n)
			w.asked = true
			b.lines[i].add(w)
		}
	}
}

// admits says whether c is within the share of the network, and no other claim of it goes
// first. A nil network has no share that could be used up.
func (b *budget) admits(own *network, c claim) bool {
	return own == nil || b.inShare(own, c) && (c.kind == small || own.lines[c.kind].empty())
}

func (b *budget) inShare(own *network, c claim) bool {
	return own.asked+c.n <= b.share-b.leaveShare[c.kind] && (c.kind == small || own.lines.first(c.kind))
}

func (o *network) ask(n int64) {
	if o != nil {
		o.asked += n
	}
}

// lines are those of the kinds of claims, in the order in which they are served.
type lines [kinds]queue

func (l *lines) empty() bool {
	for i := range l {
		if !l[i].empty() {
			return false
		}
	}
	return true
}

// first says whether nobody waits who is served before those of a kind.
func (l *lines) first(k kind) bool {
	for i := range k {
		if !l[i].empty() {
			return false
		}
	}
	return true
}

// overtaken says whether small claims have gone past a large one for long enough.
func (l *lines) overtaken() bool {
	for k := range small {
		if w := l[k].first(); w != nil && time.Since(w.since) >= overtake {
			return true
		}
	}
	return false
}

// A queue holds those who wait, in order. Who gave up stays in it until it is their turn.
type queue []*waiter

func (q *queue) add(w *waiter) { *q = append(*q, w) }

// first returns who is served next, or nil.
func (q *queue) first() *waiter {
	for len(*q) > 0 && (*q)[0].gone {
		q.next()
	}
	if len(*q) == 0 {
		return nil
	}
	return (*q)[0]
}

func (q *queue) next() {
	(*q)[0] = nil
	*q = (*q)[1:]
}

func (q *queue) empty() bool { return q.first() == nil }
