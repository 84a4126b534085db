package sessions

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// A span is a page view with its times on the server's clock, in microseconds.
type span struct {
	view       *beacon.PageView
	start, end int64
	joined     bool // view is the deriver's
}

// A deriver derives the sessions of one key after the other.
type deriver struct {
	gap, limit int64 // microseconds
	sessions   []Session

	// Of the key at hand.
	spans  []span
	joined []beacon.PageView
}

// few is up to how many page views it is faster to look at each than to hash them.
const few = 12

// read sets the spans of one key, each page view joined to one.
func (d *deriver) read(views []beacon.PageView, positions []int) {
	d.spans, d.joined = d.spans[:0], d.joined[:0]
	var have map[string]int
	if len(positions) > few {
		have = make(map[string]int, len(positions))
	}
	for _, p := range positions {
		v := &views[p]
		i, again := len(d.spans), false
		if have == nil {
			if j := slices.IndexFunc(d.spans, func(s span) bool { return s.view.View == v.View }); j >= 0 {
				i, again = j, true
			}
		} else if j, ok := have[v.View]; ok {
			i, again = j, true
		} else {
			have[v.View] = i
		}
		if !again {
			d.spans = append(d.spans, span{view: v})
			continue
		}
		s := &d.spans[i]
		if !s.joined {
			d.joined = append(d.joined, *s.view)
			s.view, s.joined = &d.joined[len(d.joined)-1], true // and stays there, also when joined grows
		}
		*s.view = s.view.Join(*v)
	}
}

// derive appends the sessions of one key, of which each page view is there once. These
// are gaps and islands: rows of page views without a gap between them, of which those
// that are too long are cut at multiples of the limit from where they begin.
func (d *deriver) derive(spans []span) {
	known := onServerClock(spans)
	slices.SortFunc(spans, func(a, b span) int {
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return strings.Compare(a.view.View, b.view.View)
	})
	first := len(d.sessions)
	var p piece
	for i := range spans {
		s := &spans[i]
		if !opens(s.view) {
			continue
		}
		switch {
		case p.views == 0 || s.start-p.heard > d.gap:
			d.close(&p)
			p = piece{first: s, row: s.start, until: s.start + d.limit, heard: s.start, end: s.start}
		case s.start >= p.until:
			p.cut = true
			d.close(&p)
			p = piece{first: s, row: p.row, until: p.row + ((s.start-p.row)/d.limit+1)*d.limit, heard: p.heard, end: s.start}
		}
		p.add(s, d.limit)
	}
	d.close(&p)
	mine := d.sessions[first:]
	for i := range mine {
		mine[i].ClientClock = !known
	}
	attach(mine, spans, d.gap)
}

// onServerClock sets the times of the spans, and tells whether the client's clock is
// known: by the smallest offset, as the way of a request can be long and not negative.
// Activity is on the server's clock as it is.
func onServerClock(spans []span) (known bool) {
	var least time.Duration
	for i := range spans {
		if v := spans[i].view; v.HasOffset && !v.Activity && (!known || v.Offset < least) {
			least, known = v.Offset, true
		}
	}
	for i := range spans {
		s := &spans[i]
		s.start, s.end = s.view.Start.UnixMicro(), s.view.End.UnixMicro()
		if !s.view.Activity {
			s.start, s.end = s.start+least.Microseconds(), s.end+least.Microseconds()
		}
		s.end = max(s.end, s.start) // also where there is none
	}
	return known
}

// opens tells whether a page view may open a session: somebody saw it.
func opens(v *beacon.PageView) bool {
	return !v.Activity && !v.Start.IsZero() && (v.Visible > 0 || !v.Unseen)
}

// A piece is one session while its page views come: a row without a gap, or what the
// limit leaves of it. Times are in microseconds.
type piece struct {
	first, exit *span // exit was seen last
	row         int64 // where the row begins
	until       int64 // where the piece is cut
	heard       int64 // the end of the row until now
	end, left   int64 // of the piece, and of its exit
	engaged     int64
	logged      uint64
	views       int
	crashed     bool
	cut         bool
	incomplete  bool
}

func (p *piece) add(s *span, limit int64) {
	v := s.view
	end := min(s.end, s.start+limit) // of a page view that is believed
	p.heard = max(p.heard, end)
	p.engaged += min(max(v.Engaged.Microseconds(), 0), end-s.start)
	p.cut = p.cut || s.end > p.until
	p.incomplete = p.incomplete || s.start == s.end && v.Visible == 0 && v.Seq == 0
	p.logged += v.Logged
	p.crashed = p.crashed || v.Crashed
	p.views++
	if end = min(end, p.until); p.exit == nil || end >= p.left {
		p.exit, p.left = s, end
	}
	p.end = max(p.end, end)
}

// close appends the session of a piece, if it is one.
func (d *deriver) close(p *piece) {
	if p.views == 0 {
		return
	}
	v := p.first.view
	id := v.View
	if v.Session != "" {
		id = v.Session + ":" + v.View
	}
	start, end := p.first.start, p.end
	d.sessions = append(d.sessions, Session{
		ID: id, Key: cmp.Or(v.Session, v.View),
		Start: time.UnixMicro(start).UTC(), End: time.UnixMicro(end).UTC(),
		Engaged: time.Duration(min(p.engaged, end-start)) * time.Microsecond, Views: p.views,
		Entry: v.Page, Exit: p.exit.view.Page, Referrer: v.Referrer,
		Logged: p.logged, Crashed: p.crashed, Cut: p.cut, Incomplete: p.incomplete,
	})
}

// attach counts what opens no session with the first one that is near. Both are sorted.
func attach(all []Session, spans []span, gap int64) {
	for i := range spans {
		s := &spans[i]
		if s.view.Start.IsZero() || opens(s.view) {
			continue
		}
		for len(all) > 0 && s.start > all[0].End.UnixMicro()+gap {
			all = all[1:]
		}
		if len(all) > 0 && s.start >= all[0].Start.UnixMicro()-gap {
			all[0].Attached++
			all[0].Crashed = all[0].Crashed || s.view.Crashed
		}
	}
}
