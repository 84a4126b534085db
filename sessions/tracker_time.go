package sessions

import (
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// take takes in what an event says. The caller holds the lock.
func (t *Tracker) take(view *beacon.PageView, received, now int64) {
	t.hash = maphash.String(t.seed, view.View)
	of, key := t.keyed, view.Session
	if key == "" {
		of, key = t.alone, view.View
	}
	v := of[key]
	if v == nil {
		v = &visit{key: strings.Clone(key), alone: view.Session == "", rested: -1, received: received}
		t.weigh(v, 0, visitBytes+int64(len(key)))
		of[v.key] = v
	}
	v.received, v.heard = max(v.received, received), now
	t.live.push(v)
	if t.join(v, view, received) && (v.urgent || v.rested < 0) {
		t.enqueue(v)
	}
	if !v.queued && (v.slot == 0 || v.moved) {
		v.moved = false
		if due := t.dueOf(v); v.slot == 0 || due < t.due[v.slot-1].due {
			t.due.set(v, due)
		}
	}
	if received > t.mark {
		t.mark = received
		t.endDue(64)
	}
	t.shrink(v)
	t.arm(now)
}

// shrink forgets what is too much.
func (t *Tracker) shrink(v *visit) {
	if v.in != nil && v.bytes > t.o.MaxBytes/shareOfKey {
		t.evict(v)
	}
	for t.bytes-t.leaving > t.o.MaxBytes {
		switch {
		case t.idle.first != nil:
			t.evict(t.idle.first)
		case t.live.first != nil:
			t.evict(t.live.first)
		default:
			return
		}
	}
}

func (t *Tracker) evict(v *visit) {
	t.stats.Evicted++
	v.leaving = true
	t.remove(v)
	if slices.ContainsFunc(v.rows, func(r *row) bool { return r.dirty || !r.over }) || len(v.gone) > 0 {
		t.enqueue(v)
	}
	if v.queued {
		t.leaving += v.bytes
		return
	}
	t.bytes, v.bytes = t.bytes-v.bytes, 0
}

// remove takes a visit out of everything but the queue.
func (t *Tracker) remove(v *visit) {
	if v.alone {
		delete(t.alone, v.key)
	} else {
		delete(t.keyed, v.key)
	}
	v.in.remove(v)
	t.due.remove(v)
	t.stats.PageViews -= v.nodes
	if v.rested >= 0 {
		v.rested = -1
		t.stale++
	}
	if t.stale > 64 && t.stale > t.resting.len()/2 { // or they would stay in memory for Every
		t.resting.keep(func(r rest) bool { return r.visit.rested == r.at })
		t.stale = 0
	}
}

func (t *Tracker) forget(v *visit) {
	t.remove(v)
	t.bytes -= v.bytes
}

// endOf returns the end of a row by the progress of events. Where the clock of the client
// is all there is, when it was heard of says more.
func (v *visit) endOf(r *row) int64 {
	if v.known {
		return r.heard + v.offset
	}
	return r.received
}

// isOver tells whether the sessions of a row have ended.
func (t *Tracker) isOver(v *visit, r *row) bool {
	return t.closed || v.leaving || v.in == &t.idle || t.mark > v.endOf(r)+t.gap
}

// forgetAt returns how long a row that ended stays.
func (t *Tracker) forgetAt(v *visit, r *row) int64 {
	return max(v.endOf(r), r.received) + t.gap + t.linger
}

// dueOf returns when there is something to do next about a visit, by progress of events.
func (t *Tracker) dueOf(v *visit) int64 {
	if len(v.rows) == 0 {
		return v.received + t.gap + t.linger
	}
	due := int64(math.MaxInt64)
	for _, r := range v.rows {
		if r.over {
			due = min(due, t.forgetAt(v, r))
		} else {
			due = min(due, v.endOf(r)+t.gap)
		}
	}
	return due
}

// endDue does what is due by progress of events, about so many visits at most, and tells
// whether there is more.
func (t *Tracker) endDue(most int) (more bool) {
	for range most {
		v := t.due.first(t.mark)
		if v == nil {
			return false
		}
		t.review(v)
	}
	return true
}

// review ends the rows of a visit that are over, and forgets those that lingered, and the
// visit if that was all of it.
func (t *Tracker) review(v *visit) {
	t.settleAll(v)
	if v.urgent {
		t.enqueue(v)
	}
	for i := 0; i < len(v.rows); i++ {
		r := v.rows[i]
		over := t.isOver(v, r)
		if over && !r.over {
			if t.o.OnRevision == nil {
				r.over = true
			}
			t.enqueue(v)
		}
		if cut := t.oldPieces(v, r); cut != 0 {
			if r.dirty && t.o.OnRevision != nil {
				r.urgent = true
				t.enqueue(v) // which forgets them then
			} else {
				t.forgetPieces(v, r, cut)
			}
		}
		if r.over && over && t.mark > t.forgetAt(v, r) {
			if r.dirty && t.o.OnRevision != nil { // first it is told
				r.urgent = true
				t.enqueue(v)
				continue
			}
			t.forgetRow(v, i)
			i--
		}
	}
	if len(v.rows) == 0 && !v.queued && t.mark > v.received+t.gap+t.linger {
		t.forget(v)
		return
	}
	if v.queued {
		t.due.remove(v) // until it is told
	} else {
		t.due.set(v, max(t.dueOf(v), t.mark+1))
	}
}

// forgetRow forgets the i-th row of a visit, and what was attached to it.
func (t *Tracker) forgetRow(v *visit, i int) {
	r := v.rows[i]
	v.rows = slices.Delete(v.rows, i, i+1)
	t.weigh(v, 0, -rowBytes)
	for _, n := range r.nodes {
		t.drop(v, n.node)
	}
	end := t.lastEnd(r) + t.gap
	v.loose = slices.DeleteFunc(v.loose, func(n *node) bool {
		old := !n.view.Start.IsZero() && v.timeOf(n) <= end
		if old {
			t.drop(v, n)
		}
		return old
	})
}

// oldPieces returns up to where the sessions of a row that goes on beyond Max lingered
// long enough; 0 is none.
func (t *Tracker) oldPieces(v *visit, r *row) (cut int64) {
	if r.last-r.begin < t.limit {
		return 0
	}
	cut = r.begin + max(0, t.mark-v.offset-t.gap-t.linger-r.begin)/t.limit*t.limit
	if cut = min(cut, t.lastCut(r)-t.limit); cut <= max(r.begin, r.cut) {
		return 0
	}
	return cut
}

// forgetPieces forgets the sessions of a row up to there.
func (t *Tracker) forgetPieces(v *visit, r *row, cut int64) {
	r.lost = max(r.lost, cut)
	r.nodes = slices.DeleteFunc(r.nodes, func(n ref) bool {
		start, end := n.span(t.limit)
		if start >= cut {
			return false
		}
		r.lost = max(r.lost, end)
		t.drop(v, n.node)
		n.row = nil
		return true
	})
	r.cut = cut
	r.told = slices.DeleteFunc(r.told, func(o told) bool { return o.first.row == nil })
	v.loose = slices.DeleteFunc(v.loose, func(n *node) bool {
		old := !n.view.Start.IsZero() && v.timeOf(n) < cut-t.gap
		if old {
			t.drop(v, n)
		}
		return old
	})
}

// A rest is the time after a visit was told, in which changes wait.
type rest struct {
	visit *visit
	at    int64
}

// relax ends the rest of the visit that was told first.
func (t *Tracker) relax() {
	r := t.resting.pop()
	v := r.visit
	if v.rested != r.at {
		t.stale--
		return
	}
	v.rested = -1
	if slices.ContainsFunc(v.rows, func(r *row) bool { return r.dirty }) {
		t.enqueue(v)
	}
}

// grain is how exact the timer is: a fraction of what it waits for, and not more than a
// second, so that much is done at once.
func (t *Tracker) grain() int64 { return min(time.Second.Microseconds(), t.gap/8, t.every/8) }

// arm sets the timer for what is next by the clock.
func (t *Tracker) arm(now int64) {
	const never = math.MaxInt64
	next := int64(never)
	if t.resting.len() > 0 {
		next = t.resting.items[t.resting.head].at + t.every
	}
	if v := t.live.first; v != nil {
		next = min(next, v.heard+t.gap)
	}
	if v := t.idle.first; v != nil {
		next = min(next, v.heard+t.gap+t.linger)
	}
	if next == never || t.closed {
		return
	}
	if t.due.first(t.mark) != nil {
		next = now // there was too much to do at once
	}
	next = max(next, now) + t.grain() + 1
	if t.alarm != 0 && t.alarm <= next {
		return
	}
	t.alarm = next
	wait := time.Duration(next-now) * time.Microsecond
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.tick)
	} else {
		t.timer.Reset(wait)
	}
}

// tick does what is due by the clock. It holds the lock for as long as a thousand visits
// take, and comes again soon if there are more.
func (t *Tracker) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	now := t.now()
	t.alarm = 0
	t.endDue(1000)
	for range 1000 {
		if t.resting.len() == 0 || t.resting.items[t.resting.head].at+t.every > now {
			break
		}
		t.relax()
	}
	for range 1000 {
		v := t.live.first
		if v == nil || v.heard+t.gap >= now {
			break
		}
		t.idle.push(v)
		t.review(v)
	}
	for range 1000 {
		v := t.idle.first
		if v == nil || v.heard+t.gap+t.linger >= now {
			break
		}
		if v.queued { // OnRevision takes its time
			t.idle.push(v)
			v.heard = now - t.gap - t.linger
			continue
		}
		t.forget(v)
	}
	t.arm(now)
}
