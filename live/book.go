package live

import (
	"cmp"
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

const (
	perVisitor = 200 // page views, where there may be so many
	perView    = 32  // reports that are remembered of one
	textBytes  = 240 // of a page's address, as it is shown
)

// A book holds the page views of the visitors that were last heard of.
type book struct {
	max      int
	count    int
	visitors map[string]*list.Element // of *visitor; a page view without a key is a visitor
	order    list.List                // heard of last in front

	version uint64 // goes up with each change
}

// A visitor is all that has one key.
type visitor struct {
	name  string
	views []*view
	lost  bool // there were more page views than are kept
}

// A view is a page view, and its reports as they add up, sorted by how far they reach.
type view struct {
	beacon.PageView
	heard   time.Time
	reports []report
}

// A report is what one report knew: the end, and the totals until then, in microseconds.
// Between two of them is drawn what came to each total.
type report struct{ end, visible, engaged int64 }

func (b *book) init(most int) {
	b.max, b.count = most, 0
	b.visitors = map[string]*list.Element{}
	b.order.Init()
}

func (b *book) add(v beacon.PageView, heard time.Time) {
	b.version++
	v.Session, v.View = shortID(v.Session), shortID(v.View)
	name := v.Session
	if name == "" {
		name = "\x00" + v.View // which no key is
	}
	el := b.visitors[name]
	if el == nil {
		name = strings.Clone(name)
		el = b.order.PushFront(&visitor{name: name})
		b.visitors[name] = el
	}
	b.order.MoveToFront(el)
	w := el.Value.(*visitor)
	i := slices.IndexFunc(w.views, func(x *view) bool { return x.View == v.View })
	if i < 0 {
		if len(w.views) >= min(perVisitor, b.max) {
			w.forget()
			b.count--
		}
		i = len(w.views)
		w.views = append(w.views, &view{PageView: keep(v, beacon.PageView{})})
		b.count++
	}
	w.views[i].join(v, heard)
	for b.count > b.max && b.order.Len() > 1 {
		last := b.order.Back()
		old := b.order.Remove(last).(*visitor)
		delete(b.visitors, old.name)
		b.count -= len(old.views)
	}
}

// forget makes room: for activity first, and else for what was not heard of for longest.
func (w *visitor) forget() {
	w.lost = true
	least := 0
	for i, v := range w.views {
		o := w.views[least]
		if v.Activity != o.Activity && v.Activity || v.Activity == o.Activity && v.heard.Before(o.heard) {
			least = i
		}
	}
	w.views = slices.Delete(w.views, least, least+1)
}

func (v *view) join(o beacon.PageView, heard time.Time) {
	v.PageView = keep(v.Join(o), v.PageView)
	if heard.After(v.heard) {
		v.heard = heard
	}
	if o.End.IsZero() {
		return
	}
	r := report{end: o.End.UnixMicro(), visible: o.Visible.Microseconds(), engaged: o.Engaged.Microseconds()}
	i, found := slices.BinarySearchFunc(v.reports, r, func(a, b report) int { return cmp.Compare(a.end, b.end) })
	if found {
		v.reports[i].visible = max(v.reports[i].visible, r.visible)
		v.reports[i].engaged = max(v.reports[i].engaged, r.engaged)
		return
	}
	v.reports = slices.Insert(v.reports, i, r)
	if len(v.reports) > perView { // every other one, but the last
		n := 0
		for i := range v.reports {
			if (len(v.reports)-1-i)%2 == 0 {
				v.reports[n] = v.reports[i]
				n++
			}
		}
		v.reports = v.reports[:n]
	}
}

// keep returns v with texts of its own, of which no more is kept than is shown. What is
// as it was in old stays that.
func keep(v, old beacon.PageView) beacon.PageView {
	text := func(s, before string) string {
		if s == before {
			return before
		}
		return cutTo(s, textBytes)
	}
	v.Session, v.View = text(v.Session, old.Session), text(v.View, old.View)
	v.Page, v.Referrer, v.Name = text(v.Page, old.Page), text(v.Referrer, old.Referrer), text(v.Name, old.Name)
	return v
}
