package sessions

import (
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// settle parts a broken row into those that it is.
func (t *Tracker) settle(v *visit, i int) {
	v.urgent, v.moved = true, true
	r := v.rows[i]
	nodes := slices.Clone(r.nodes)
	old := r.told
	slices.SortFunc(nodes, func(a, b ref) int { return a.view.Start.Compare(b.view.Start) })
	clear(r.nodes)
	v.rows = slices.Delete(v.rows, i, i+1)
	var now *row
	for _, n := range nodes {
		if !n.opens() {
			n.row = nil
			v.loose = append(v.loose, n.node)
			t.touch(v, n.node) // it may be of another row, as its start may be earlier now
			continue
		}
		start, end := n.span(t.limit)
		if now == nil || start-now.heard > t.gap {
			next := &row{begin: start, heard: end, received: r.received, dirty: true, urgent: true}
			if now == nil && r.cut != 0 { // what is forgotten stays before the first
				next.begin, next.heard, next.cut, next.lost = r.begin, max(end, r.lost), r.cut, r.lost
			}
			now = next
			v.rows = slices.Insert(v.rows, i, now)
			i++
			t.weigh(v, 0, rowBytes)
		}
		n.row = now
		now.nodes = append(now.nodes, n)
		now.heard, now.last = max(now.heard, end), start
	}
	t.weigh(v, 0, -rowBytes)
	for _, o := range old {
		if o.first.row != nil {
			o.first.row.told = append(o.first.row.told, o)
		} else {
			v.gone = append(v.gone, o)
		}
	}
	v.nearer(i - 1)
}

// derive returns the sessions of the i-th row, sorted by Start. They stay until the next
// call.
func (t *Tracker) derive(v *visit, i int) []Session {
	d, r := &t.deriver, v.rows[i]
	d.spans, d.sessions = d.spans[:0], d.sessions[:0]
	t.stead = [...]beacon.PageView{
		// Without a start this is no page view, but may know more of the clock than this row.
		{Session: v.key, HasOffset: v.known, Offset: time.Duration(v.offset) * time.Microsecond},
		// As long as what is forgotten, which parts the rest as before.
		{Session: v.key, Start: time.UnixMicro(r.cut - t.limit), End: time.UnixMicro(r.cut)},
		{Session: v.key, Start: time.UnixMicro(r.cut - 1), End: time.UnixMicro(r.lost)},
	}
	d.spans = append(d.spans, span{view: &t.stead[0]})
	if r.cut != 0 {
		d.spans = append(d.spans, span{view: &t.stead[1]}, span{view: &t.stead[2]})
	}
	for _, n := range r.nodes {
		d.spans = append(d.spans, span{view: &n.view})
	}
	from := r.begin - t.gap
	if i > 0 && len(v.loose) > 0 { // the session before has what is a gap after it
		from = max(from, t.lastEnd(v.rows[i-1])+t.gap+1)
	}
	for _, n := range v.loose {
		if n.view.Start.IsZero() {
			continue
		}
		if at := v.timeOf(n); at < from || at > r.heard+t.gap {
			continue
		}
		d.spans = append(d.spans, span{view: &n.view})
	}
	d.derive(d.spans)
	if r.cut != 0 {
		return d.sessions[1:]
	}
	return d.sessions
}

// lastCut returns where the last session of a row is cut.
func (t *Tracker) lastCut(r *row) int64 { return r.begin + ((r.last-r.begin)/t.limit+1)*t.limit }

// lastEnd returns where it ends, which is before the row does if a view of the session
// before lasts longer than all of its own.
func (t *Tracker) lastEnd(r *row) int64 {
	cut := t.lastCut(r)
	if cut-r.begin <= t.limit {
		return min(r.heard, cut)
	}
	last := r.last
	for _, n := range r.nodes {
		if start, end := n.span(t.limit); start >= cut-t.limit {
			last = max(last, end)
		}
	}
	return min(last, cut)
}

// deriveAll appends the sessions of a visit.
func (t *Tracker) deriveAll(all []Session, v *visit) []Session {
	t.settleAll(v)
	if v.urgent {
		t.enqueue(v)
	}
	for i := range v.rows {
		all = append(all, t.derive(v, i)...)
	}
	return all
}

func (t *Tracker) settleAll(v *visit) {
	for i := 0; i < len(v.rows); i++ {
		if r := v.rows[i]; r.broken {
			r.broken = false
			t.settle(v, i)
			i-- // what is there now is not broken
		}
	}
}
