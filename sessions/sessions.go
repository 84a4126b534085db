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
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// Rules say what one session is. The zero value is the default. Both are cut to
// microseconds.
type Rules struct {
	// Gap is how long a visitor may be away. Page views that are at most that far
	// apart, and exactly as far, are of one session. The default is 30 minutes.
	Gap time.Duration

	// Max is the longest session, and not less than Gap. A page view is not believed
	// to be longer, and one that starts Max after the first of an unbroken row, or
	// twice Max and so on, starts another session. The default is 24 hours.
	Max time.Duration
}

const (
	defaultGap = 30 * time.Minute
	defaultMax = 24 * time.Hour
)

// Validate returns an error if there can be no sessions by these rules: a Gap or a Max
// that is negative or less than a microsecond, or a Max that is less than the Gap, also
// where one of them is the default.
func (r Rules) Validate() error {
	gap, limit := r.micros()
	switch {
	case gap <= 0:
		return fmt.Errorf("sessions: Rules.Gap is %v", r.Gap)
	case limit <= 0:
		return fmt.Errorf("sessions: Rules.Max is %v", r.Max)
	case limit < gap:
		return fmt.Errorf("sessions: Rules.Max, %v, is less than the Gap, %v", cmp.Or(r.Max, defaultMax), cmp.Or(r.Gap, defaultGap))
	}
	return nil
}

// micros returns both in microseconds.
func (r Rules) micros() (gap, limit int64) {
	return cmp.Or(r.Gap, defaultGap).Microseconds(), cmp.Or(r.Max, defaultMax).Microseconds()
}

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

	// Cut says that it would have been longer than [Rules.Max]: of what went on then,
	// there may be another session.
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
// [beacon.PageView.Join] makes one, give the same. It panics if the rules are not valid.
//
// Page views of one Session are put on the server's clock by the smallest Offset that
// any of them has: what comes late or is repeated can only have a larger one. Those
// without a Session are each of their own. A page view that was seen opens a session, or
// belongs to the one that is at most [Rules.Gap] away; one that was not, and Activity,
// is counted as Attached to a session at most so far away, the earlier of two.
// A page view without a Start, which only counts messages, is none.
func Of(views []beacon.PageView, r Rules) []Session {
	if err := r.Validate(); err != nil {
		panic(err)
	}
	var d deriver
	d.gap, d.limit = r.micros()
	order, ends := byKey(views)
	begin := 0
	for _, end := range ends {
		d.read(views, order[begin:end])
		if views[order[begin]].Session == "" {
			for i := range d.spans {
				d.derive(d.spans[i : i+1])
			}
		} else {
			d.derive(d.spans)
		}
		begin = end
	}
	return sorted(d.sessions)
}

// byKey returns the positions of the page views, those of one key together, and where
// each key ends.
func byKey(views []beacon.PageView) (order, ends []int) {
	keys := map[string]int{}
	key := make([]int, len(views))
	for i := range views {
		if i > 0 && views[i].Session == views[i-1].Session { // most come that way
			key[i] = key[i-1]
		} else if k, ok := keys[views[i].Session]; ok {
			key[i] = k
		} else {
			key[i] = len(ends)
			keys[views[i].Session] = len(ends)
			ends = append(ends, 0)
		}
		ends[key[i]]++
	}
	sum := 0
	for k, n := range ends {
		ends[k] = sum // where it begins, and when all are there, where it ends
		sum += n
	}
	order = make([]int, len(views))
	for i, k := range key {
		order[ends[k]] = i
		ends[k]++
	}
	return order, ends
}

// sorted sorts sessions, which are large: their places, and then each once.
func sorted(all []Session) []Session {
	less := func(a, b *Session) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID), strings.Compare(a.Key, b.Key))
	}
	order := make([]*Session, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	if slices.IsSortedFunc(order, less) {
		return all
	}
	slices.SortFunc(order, less)
	result := make([]Session, len(all))
	for i, s := range order {
		result[i] = *s
	}
	return result
}
