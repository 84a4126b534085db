package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// Sessions returns the sessions that overlap the range: they started before To, and
// did not end before From. They are whole, also where they reach out of it, and sorted
// by Start and ID. Page and Name are of a page view that is part of it.
//
// They are what [sessions.Of] makes of what the database has heard so far: a late report
// changes them. Whether one is in the range is decided on the server's clock. If the
// client's clock is wrong and no report says by how much (see
// [sessions.Session.ClientClock]), it is found where its own times and the time when it
// was heard of are both in the range, or within an hour, and so it is if a clock that was
// fast by more than an hour was put right between two visits.
//
// Page views are read session by session. What is in memory is the result, before the
// Limit, and the page views of one session.
func (s *Store) Sessions(ctx context.Context, q Query) ([]sessions.Session, error) {
	var all []sessions.Session
	err := s.visits(ctx, q, func(v *visit) {
		for i := range v.sessions {
			if x := &v.sessions[i]; q.overlaps(x.Start, x.End) && v.about(i, q) {
				all = append(all, *x)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("store: sessions: %w", err)
	}
	return sorted(all, q, func(a, b *sessions.Session) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID))
	}), nil
}

// PageViews returns what is known of page views that overlap the range: they started
// before To and did not end before From, on the server's clock. They are as stored, with
// Start and End on the client's clock, so that [sessions.Of] and [beacon.PageView.Join]
// can take them, and sorted by Start, on the server's clock, Session and View.
//
// Activity is among them. What has no Start, and only counts messages, is if From and
// To are zero. What is in memory is as for Sessions.
func (s *Store) PageViews(ctx context.Context, q Query) ([]beacon.PageView, error) {
	type timed struct {
		beacon.PageView
		start time.Time
	}
	all := []timed{}
	err := s.visits(ctx, q, func(v *visit) {
		for i := range v.views {
			start, end := v.times(i)
			switch open := q.From.IsZero() && q.To.IsZero(); {
			case !v.views[i].Start.IsZero() && !q.overlaps(start, end), v.views[i].Start.IsZero() && !open:
			case q.isOf(&v.views[i]):
				all = append(all, timed{v.views[i], start})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("store: page views: %w", err)
	}
	all = sorted(all, q, func(a, b *timed) int {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.Session, b.Session), strings.Compare(a.View, b.View))
	})
	views := make([]beacon.PageView, len(all))
	for i := range all {
		views[i] = all[i].PageView
	}
	return views, nil
}

// sorted sorts a result, and cuts it, as q wants it.
func sorted[T any](all []T, q Query, compare func(a, b *T) int) []T {
	slices.SortFunc(all, func(a, b T) int {
		if q.Newest {
			return compare(&b, &a)
		}
		return compare(&a, &b)
	})
	if q.Limit > 0 && len(all) > q.Limit {
		all = slices.Clip(all[:q.Limit])
	}
	return all
}

// A visit is what is known of one key, and the sessions of it.
type visit struct {
	views    []beacon.PageView
	sessions []sessions.Session
	offset   time.Duration // of the clock of all but activity
	longest  time.Duration
	number   int       // from 1
	placed   []located // once somebody asked
}

// A located page view is one that opens or belongs to a session.
type located struct {
	*beacon.PageView
	session    int
	start, end time.Time // on the server's clock; at most the longest session apart
}

// visits calls fn for each key that q may be about. What it gets is not for keeping.
func (s *Store) visits(ctx context.Context, q Query, fn func(*visit)) error {
	if err := q.validate(); err != nil {
		return err
	}
	v := visit{longest: cmp.Or(s.rules.Max, 24*time.Hour)}
	flush := func() {
		if len(v.views) == 0 {
			return
		}
		v.number++
		v.offset = offset(v.views)
		v.sessions, v.placed = sessions.Of(v.views, s.rules), v.placed[:0]
		fn(&v)
		v.views = v.views[:0]
	}
	err := s.each(ctx, s.engine.candidates(q), func(rows *sql.Rows) error {
		next, err := scanView(rows)
		if len(v.views) > 0 && (next.Session == "" || next.Session != v.views[0].Session) {
			flush()
		}
		v.views = append(v.views, next)
		return err
	})
	if err != nil {
		return err
	}
	flush()
	return nil
}

// scanView reads the columns viewNames.
func scanView(rows *sql.Rows) (v beacon.PageView, err error) {
	var started, ended, offset sql.NullInt64
	var visible, engaged int64
	err = rows.Scan(&v.Session, &v.View, &v.Page, &v.Referrer, &v.Name, &started, &ended, &visible, &engaged,
		&v.Unseen, &v.Seq, &offset, &v.Logged, &v.Crashed, &v.Activity)
	if started.Valid {
		v.Start = timeOf(started.Int64)
	}
	if ended.Valid {
		v.End = timeOf(ended.Int64)
	}
	v.Visible, v.Engaged = duration(visible), duration(engaged)
	v.Offset, v.HasOffset = duration(offset.Int64), offset.Valid
	return v, err
}

// offset returns what puts page views of one key on the server's clock.
func offset(views []beacon.PageView) (smallest time.Duration) {
	known := false
	for i := range views {
		if v := &views[i]; v.HasOffset && !v.Activity && (!known || v.Offset < smallest) {
			smallest, known = v.Offset, true
		}
	}
	return smallest
}

// times returns when a page view was, on the server's clock.
func (v *visit) times(i int) (start, end time.Time) {
	x := &v.views[i]
	if x.Activity {
		return x.Start, x.End
	}
	return x.Start.Add(v.offset), x.End.Add(v.offset)
}

// locate finds the sessions of the page views: each is in the last that began before it,
// or with it. They are sorted by session, start and view.
func (v *visit) locate() []located {
	if len(v.placed) > 0 {
		return v.placed
	}
	for i := range v.views {
		x := &v.views[i]
		if x.Start.IsZero() || x.Activity || x.Unseen && x.Visible <= 0 {
			continue
		}
		start, end := v.times(i)
		if last := start.Add(v.longest); end.After(last) {
			end = last
		}
		n, _ := slices.BinarySearchFunc(v.sessions, start, func(s sessions.Session, t time.Time) int {
			if s.Start.After(t) {
				return 1
			}
			return -1
		})
		v.placed = append(v.placed, located{x, n - 1, start, end})
	}
	slices.SortFunc(v.placed, func(a, b located) int {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.View, b.View)) // and so by session
	})
	return v.placed
}

// about says whether a session has a page view that q is about.
func (v *visit) about(session int, q Query) bool {
	if q.Page == "" && q.Name == "" {
		return true
	}
	for _, p := range v.locate() {
		if p.session == session && q.isOf(p.PageView) {
			return true
		}
	}
	return false
}

// isOf says whether a page view has the page and the name that q asks for.
func (q Query) isOf(v *beacon.PageView) bool {
	return (q.Page == "" || columnText(q.Page, maxText) == v.Page) && (q.Name == "" || columnText(q.Name, maxText) == v.Name)
}

// holds says whether a time is in the range, cut to microseconds as all times are.
func (q Query) holds(t time.Time) bool {
	return (q.From.IsZero() || micros(t) >= micros(q.From)) && (q.To.IsZero() || micros(t) < micros(q.To))
}

func (q Query) overlaps(start, end time.Time) bool {
	return (q.From.IsZero() || micros(end) >= micros(q.From)) && (q.To.IsZero() || micros(start) < micros(q.To))
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

func duration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }
