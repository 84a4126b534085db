package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

// Pages returns what became of pages: of the views that somebody saw and that began in
// the range. It is sorted by Views, the most first, and then by Page, so that
// Query.Limit keeps the most viewed; Newest means nothing here.
//
// The engaged times of pages do not add up to that of sessions where two windows were
// open side by side: of a session no moment is counted twice, see
// [sessions.Session.Engaged].
//
// In memory are 16 bytes for each of the views, for the medians, and the pages.
func (s *Store) Pages(ctx context.Context, q Query) ([]Page, error) {
	byPage := map[string]*pageViews{}
	var ends ends
	err := s.visits(ctx, q, func(v *visit) {
		placed := v.locate()
		ends.find(v)
		for i, p := range placed {
			if !q.holds(p.start) || !q.isOf(p.PageView) {
				continue
			}
			x := byPage[p.Page]
			if x == nil {
				x = &pageViews{Page: Page{Page: p.Page}}
				byPage[p.Page] = x
			}
			if x.visit != v.number || x.session != p.session {
				x.visit, x.session = v.number, p.session
				x.Sessions++
			}
			x.add(p, ends[p.session].first == i, ends[p.session].last == i)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("store: pages: %w", err)
	}
	var all []Page
	for _, x := range byPage {
		x.MeanEngaged, x.MedianEngaged = lengths(x.engaged)
		x.MeanVisible, x.MedianVisible = lengths(x.visible)
		all = append(all, x.Page)
	}
	q.Newest = false
	return sorted(all, q, func(a, b *Page) int { return cmp.Or(b.Views-a.Views, strings.Compare(a.Page, b.Page)) }), nil
}

// pageViews are the views of one page.
type pageViews struct {
	Page
	engaged, visible []int64
	visit, session   int // that was counted last
}

func (x *pageViews) add(p located, entry, exit bool) {
	x.Views++
	if entry {
		x.Entries++
	}
	if exit {
		x.Exits++
	}
	length := p.end.Sub(p.start)
	x.engaged = append(x.engaged, max(0, min(p.Engaged, length)).Microseconds())
	x.visible = append(x.visible, max(0, min(p.Visible, length)).Microseconds())
}

// ends are which of the page views of a visit are the first and the last of each session.
type ends []struct{ first, last int }

func (e *ends) find(v *visit) {
	placed := v.locate()
	*e = slices.Grow((*e)[:0], len(v.sessions))[:len(v.sessions)]
	for i := range *e {
		(*e)[i].first, (*e)[i].last = -1, -1
	}
	for i := range placed {
		x := &(*e)[placed[i].session]
		if x.first < 0 {
			x.first = i
		}
		if x.last < 0 || !v.seenUntil(&placed[i]).Before(v.seenUntil(&placed[x.last])) {
			x.last = i
		}
	}
}

// seenUntil is the end of a page view, in its session.
func (v *visit) seenUntil(p *located) time.Time {
	if end := v.sessions[p.session].End; p.end.After(end) {
		return end
	}
	return p.end
}

// Days returns the days on which sessions began in the range, in the time zone of loc;
// nil is UTC. A session counts on the day it began, with all of it: midnight does not
// split it. Days without any are left out. Page and Name are of a page view that is part
// of a session, and Limit and Newest are about days.
//
// In memory are 16 bytes for each of the sessions, for the medians, and the days.
func (s *Store) Days(ctx context.Context, q Query, loc *time.Location) ([]Day, error) {
	if loc == nil {
		loc = time.UTC
	}
	type date struct {
		year  int
		month time.Month
		day   int
	}
	type collected struct {
		Day
		elapsed, engaged []int64
	}
	byDate := map[date]*collected{}
	err := s.visits(ctx, q, func(v *visit) {
		for i := range v.sessions {
			x := &v.sessions[i]
			if !q.holds(x.Start) || !v.about(i, q) {
				continue
			}
			var at date
			at.year, at.month, at.day = x.Start.In(loc).Date()
			d := byDate[at]
			if d == nil {
				d = &collected{Day: Day{Date: time.Date(at.year, at.month, at.day, 0, 0, 0, 0, loc)}}
				byDate[at] = d
			}
			d.Sessions++
			d.Views += x.Views
			d.elapsed = append(d.elapsed, x.Elapsed().Microseconds())
			d.engaged = append(d.engaged, x.Engaged.Microseconds())
		}
	})
	if err != nil {
		return nil, fmt.Errorf("store: days: %w", err)
	}
	var days []Day
	for _, d := range byDate {
		d.MeanElapsed, d.MedianElapsed = lengths(d.elapsed)
		d.MeanEngaged, d.MedianEngaged = lengths(d.engaged)
		days = append(days, d.Day)
	}
	return sorted(days, q, func(a, b *Day) int { return a.Date.Compare(b.Date) }), nil
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
