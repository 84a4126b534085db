package sessions

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/pagebeacon/beacon"
)

// A visit is what is held of one key. Times of its page views are on the client's clock:
// one Offset puts all of them on the server's, so that a new one moves them together and
// parts nothing.
type visit struct {
	key    string
	alone  bool // there is no Session: key is the View
	rows   []*row
	loose  []*node          // what is of no row: not seen, activity, without a start
	index  map[string]*node // by View, if there are many
	nodes  int
	offset int64
	known  bool // offset is

	received int64 // the largest one, in microseconds
	heard    int64 // when, on the clock
	bytes    int64

	prev, next *visit // in a list
	in         *list
	slot       int32 // in the heap, from 1
	rested     int64 // when it was told last, while that is within Every; else -1

	queued  bool // there is something to tell
	urgent  bool // at once
	moved   bool // its ends are earlier, perhaps
	leaving bool
	gone    []told // of nothing that is still there
}

// A row is page views without a gap between them: one island, which is one session or,
// beyond Max, several. What it says is derived when it is to be told, not before.
type row struct {
	nodes        []ref
	begin, heard int64 // from the first start to the last end, each view clipped to Max
	last         int64 // start
	received     int64
	told         []told

	dirty  bool // changed since it was told
	urgent bool // by more than its contents
	broken bool // a view of it got shorter, or was not seen after all: it may be several rows, or none
	over   bool // ended, as told

	// Of a row that is much longer than Max the sessions of long ago are forgotten: all
	// that began before cut, a multiple of Max from begin, and lasted until lost.
	cut, lost int64
}

// A node is one page view, joined.
type node struct {
	view beacon.PageView
	row  *row
	hash uint64 // of View
}

// A ref has the hash as well, so that most that are not sought need no look.
type ref struct {
	hash uint64
	*node
}

func (n *node) span(limit int64) (start, end int64) {
	start = n.view.Start.UnixMicro()
	return start, max(start, min(n.view.End.UnixMicro(), start+limit))
}

func (n *node) opens() bool { return opens(&n.view) }

// Bytes of memory, as they are counted: what is allocated, in its size classes, and what
// a map, a heap and slices that grow have on top.
const (
	visitBytes = int64(unsafe.Sizeof(visit{})) + 32 + 100
	rowBytes   = int64(unsafe.Sizeof(row{})) + int64(unsafe.Sizeof(told{})) + 48
	nodeBytes  = int64(unsafe.Sizeof(node{})) + 40
	indexBytes = 56
	indexFrom  = 24 // nodes

	manyPieces = 16
)

func (n *node) bytes() int64 {
	v := &n.view
	return nodeBytes + int64(len(v.View)+len(v.Page)+len(v.Referrer)+len(v.Name))
}

func (v *visit) each(f func(*node)) {
	for _, r := range v.rows {
		for _, n := range r.nodes {
			f(n.node)
		}
	}
	for _, n := range v.loose {
		f(n)
	}
}

// find returns the node of a View with that hash.
func (v *visit) find(view string, hash uint64) *node {
	if v.index != nil {
		return v.index[view]
	}
	for i := len(v.rows) - 1; i >= 0; i-- {
		nodes := v.rows[i].nodes
		for j := len(nodes) - 1; j >= 0; j-- {
			if nodes[j].hash == hash && nodes[j].view.View == view {
				return nodes[j].node
			}
		}
	}
	for _, n := range v.loose {
		if n.hash == hash && n.view.View == view {
			return n
		}
	}
	return nil
}

// weigh counts what a visit holds more of, or less.
func (t *Tracker) weigh(v *visit, nodes int, bytes int64) {
	v.nodes += nodes
	v.bytes += bytes
	t.bytes += bytes
	if v.leaving {
		t.leaving += bytes
	} else {
		t.stats.PageViews += nodes
	}
}

// add makes a node of a page view that is new.
func (t *Tracker) add(v *visit, view *beacon.PageView, hash uint64) *node {
	n := &node{view: *view, hash: hash}
	n.view.Session, n.view.View = v.key, strings.Clone(view.View)
	if v.alone {
		n.view.Session, n.view.View = "", v.key
	}
	own(&n.view)
	t.weigh(v, 1, n.bytes())
	switch {
	case v.index != nil:
		v.index[n.view.View] = n
		t.weigh(v, 0, indexBytes)
	case v.nodes > indexFrom:
		v.index = make(map[string]*node, 2*indexFrom)
		v.each(func(n *node) { v.index[n.view.View] = n })
		v.index[n.view.View] = n
		t.weigh(v, 0, int64(len(v.index))*indexBytes)
	}
	return n
}

// own copies the texts of a page view, which else keep its request alive, in one piece.
func own(v *beacon.PageView) {
	all := v.Page
	if v.Referrer != "" || v.Name != "" {
		all = v.Page + v.Referrer + v.Name
	} else {
		all = strings.Clone(all)
	}
	p, r := len(v.Page), len(v.Page)+len(v.Referrer)
	v.Page, v.Referrer, v.Name = all[:p], all[p:r], all[r:]
}

// drop forgets a node that is in no row and not loose.
func (t *Tracker) drop(v *visit, n *node) {
	t.weigh(v, -1, -n.bytes())
	if v.index != nil {
		delete(v.index, n.view.View)
		t.weigh(v, 0, -indexBytes)
	}
}

// join takes a page view in and tells whether that changed anything. at is Received.
func (t *Tracker) join(v *visit, view *beacon.PageView, at int64) bool {
	n := v.find(view.View, t.hash)
	if n == nil {
		n = t.add(v, view, t.hash)
		t.learn(v, &n.view)
		if !n.opens() {
			v.loose = append(v.loose, n)
			t.touch(v, n)
			return true
		}
		return t.place(v, n, at)
	}
	old := n.view
	start, end := n.span(t.limit)
	view.Session, view.View = old.Session, old.View
	joined := old.Join(*view)
	if joined == old {
		return false
	}
	if n.row == nil {
		t.touch(v, n) // where it was before
	}
	n.view = joined
	if joined.Page != old.Page || joined.Referrer != old.Referrer || joined.Name != old.Name {
		t.weigh(v, 0, int64(len(joined.Page)+len(joined.Referrer)+len(joined.Name)-len(old.Page)-len(old.Referrer)-len(old.Name)))
		own(&n.view)
	} else {
		n.view.Page, n.view.Referrer, n.view.Name = old.Page, old.Referrer, old.Name
	}
	if joined.Activity && !old.Activity {
		t.forgetOffset(v) // that of a page view which is none
	} else {
		t.learn(v, &joined)
	}
	r := n.row
	switch opens := n.opens(); {
	case r == nil && opens:
		v.loose = slices.DeleteFunc(v.loose, func(o *node) bool { return o == n })
		return t.place(v, n, at)
	case r == nil:
		t.touch(v, n)
		return true
	case !opens:
		r.dirty, r.broken = true, true
		r.received = max(r.received, at)
		return true
	}
	r.dirty = true
	r.received = max(r.received, at)
	from, to := n.span(t.limit)
	if to < end || from < start && start == r.last { // what is too long is clipped to Max after the start, which is earlier now
		r.broken = true
	}
	if from != start || to != end || from < r.begin || to > r.heard {
		r.begin, r.heard = min(r.begin, from), max(r.heard, to)
		t.gather(v, r)
	}
	return true
}

// learn takes note of an Offset.
func (t *Tracker) learn(v *visit, view *beacon.PageView) {
	if o := view.Offset.Microseconds(); view.HasOffset && !view.Activity && (!v.known || o < v.offset) {
		v.offset, v.known, v.moved = o, true, true
		for _, r := range v.rows {
			r.dirty = true
		}
	}
}

// forgetOffset works it out anew.
func (t *Tracker) forgetOffset(v *visit) {
	v.offset, v.known = 0, false
	v.each(func(n *node) { t.learn(v, &n.view) })
	for _, r := range v.rows {
		r.dirty = true
	}
}

// place puts a node into the row that it is near, or makes one. It is false if that is
// of a time which is forgotten.
func (t *Tracker) place(v *visit, n *node, at int64) bool {
	start, end := n.span(t.limit)
	i := len(v.rows)
	for i > 0 && v.rows[i-1].heard+t.gap >= start {
		i--
	}
	if i == len(v.rows) || v.rows[i].begin-t.gap > end {
		r := &row{begin: start, heard: end, last: start, received: at, dirty: true, urgent: true, nodes: []ref{{n.hash, n}}}
		n.row = r
		v.urgent, v.moved = true, true
		v.rows = slices.Insert(v.rows, i, r)
		t.weigh(v, 0, rowBytes)
		v.nearer(i)
		return true
	}
	r := v.rows[i]
	if r.cut != 0 && start < r.cut {
		t.drop(v, n)
		return false
	}
	n.row = r
	r.nodes = append(r.nodes, ref{n.hash, n})
	r.dirty = true
	// Whether it opens the next session of a row that is longer than Max. Nobody has many
	// at once, but who makes them up, and each time all of them are derived.
	if start >= t.lastCut(r) && len(r.told) < manyPieces {
		r.urgent, v.urgent, v.moved = true, true, true
	}
	r.begin, r.heard, r.last, r.received = min(r.begin, start), max(r.heard, end), max(r.last, start), max(r.received, at)
	t.gather(v, r)
	return true
}

// gather joins a row that grew with those that are near it now.
func (t *Tracker) gather(v *visit, r *row) {
	if len(v.rows) == 1 {
		return
	}
	i := len(v.rows) - 1
	for v.rows[i] != r {
		i--
	}
	for i+1 < len(v.rows) && v.rows[i+1].begin-r.heard <= t.gap {
		r = t.merge(v, i)
	}
	for i > 0 && r.begin-v.rows[i-1].heard <= t.gap {
		i--
		r = t.merge(v, i)
	}
	v.nearer(i)
}

// nearer marks the row after the i-th: what was attached to it may belong to that one.
func (v *visit) nearer(i int) {
	if len(v.loose) > 0 && i+1 < len(v.rows) {
		v.rows[i+1].dirty = true
	}
}

// merge makes one row of the i-th and the next.
func (t *Tracker) merge(v *visit, i int) *row {
	a, b := v.rows[i], v.rows[i+1]
	keep, move := a, b
	if len(a.nodes) < len(b.nodes) {
		keep, move = b, a
	}
	for _, n := range move.nodes {
		n.row = keep
	}
	keep.nodes = append(keep.nodes, move.nodes...)
	keep.told = append(keep.told, move.told...)
	keep.cut, keep.lost = a.cut, a.lost
	keep.begin, keep.heard, keep.last = min(a.begin, b.begin), max(a.heard, b.heard), max(a.last, b.last)
	keep.received = max(a.received, b.received)
	keep.dirty, keep.urgent, keep.broken = true, true, a.broken || b.broken
	v.urgent, v.moved = true, true
	v.rows[i] = keep
	v.rows = slices.Delete(v.rows, i+1, i+2)
	t.weigh(v, 0, -rowBytes)
	return keep
}

// touch marks the rows that a loose node is attached to.
func (t *Tracker) touch(v *visit, n *node) {
	if n.view.Start.IsZero() {
		return
	}
	at := v.timeOf(n)
	for _, r := range v.rows {
		if at >= r.begin-t.gap && at <= r.heard+t.gap {
			r.dirty = true
		}
	}
}

// timeOf returns when a loose node was, on the clock of the visit's page views.
func (v *visit) timeOf(n *node) int64 {
	at := n.view.Start.UnixMicro()
	if n.view.Activity {
		at -= v.offset
	}
	return at
}
