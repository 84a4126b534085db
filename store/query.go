package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// A Query says what is asked for. The zero value is everything.
type Query struct {
	// From and To are a range on the server's clock, From included and To not; the
	// zero time is no bound. Each method says what has to be in it.
	From, To time.Time

	// Session is the [sessions.Session.Key] of a session. Page and Name are a page,
	// exactly as events have it, and a name: of a page view, or of an event.
	Session, Page, Name string

	// Limit is the largest number of results; 0 is no limit. Newest asks for the last
	// ones, the newest first.
	Limit  int
	Newest bool

	// Late is how long after To the last word of a page view may have come that began
	// before: one that was open all the time, or reported later, once the device was
	// online again. A session before To is found if one of its page views was heard of
	// last no later than that. The default is 32 days, longer than any page view is
	// believed to be. Less reads less, if To is long ago; without To it means nothing.
	Late time.Duration
}

const (
	lateness = 32 * 24 * time.Hour

	// slack is how much a page view's own times and the time when it was heard of may
	// be beside its times on the clock of its session: reports that took longer than
	// others, and clocks that no report told of.
	slack = time.Hour
)

// validate returns what is wrong with q.
func (q Query) validate() error {
	switch {
	case q.Limit < 0:
		return fmt.Errorf("store: Query.Limit is %d", q.Limit)
	case q.Late < 0:
		return fmt.Errorf("store: Query.Late is %v", q.Late)
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return errors.New("store: Query.To is before Query.From")
	}
	return nil
}

// A question is a query with its parameters, put together from the beginning to the end.
type question struct {
	strings.Builder
	d    Dialect
	args []any
}

// add appends text, in which each ? is the parameter for one of args.
func (s *question) add(text string, args ...any) {
	for _, a := range args {
		before, after, _ := strings.Cut(text, "?")
		s.args = append(s.args, a)
		s.WriteString(before)
		s.WriteString(s.d.parameter(len(s.args)))
		text = after
	}
	s.WriteString(text)
}

// where collects conditions.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// within asks for a time in the range of q.
func (w *where) within(column string, q Query) {
	if !q.From.IsZero() {
		w.and(column+" >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		w.and(column+" < ?", micros(q.To))
	}
}

// overlaps asks for what begins before the end of the range, and ends after its begin.
func (w *where) overlaps(begin, end string, q Query) {
	if !q.From.IsZero() {
		w.and(end+" >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		w.and(begin+" < ?", micros(q.To))
	}
}

func (s *question) where(w where) {
	if len(w.conditions) > 0 {
		s.add(" WHERE "+strings.Join(w.conditions, " AND "), w.args...)
	}
}

// order appends how the result is sorted and how much of it is wanted.
func (s *question) order(q Query, columns ...string) {
	for i, c := range columns {
		s.add([]string{"\nORDER BY ", ", "}[min(i, 1)] + c)
		if q.Newest {
			s.add(" DESC")
		}
	}
	s.limit(q)
}

func (s *question) limit(q Query) {
	if q.Limit > 0 {
		s.add("\nLIMIT ?", q.Limit)
	}
}

// candidates are the page views that q may be about, with all others of their
// sessions: what can be told by an index, before clocks are put right.
//
// A page view that reaches into the range was heard of after the range began, for its
// end was told by a report that came later. The upper bound is Query.Late.
func (s *Store) candidates(q Query) (from string, args []any) {
	table := s.prefix + "page_views"
	columns := "SELECT " + viewNames + " FROM " + table
	if q.Session != "" {
		key := columnKey(q.Session)
		return "(" + columns + " WHERE session = ? UNION ALL " + columns + " WHERE session = '' AND view = ?)", []any{key, key}
	}
	if q.From.IsZero() && q.To.IsZero() {
		return table, nil
	}
	w := where{conditions: []string{"started IS NOT NULL"}}
	if !q.From.IsZero() {
		w.and("heard >= ?", micros(q.From.Add(-slack)))
	}
	if !q.To.IsZero() {
		late := q.Late
		if late == 0 {
			late = lateness
		}
		w.and("heard < ?", micros(q.To.Add(max(late, slack))))
		w.and("(clock_offset IS NULL OR started + clock_offset < ?)", micros(q.To.Add(slack)))
	}
	condition := strings.Join(w.conditions, " AND ")
	return "(" + columns + " WHERE session <> '' AND session IN (SELECT session FROM " + table + " WHERE " + condition + ")" +
		"\n  UNION ALL " + columns + " WHERE session = '' AND " + condition + ")", append(w.args, w.args...)
}

// begin begins a question with the common tables of text over the candidates of q.
func (s *Store) begin(q Query, text string) *question {
	from, args := s.candidates(q)
	st := &question{d: s.dialect}
	st.tables(s, text, "{from}", func() { st.add(from, args...) })
	return st
}

// tables appends text, in which fn appends what stands for mark.
func (s *question) tables(of *Store, text, mark string, fn func()) {
	before, after, _ := strings.Cut(of.dialect.fill(of.rules, text), mark)
	s.add(before)
	fn()
	s.add(after)
}

// found begins a question with the sessions over the candidates of q. Of those, w gets
// what Page and Name ask for.
func (s *Store) found(q Query, w *where) *question {
	st := s.begin(q, clocksSQL+piecesSQL)
	more, args := pageOf(q)
	if more == "" {
		more = "1 = 1"
	} else {
		w.and("hit = 1")
	}
	st.tables(s, foundSQL, "{hit}", func() { st.add(more, args...) })
	return st
}

// errEnough ends each without an error.
var errEnough = errors.New("enough")

// each runs a question, and calls scan for each row.
func (s *Store) each(ctx context.Context, q *question, scan func(*sql.Rows) error) error {
	return eachRow(ctx, s.db, q, scan)
}

func eachRow(ctx context.Context, of querier, q *question, scan func(*sql.Rows) error) error {
	rows, err := of.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Sessions returns the sessions that overlap the range: they started before To, and
// did not end before From. They are whole, also where they reach out of it, and sorted
// by Start and ID. Page and Name are of a page view that is part of it.
//
// They are what [sessions.Of] makes of [Store.PageViews], worked out by the database
// from what it has heard so far: a late report changes them. Whether one is in the
// range is decided on the server's clock. If the client's clock is wrong and no report
// says by how much (see [sessions.Session.ClientClock]), it is found where its own
// times and the time when it was heard of are both in the range, or within an hour.
func (s *Store) Sessions(ctx context.Context, q Query) ([]sessions.Session, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	var w where
	w.overlaps("started", "ended", q)
	st := s.found(q, &w)
	st.add("\nSELECT session, lone, id, started, ended, engaged, views, entry_page, exit_page, referrer," +
		" attached, logged, crashed, was_cut, incomplete, client_clock FROM found")
	st.where(w)
	st.order(q, "started", "id")
	var all []sessions.Session
	err := s.each(ctx, st, func(rows *sql.Rows) error {
		var x sessions.Session
		var lone string
		var started, ended, engaged int64
		var logged uint64
		var crashed, cut, incomplete, clock int
		err := rows.Scan(&x.Key, &lone, &x.ID, &started, &ended, &engaged, &x.Views, &x.Entry, &x.Exit, &x.Referrer,
			&x.Attached, &logged, &crashed, &cut, &incomplete, &clock)
		if x.Key == "" {
			x.Key = lone
		}
		x.Start, x.End, x.Engaged = timeOf(started), timeOf(ended), duration(engaged)
		x.Logged, x.Crashed, x.Cut, x.Incomplete, x.ClientClock = logged, crashed == 1, cut == 1, incomplete == 1, clock == 1
		all = append(all, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: sessions: %w", err)
	}
	return all, nil
}

// pageOf is the condition on the page and the name of a page view, or "".
func pageOf(q Query) (condition string, args []any) {
	var w where
	if q.Page != "" {
		w.and("page = ?", columnText(q.Page, maxText))
	}
	if q.Name != "" {
		w.and("name = ?", columnText(q.Name, maxText))
	}
	return strings.Join(w.conditions, " AND "), w.args
}

// PageViews returns what is known of page views that overlap the range: they started
// before To and did not end before From, on the server's clock. They are as stored, with
// Start and End on the client's clock, so that [sessions.Of] and [beacon.PageView.Join]
// can take them, and sorted by Start, on the server's clock, Session and View.
//
// Activity is among them. What has no Start, and only counts messages, is if From and
// To are zero.
func (s *Store) PageViews(ctx context.Context, q Query) ([]beacon.PageView, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	st := s.begin(q, clocksSQL)
	st.add(`
SELECT ` + viewNames + `
FROM (SELECT clocks.*, started + CASE WHEN activity = 1 THEN 0 ELSE COALESCE(clock, 0) END AS s,
  COALESCE(ended, started) + CASE WHEN activity = 1 THEN 0 ELSE COALESCE(clock, 0) END AS e FROM clocks) AS page_views`)
	var w where
	w.overlaps("s", "e", q)
	if more, args := pageOf(q); more != "" {
		w.and(more, args...)
	}
	st.where(w)
	st.order(q, fmt.Sprintf("COALESCE(s, %d)", micros(time.Time{})), "session", "view")
	var all []beacon.PageView
	err := s.each(ctx, st, func(rows *sql.Rows) error {
		var v beacon.PageView
		var started, ended, offset sql.NullInt64
		var visible, engaged int64
		var unseen, crashed, activity int
		err := rows.Scan(&v.Session, &v.View, &v.Page, &v.Referrer, &v.Name, &started, &ended, &visible, &engaged,
			&unseen, &v.Seq, &offset, &v.Logged, &crashed, &activity)
		if started.Valid {
			v.Start = timeOf(started.Int64)
		}
		if ended.Valid {
			v.End = timeOf(ended.Int64)
		}
		v.Visible, v.Engaged, v.Unseen = duration(visible), duration(engaged), unseen == 1
		v.Offset, v.HasOffset = duration(offset.Int64), offset.Valid
		v.Crashed, v.Activity = crashed == 1, activity == 1
		all = append(all, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: page views: %w", err)
	}
	return all, nil
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

func duration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }
