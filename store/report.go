package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// A Page is what became of one page in a range of time: of its views that somebody saw,
// and that began in it.
type Page struct {
	// Page is the page as events have it: for the browser client origin and path.
	Page string

	// Views is how many there were, and Sessions how many sessions they are of.
	Views, Sessions int

	// Entries and Exits are how many of the views were the first of their session, and
	// how many the one that was seen last.
	Entries, Exits int

	// Engaged and visible time of a view, which is never more than it was open for.
	MeanEngaged, MedianEngaged time.Duration
	MeanVisible, MedianVisible time.Duration
}

// A Day is what became of the sessions that began on it.
type Day struct {
	// Date is the day's midnight in the time zone that was asked for, or the first
	// instant of it where there was no midnight.
	Date time.Time

	// Sessions is how many there were, and Views how many page views they have, also
	// of the next day.
	Sessions, Views int

	// Engaged and elapsed time of a session, see [sessions.Session].
	MeanEngaged, MedianEngaged time.Duration
	MeanElapsed, MedianElapsed time.Duration
}

// pagesSQL goes on from piecesSQL. A median is the mean of the two in the middle, or
// twice the one: no database has to know of medians. MariaDB 10.11 numbers wrongly where
// one window is by page and session and the other by page in the same query.
const pagesSQL = `, shown AS (
  SELECT page, engaged, {greatest}(0, {least}(visible, till - s)) AS visible,
    ROW_NUMBER() OVER (PARTITION BY page, session, lone, cut ORDER BY s) AS of_session,
    CASE WHEN nth = 1 THEN 1 ELSE 0 END AS entry_page, CASE WHEN nth_last = 1 THEN 1 ELSE 0 END AS exit_page
  FROM pieces{where}
), ranked AS (
  SELECT page, engaged, visible, entry_page, exit_page, of_session,
    ROW_NUMBER() OVER (PARTITION BY page ORDER BY engaged) AS by_engaged,
    ROW_NUMBER() OVER (PARTITION BY page ORDER BY visible) AS by_visible,
    COUNT(*) OVER (PARTITION BY page) AS views
  FROM shown
)
SELECT page, views, SUM(CASE WHEN of_session = 1 THEN 1 ELSE 0 END), SUM(entry_page), SUM(exit_page), SUM(engaged), SUM(visible),
  SUM(CASE WHEN by_engaged = (views + 1) {div} 2 THEN engaged ELSE 0 END + CASE WHEN by_engaged = views {div} 2 + 1 THEN engaged ELSE 0 END),
  SUM(CASE WHEN by_visible = (views + 1) {div} 2 THEN visible ELSE 0 END + CASE WHEN by_visible = views {div} 2 + 1 THEN visible ELSE 0 END)
FROM ranked GROUP BY page, views`

// Pages returns what became of pages: of the views that somebody saw and that began in
// the range. It is sorted by Views, the most first, and then by Page, so that
// Query.Limit keeps the most viewed; Newest means nothing here.
//
// The engaged times of pages do not add up to that of sessions where two windows were
// open side by side: of a session no moment is counted twice, see
// [sessions.Session.Engaged]. All of it is worked out by the database.
func (s *Store) Pages(ctx context.Context, q Query) ([]Page, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	var w where
	w.within("s", q)
	if more, args := pageOf(q); more != "" {
		w.and(more, args...)
	}
	st := s.begin(q, clocksSQL+piecesSQL)
	st.tables(s, pagesSQL, "{where}", func() { st.where(w) })
	st.add("\nORDER BY views DESC, page")
	st.limit(q)
	var all []Page
	err := s.each(ctx, st, func(rows *sql.Rows) error {
		var p Page
		var engaged, visible, midEngaged, midVisible int64
		err := rows.Scan(&p.Page, &p.Views, &p.Sessions, &p.Entries, &p.Exits, &engaged, &visible, &midEngaged, &midVisible)
		p.MeanEngaged, p.MedianEngaged = mean(engaged, p.Views), mean(midEngaged, 2)
		p.MeanVisible, p.MedianVisible = mean(visible, p.Views), mean(midVisible, 2)
		all = append(all, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: pages: %w", err)
	}
	return all, nil
}

// Days returns the days on which sessions began in the range, in the time zone of loc;
// nil is UTC. A session counts on the day it began, with all of it: midnight does not
// split it. Days without any are left out. Page and Name are of a page view that is part
// of a session, and Limit and Newest are about days.
//
// The database works out the sessions. The lengths of those of one day are kept in
// memory at a time, 16 bytes for each.
func (s *Store) Days(ctx context.Context, q Query, loc *time.Location) ([]Day, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	if loc == nil {
		loc = time.UTC
	}
	var w where
	w.within("started", q)
	st := s.found(q, &w)
	st.add("\nSELECT started, ended, engaged, views FROM found")
	st.where(w)
	all := q
	all.Limit = 0
	st.order(all, "started")

	var days []Day
	var c collected
	err := s.each(ctx, st, func(rows *sql.Rows) error {
		var started, ended, engaged int64
		var views int
		if err := rows.Scan(&started, &ended, &engaged, &views); err != nil {
			return err
		}
		y, m, d := timeOf(started).In(loc).Date()
		if date := time.Date(y, m, d, 0, 0, 0, 0, loc); len(days) == 0 || !date.Equal(days[len(days)-1].Date) {
			c.into(days)
			if q.Limit > 0 && len(days) == q.Limit {
				return errEnough
			}
			days = append(days, Day{Date: date})
		}
		c.views += views
		c.elapsed, c.engaged = append(c.elapsed, ended-started), append(c.engaged, engaged)
		return nil
	})
	if err != nil && err != errEnough {
		return nil, fmt.Errorf("store: days: %w", err)
	}
	c.into(days)
	return days, nil
}

// collected are the lengths of the sessions of one day.
type collected struct {
	views            int
	elapsed, engaged []int64
}

// into writes what was collected into the last of days, and begins anew.
func (c *collected) into(days []Day) {
	if len(c.elapsed) == 0 {
		return
	}
	d := &days[len(days)-1]
	d.Sessions, d.Views = len(c.elapsed), c.views
	d.MeanElapsed, d.MedianElapsed = lengths(c.elapsed)
	d.MeanEngaged, d.MedianEngaged = lengths(c.engaged)
	c.views, c.elapsed, c.engaged = 0, c.elapsed[:0], c.engaged[:0]
}

// lengths returns the mean and the median of microseconds, which it sorts.
func lengths(us []int64) (average, median time.Duration) {
	slices.Sort(us)
	var sum int64
	for _, u := range us {
		sum += u
	}
	n := len(us)
	return mean(sum, n), mean(us[(n-1)/2]+us[n/2], 2)
}

// mean returns sum microseconds over n, to the nanosecond below.
func mean(sum int64, n int) time.Duration {
	whole, rest := sum/int64(n), sum%int64(n)
	return duration(whole) + time.Duration(rest*1000/int64(n))
}
