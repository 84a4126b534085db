package store

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pagebeacon/beacon"
)

// An eventRow is an event as the tables have it.
type eventRow struct {
	index int // in the slice that Consume got

	id             string
	received, time int64
	name, kind     string
	page           string
	session, view  string
	series         string
	seq            int64
	mode           string
	verified       bool
	data           string // "" is NULL
	event          []byte

	attrs []attr

	tells    bool // of this page view
	pageView beacon.PageView
}

// size is about how many bytes the row has, and not less.
func (r *eventRow) size() int {
	return len(r.id) + len(r.name) + len(r.page) + len(r.session) + len(r.view) + len(r.series) + len(r.data) + len(r.event) + 256
}

type attr struct{ name, value string }

// A viewRow is what the events of a batch say of one page view. heard is when the last
// of them was received.
type viewRow struct {
	beacon.PageView
	heard int64
}

func (v *viewRow) size() int {
	return len(v.Session) + len(v.View) + len(v.Page) + len(v.Referrer) + len(v.Name) + 256
}

// An attrRow is one attribute of one event.
type attrRow struct{ name, value, id string }

func (a *attrRow) size() int { return len(a.name) + len(a.value) + len(a.id) + 64 }

// rows returns the rows of events, but for those that no retry can make one of.
func (s *Store) rows(events []beacon.Event, f *failures) []*eventRow {
	made := make([]eventRow, len(events))
	rows := make([]*eventRow, 0, len(events))
	var b []byte // the JSON of many events
	for i := range events {
		e := &events[i]
		if room := e.Size() + 1<<10; cap(b)-len(b) < room {
			b = make([]byte, 0, max(room, min(256<<10, room*(len(events)-i))))
		}
		text, err := e.AppendJSON(b[len(b):])
		if err == nil {
			err = s.fill(&made[i], e, text)
		}
		if err != nil {
			f.add(never, err, i)
			continue
		}
		if len(text) <= cap(b)-len(b) { // else it has become one of its own
			b = b[:len(b)+len(text)]
		}
		made[i].index = i
		rows = append(rows, &made[i])
	}
	return rows
}

// fill makes r the row of an event, of which text is the JSON.
func (s *Store) fill(r *eventRow, e *beacon.Event, text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("the JSON form of event %.64q is not UTF-8", e.ID)
	}
	if s.maxEvent > 0 && len(text) > s.maxEvent-rowBytes {
		return fmt.Errorf("event %.64q has %d bytes as JSON, and max_allowed_packet leaves room for %d", e.ID, len(text), s.maxEvent-rowBytes)
	}
	*r = eventRow{
		event: text, received: micros(e.Received), time: micros(cmp.Or(e.Time, e.Received)),
		name: columnText(e.Name, maxText), page: columnText(e.Page, maxText),
		series: columnKey(e.Series), seq: integer(e.Seq), mode: columnText(string(e.Mode), 16),
		verified: e.Verified,
	}
	if e.Body != nil {
		r.kind, r.data = e.Body.Kind(), dataOf(e, s.dialect)
		if s.maxEvent > 0 && r.size() > s.maxEvent {
			r.data = ""
		}
	}
	told := *e
	if told.ID == "" { // which no Handler makes; the same again is the same still
		told.ID = "\x00" + string(text)
	}
	r.id = columnKey(told.ID)
	if r.pageView, r.tells = s.source.PageView(told); r.tells {
		r.pageView = columns(r.pageView)
		r.session, r.view = r.pageView.Session, r.pageView.View
	} else {
		r.session, r.view = columnKey(s.key(told)), columnKey(e.View)
	}
	for name, value := range e.Attrs {
		r.attrs = append(r.attrs, attr{columnKey(name), columnKey(value)})
	}
	return nil
}

// key returns whose event it is.
func (s *Store) key(e beacon.Event) string {
	if s.source.Key != nil {
		return s.source.Key(e)
	}
	return e.Session
}

// columns returns v with texts that columns hold. It comes before any Join, so that it
// does not matter to the result in which parts page views were joined.
func columns(v beacon.PageView) beacon.PageView {
	v.Session, v.View = columnKey(v.Session), columnKey(v.View)
	v.Page, v.Referrer, v.Name = columnText(v.Page, maxText), columnText(v.Referrer, maxText), columnText(v.Name, maxText)
	v.Seq, v.Logged = uint64(integer(v.Seq)), uint64(integer(v.Logged))
	return v
}

// pageViewsOf joins the page views that events tell of, sorted by key: two writers that
// have some of the same never wait for each other.
func pageViewsOf(rows []*eventRow) []*viewRow {
	type key struct{ session, view string }
	at := make(map[key]*viewRow, len(rows))
	views := make([]*viewRow, 0, len(rows))
	for _, r := range rows {
		if !r.tells {
			continue
		}
		k := key{r.pageView.Session, r.pageView.View}
		if v, ok := at[k]; ok {
			v.PageView = v.Join(r.pageView)
			v.heard = max(v.heard, r.received)
			continue
		}
		v := &viewRow{r.pageView, r.received}
		at[k] = v
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b *viewRow) int {
		return cmp.Or(strings.Compare(a.Session, b.Session), strings.Compare(a.View, b.View))
	})
	return views
}

// attrsOf returns the attributes of events, sorted.
func attrsOf(rows []*eventRow) []attrRow {
	var all []attrRow
	for _, r := range rows {
		for _, a := range r.attrs {
			all = append(all, attrRow{a.name, a.value, r.id})
		}
	}
	slices.SortFunc(all, func(a, b attrRow) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value), strings.Compare(a.id, b.id))
	})
	return slices.Compact(all)
}

// rowBytes is what the columns other than the JSON of an event have at most, and more.
const rowBytes = 4*maxKey + 2*maxText + 512

// micros returns a time in the unit of the tables. What a query says may be further away
// than that reaches: it stays far away, and a duration can be added.
func micros(t time.Time) int64 {
	const far = 1 << 62
	if s := t.Unix(); s <= -far/1_000_000 || s >= far/1_000_000 {
		return far * int64(cmp.Compare(s, 0))
	}
	return t.UnixMicro()
}

func integer(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
