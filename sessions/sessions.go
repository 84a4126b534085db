// Package sessions derives sessions from page views: when a visitor came and left,
// and for how long they were there.
//
// # Two numbers
//
// A session has two lengths, and they are never mixed. Elapsed is from its first start
// to its last end. Engaged is for how long a page of it was visible, had the focus, and
// the visitor did something now and then.
//
// # Any order
//
// The unit is the page view. What is known of one, a [beacon.PageView], is minima,
// maxima and the totals of its last report, so it does not matter in which order
// reports come, how often, or to which machine: joined, they are the same. [Of] then
// derives the sessions, and nothing of them is ever stored where later data could not
// change it. Package store does the same in SQL.
package sessions

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// Rules say what one session is. The zero value is the default.
type Rules struct {
	// Gap is how long a visitor may be away. Page views that are at most that far
	// apart, and exactly as far, are of one session. The default is 30 minutes.
	Gap time.Duration

	// Max is the longest session. A page view is not believed to be longer, and
	// one that starts Max after the first of an unbroken row, or twice Max and so
	// on, starts another session. The default is 24 hours.
	Max time.Duration
}

const (
	defaultGap = 30 * time.Minute
	defaultMax = 24 * time.Hour
)

// A Session is one visit.
//
// Times are on the server's clock, in UTC, to the microsecond.
// 0 ≤ Engaged ≤ Elapsed() ≤ [Rules.Max].
type Session struct {
	// ID is the Key and the View that it began with. A page view that comes late and
	// was before that one changes it.
	ID string

	// Key is the Session of its page views; of one without it is the View.
	Key string

	Start, End time.Time

	// Engaged is the sum over its page views, and never more than it lasted: with
	// two windows side by side only one has the focus.
	Engaged time.Duration

	// Views is how many page views it has that somebody saw.
	Views int

	// Entry and Exit are the pages of the first page view and of the one that was
	// seen last, and Referrer is what led to the first.
	Entry, Exit, Referrer string

	// Attached is how much else belongs to it: pages that nobody saw, pings, pixels
	// and reports. They never open a session, and never make one longer.
	Attached int

	// Logged is how many messages its pages have logged, at least.
	Logged uint64

	// Crashed says that the browser reported a crash of one of its pages.
	Crashed bool

	// Cut says that it would have been longer than [Rules.Max].
	Cut bool

	// Incomplete says that of one of its page views only the start was heard of.
	Incomplete bool

	// ClientClock says that no report of this Key said when it was sent: Start and
	// End are on the clock of the client.
	ClientClock bool
}

// Elapsed returns End less Start.
func (s Session) Elapsed() time.Duration { return s.End.Sub(s.Start) }

// Of derives the sessions of page views, sorted by Start and ID. It is pure: the same
// page views in any order, any of them several times, or in several parts that
// [beacon.PageView.Join] makes one, give the same.
//
// Page views of one Session are put on the server's clock by the smallest Offset that
// any of them has: what comes late or is repeated can only have a larger one. Those
// without a Session are each of their own. A page view that was seen opens a session, or belongs to
// the one that is at most [Rules.Gap] away; one that was not, and Activity, is counted
// as Attached to a session at most so far away, the earlier of two.
// A page view without a Start, which only counts messages, is none.
func Of(views []beacon.PageView, r Rules) []Session {
	gap, limit := micros(cmp.Or(r.Gap, defaultGap)), micros(cmp.Or(r.Max, defaultMax))
	order := make([]*beacon.PageView, len(views))
	for i := range views {
		order[i] = &views[i]
	}
	slices.SortFunc(order, func(a, b *beacon.PageView) int {
		return cmp.Or(strings.Compare(a.Session, b.Session), strings.Compare(a.View, b.View))
	})
	var all []Session
	var spans []span
	for i := 0; i < len(order); {
		key := order[i].Session
		spans = spans[:0]
		for alone := false; i < len(order) && order[i].Session == key && !alone; {
			v := *order[i]
			for i++; i < len(order) && order[i].Session == key && order[i].View == v.View; i++ {
				v = v.Join(*order[i])
			}
			spans = append(spans, span{view: v})
			alone = key == ""
		}
		all = derive(all, spans, gap, limit)
	}
	slices.SortFunc(all, func(a, b Session) int { return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID)) })
	return all
}

// A span is a page view with its times on the server's clock, in microseconds.
type span struct {
	view       beacon.PageView
	start, end int64
}

// derive appends the sessions of one key, of which each page view is there once.
func derive(all []Session, spans []span, gap, limit int64) []Session {
	var offset time.Duration
	known := false
	for i := range spans {
		if v := &spans[i].view; v.HasOffset && !v.Activity && (!known || v.Offset < offset) {
			offset, known = v.Offset, true
		}
	}
	for i := range spans {
		s := &spans[i]
		s.start, s.end = s.view.Start.UnixMicro(), s.view.End.UnixMicro()
		if !s.view.Activity {
			s.start, s.end = s.start+micros(offset), s.end+micros(offset)
		}
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.view.View, b.view.View))
	})
	first := len(all)
	var begin, heard, until int64 // of the row of page views without a gap; until is where its session is cut
	var exit int64                // when the Exit was seen last
	for i := range spans {
		s, v := &spans[i], &spans[i].view
		if v.Start.IsZero() || !seen(v) {
			continue
		}
		end := min(s.end, s.start+limit)
		switch {
		case len(all) == first || s.start-heard > gap:
			begin, heard, until = s.start, s.start, s.start+limit
			all = append(all, opened(s, known))
			exit = s.start
		case s.start >= until:
			all[len(all)-1].Cut = true
			until = begin + ((s.start-begin)/limit+1)*limit
			all = append(all, opened(s, known))
			exit = s.start
		}
		heard = max(heard, end)
		x := &all[len(all)-1]
		x.Views++
		x.Logged += v.Logged
		x.Crashed = x.Crashed || v.Crashed
		x.Cut = x.Cut || s.end > min(until, s.start+limit)
		x.Incomplete = x.Incomplete || s.start == s.end && v.Visible == 0 && v.Seq == 0
		x.Engaged += min(v.Engaged, time.Duration(end-s.start)*time.Microsecond)
		if end = min(end, until); end >= exit {
			exit, x.Exit = end, v.Page
		}
		x.End = time.UnixMicro(max(x.End.UnixMicro(), end)).UTC()
	}
	mine := all[first:]
	for i := range mine {
		mine[i].Engaged = min(mine[i].Engaged, mine[i].Elapsed())
	}
	attach(mine, spans, gap)
	return all
}

// seen tells whether a page view may open a session.
func seen(v *beacon.PageView) bool { return !v.Activity && (v.Visible > 0 || !v.Unseen) }

func opened(s *span, known bool) Session {
	v := &s.view
	id := v.View
	if v.Session != "" {
		id = v.Session + ":" + v.View
	}
	at := time.UnixMicro(s.start).UTC()
	return Session{
		ID: id, Key: cmp.Or(v.Session, v.View), Start: at, End: at,
		Entry: v.Page, Exit: v.Page, Referrer: v.Referrer, ClientClock: !known,
	}
}

// attach counts what opens no session with the first one that is near. Both are sorted.
func attach(all []Session, spans []span, gap int64) {
	for i := range spans {
		s, v := &spans[i], &spans[i].view
		if v.Start.IsZero() || seen(v) {
			continue
		}
		for len(all) > 0 && s.start > all[0].End.UnixMicro()+gap {
			all = all[1:]
		}
		if len(all) > 0 && s.start >= all[0].Start.UnixMicro()-gap {
			all[0].Attached++
			all[0].Crashed = all[0].Crashed || v.Crashed
		}
	}
}

func micros(d time.Duration) int64 { return d.Microseconds() }
