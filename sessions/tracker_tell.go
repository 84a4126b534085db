package sessions

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"github.com/pagebeacon/beacon"
)

// tell is what a Tracker has to tell, and to whom.
type tell struct {
	queue        fifo[*visit]
	pushed, done uint64 // visits that were queued, and of those told
	waiting      []waiter
	number       uint64
	seed         maphash.Seed
	hash         uint64 // of the View that is taken

	running bool // deliver, and what is its own:
	current []*visit
	out     []Revision
	next    int

	deriver deriver
	stead   [3]beacon.PageView
	before  []told
}

// told is a session as it was told last.
type told struct {
	first *node
	hash  uint64
	ended bool
}

type waiter struct {
	done uint64
	c    chan struct{}
}

// enqueue has a visit told.
func (t *Tracker) enqueue(v *visit) {
	if v.queued || t.o.OnRevision == nil {
		v.urgent = false
		return
	}
	v.queued = true
	t.queue.push(v)
	t.pushed++
	if !t.running {
		t.running = true
		go t.deliver()
	}
}

// await waits until what is queued is told. The caller holds the lock, which is let go of.
func (t *Tracker) await(ctx context.Context) error {
	if t.done >= t.pushed || t.inside(ctx) {
		t.mu.Unlock()
		return nil
	}
	w := waiter{t.pushed, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver tells what is queued, until there is nothing. There is one at a time.
func (t *Tracker) deliver() {
	returned := false
	defer func() {
		if !returned { // OnRevision ended the goroutine
			t.mu.Lock()
			t.stats.Panics++
			t.mu.Unlock()
			go t.deliver()
		}
	}()
	for {
		for t.next < len(t.out) && t.ctx.Err() == nil {
			t.next++
			t.call(t.out[t.next-1])
		}
		clear(t.out)
		t.out, t.next = t.out[:0], 0
		if !t.follow() {
			returned = true
			return
		}
	}
}

func (t *Tracker) call(r Revision) {
	defer func() {
		if recover() != nil {
			t.mu.Lock()
			t.stats.Panics++
			t.mu.Unlock()
		}
	}()
	t.o.OnRevision(t.ctx, r)
}

// follow prepares what is to be told next.
func (t *Tracker) follow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled()
	if t.queue.len() == 0 {
		t.running = false
		return false
	}
	// Several together, so that events do not wait for each by itself.
	for nodes := 0; t.queue.len() > 0 && len(t.out) < 64 && nodes < 4096; {
		v := t.queue.pop()
		t.current = append(t.current, v)
		v.queued = false
		nodes += v.nodes
		t.revise(v)
	}
	return true
}

// settled lets go of what was told.
func (t *Tracker) settled() {
	if len(t.current) == 0 {
		return
	}
	for _, v := range t.current {
		if v.leaving && !v.queued {
			t.bytes, t.leaving, v.bytes = t.bytes-v.bytes, t.leaving-v.bytes, 0
			t.openRoom()
		}
	}
	t.done += uint64(len(t.current))
	clear(t.current)
	t.current = t.current[:0]
	t.waiting = slices.DeleteFunc(t.waiting, func(w waiter) bool {
		if w.done <= t.done {
			close(w.c)
		}
		return w.done <= t.done
	})
}

func (t *Tracker) openRoom() {
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// abandon forgets everything.
func (t *Tracker) abandon() {
	t.keyed, t.alone, t.due = nil, nil, nil
	t.live, t.idle, t.resting, t.queue = list{}, list{}, fifo[rest]{}, fifo[*visit]{}
	t.current = nil // of those a revision may still be told
	t.done = t.pushed
	t.bytes, t.leaving, t.stats.PageViews = 0, 0, 0
	for _, w := range t.waiting {
		close(w.c)
	}
	t.waiting = nil
}

// revise makes the revisions of a visit.
func (t *Tracker) revise(v *visit) {
	t.settleAll(v)
	v.gone = slices.DeleteFunc(v.gone, func(o told) bool {
		r := o.first.row // of what was seen after all
		if r != nil {
			r.told = append(r.told, o)
		}
		return r != nil
	})
	quiet := v.rested >= 0 && !t.closed && !v.leaving
	v.urgent = false
	said := len(t.out)
	for i, r := range v.rows {
		over := t.isOver(v, r)
		if r.urgent || over != r.over || r.dirty && !quiet {
			t.reviseRow(v, i, over)
			if cut := t.oldPieces(v, r); cut != 0 && v.in != nil {
				t.forgetPieces(v, r, cut)
			}
		}
	}
	for _, o := range v.gone {
		t.withdraw(v, o, t.nearTo(v, o))
	}
	v.gone = nil
	if v.in == nil {
		return
	}
	t.due.set(v, max(t.dueOf(v), t.mark+1))
	if len(t.out) > said && !quiet && !t.closed {
		v.rested = t.now()
		t.resting.push(rest{v, v.rested})
		t.arm(v.rested)
	}
}

func (t *Tracker) reviseRow(v *visit, i int, over bool) {
	r := v.rows[i]
	r.dirty, r.urgent, r.over = false, false, over
	all := t.derive(v, i)
	t.before = append(t.before[:0], r.told...)
	old := t.before
	r.told = r.told[:0]
	var at map[*node]int // of old ones, if they are many
	if len(old) > 4 {
		at = make(map[*node]int, len(old))
		for i := range old {
			at[old[i].first] = i
		}
	}
	for i := range all {
		s := &all[i]
		now := told{first: t.first(v, s), hash: maphash.Comparable(t.seed, *s), ended: over || i < len(all)-1}
		var reason Reason
		if now.ended {
			reason = t.reason(v, r, s, i < len(all)-1)
		}
		was := -1
		if at == nil {
			was = slices.IndexFunc(old, func(o told) bool { return o.first == now.first })
		} else if i, ok := at[now.first]; ok {
			was = i
		}
		switch {
		case was < 0:
			t.say(Revision{Session: *s, Kind: Opened})
			if now.ended {
				t.say(Revision{Session: *s, Kind: Ended, Reason: reason})
			}
		case now.ended && !old[was].ended:
			t.say(Revision{Session: *s, Kind: Ended, Reason: reason})
		case old[was].ended && (!now.ended || now.hash != old[was].hash):
			t.say(Revision{Session: *s, Kind: Revised, Reason: reason})
		case now.hash != old[was].hash:
			t.say(Revision{Session: *s, Kind: Changed})
		}
		if was >= 0 {
			old[was].first = nil
		}
		r.told = append(r.told, now)
	}
	for _, o := range old {
		if o.first != nil {
			t.withdraw(v, o, into(all, v.timeOf(o.first)+v.offset))
		}
	}
	clear(old)
}

func (t *Tracker) reason(v *visit, r *row, s *Session, cut bool) Reason {
	switch gap := v.in == &t.idle || t.mark > v.endOf(r)+t.gap; {
	case cut || gap && s.Cut:
		return ReasonMax
	case gap && s.Crashed:
		return ReasonCrash
	case gap:
		return ReasonGap
	case v.leaving:
		return ReasonEvicted
	}
	return ReasonClosed
}

// first returns the node that a session began with.
func (t *Tracker) first(v *visit, s *Session) *node {
	view := s.ID
	if !v.alone {
		view = view[len(v.key)+1:]
	}
	return v.find(view, maphash.String(t.seed, view))
}

// into returns the ID of the session in which a time is, or the first.
func into(all []Session, at int64) string {
	i, _ := slices.BinarySearchFunc(all, at+1, func(s Session, at int64) int { return cmp.Compare(s.Start.UnixMicro(), at) })
	return all[max(0, i-1)].ID
}

// nearTo returns the session that is where one was of which nothing is left.
func (t *Tracker) nearTo(v *visit, o told) string {
	at := v.timeOf(o.first)
	for i, r := range v.rows {
		if at < r.begin-t.gap || at > r.heard+t.gap {
			continue
		}
		return into(t.derive(v, i), at+v.offset)
	}
	return ""
}

func (t *Tracker) withdraw(v *visit, o told, into string) {
	id := o.first.view.View
	if !v.alone {
		id = v.key + ":" + id
	}
	t.say(Revision{Session: Session{ID: id, Key: v.key}, Kind: Withdrawn, Into: into})
}

func (t *Tracker) say(r Revision) {
	t.number++
	r.Number = t.number
	t.out = append(t.out, r)
}
