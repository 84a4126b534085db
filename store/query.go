package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Query says what is asked for. The zero value is everything.
type Query struct {
	// From and To are a range on the server's clock, From included and To not; the
	// zero time is no bound. Each method says what has to be in it.
	From, To time.Time

	// Session is the Key of a session, see package sessions. Page and Name are a page,
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
	if q.Limit > 0 {
		s.add("\nLIMIT ?", q.Limit)
	}
}

// candidates are the page views that q may be about, with all others of their
// sessions: what can be told by an index, before clocks are put right.
//
// A page view that reaches into the range was heard of after the range began, for its
// end was told by a report that came later. The upper bound is Query.Late.
func (s *Store) candidates(q Query) *question {
	ask := &question{d: s.dialect}
	table := s.table("page_views")
	columns := "SELECT " + viewNames + " FROM " + table
	switch {
	case q.Session != "":
		keys := columnKeys(q.Session)
		in := " IN (" + marks(len(keys)) + ")"
		ask.add(columns+" WHERE session"+in+" UNION ALL "+columns+" WHERE session = '' AND view"+in, append(keys, keys...)...)
	case q.From.IsZero() && q.To.IsZero():
		ask.add(columns)
	default:
		w := s.around(q)
		condition := strings.Join(w.conditions, " AND ")
		ask.add(columns+" WHERE session <> '' AND session IN (SELECT session FROM "+table+" WHERE "+condition+")", w.args...)
		if s.dialect == SQLite { // which would go by the key, and read all page views that have none
			columns += " INDEXED BY " + s.table("page_views_heard")
		}
		ask.add("\nUNION ALL "+columns+" WHERE session = '' AND "+condition, w.args...)
	}
	ask.add("\nORDER BY session, view")
	return ask
}

// around are the conditions of a page view by which the range of q finds its session.
func (s *Store) around(q Query) (w where) {
	near := max(slack, s.rules.Gap) // some page view is at most a gap away from any moment of its session
	w.and("started IS NOT NULL")
	if from, ok := s.heardFrom(q); ok {
		w.and("heard >= ?", from)
	}
	if !q.To.IsZero() {
		late := q.Late
		if late == 0 {
			late = lateness
		}
		w.and("heard < ?", micros(q.To)+max(late, near).Microseconds())
		// The offset of a page view that was told of late has the delay in it, and the clock
		// of its session is known from another one: so an offset says nothing here,
		// but that the session has to be looked at.
		w.and("(clock_offset IS NULL OR NOT (clock_offset BETWEEN ? AND ?) OR started < ?)",
			-slack.Microseconds(), slack.Microseconds(), micros(q.To)+(near+slack).Microseconds())
	}
	return w
}

// heardFrom is since when a page view has to have been heard of.
func (s *Store) heardFrom(q Query) (from int64, ok bool) {
	return micros(q.From) - max(slack, s.rules.Gap).Microseconds(), !q.From.IsZero()
}

// errEnough ends each without an error.
var errEnough = errors.New("enough")

// each runs a question, and calls scan for each row. Without a write-ahead log SQLite
// turns down who reads while another commits.
func (s *Store) each(ctx context.Context, q *question, scan func(*sql.Rows) error) error {
	var result error
	err := s.retry(ctx, func() error {
		begun := false
		err := eachRow(ctx, s.db, q, func(rows *sql.Rows) error {
			begun = true
			return scan(rows)
		})
		if begun { // and nothing can be taken back
			result, err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return result
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
