package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// statistics is the page that says how long people were here. Everybody may see it on
// this site: a host would put it behind its login, and leave the tag out.
type statistics struct {
	analytics

	mu      sync.Mutex
	reports map[int]report // by the number of days
}

// A report is the answer for some days up to today.
type report struct {
	Days  int
	Today store.Day
	Each  []store.Day
	Pages []pageRow
	Until time.Time // it is not asked for again before
}

type pageRow struct {
	Name string
	store.Page
	Share int // of the largest median, in percent
}

// A visit is the session of who asks.
type visit struct {
	sessions.Session
	Shown []viewRow
}

type viewRow struct {
	Name             string
	Start            time.Time
	Visible, Engaged time.Duration
	VisibleShare     int // of the longest, in percent
	EngagedShare     int
}

const (
	week      = 7
	mostPages = 20 // the rest is in the database
	mostViews = 12
	fresh     = 2 * time.Second // as old as a report may be
)

// serve writes the page. Whose session it is only the script in it knows.
func (s *statistics) serve(w http.ResponseWriter, r *http.Request) { s.write(w, r, "stats", nil) }

// servePart writes what is new, with the session that the query names.
func (s *statistics) servePart(w http.ResponseWriter, r *http.Request) {
	v, err := s.visit(r.Context(), r.Host, r.URL.Query().Get("session"))
	if err != nil {
		fail(w, err)
		return
	}
	s.write(w, r, "part", v)
}

func (s *statistics) write(w http.ResponseWriter, r *http.Request, name string, v *visit) {
	days := 1
	if r.URL.Query().Get("days") == strconv.Itoa(week) {
		days = week
	}
	answer, err := s.report(r.Context(), r.Host, days)
	if err != nil {
		fail(w, err)
		return
	}
	show(w, name, map[string]any{
		"Title": "How long people were here", "Path": "/stats", "Pages": pages, "Tag": s.tag(),
		"Visit": v, "Report": answer, "Week": week,
	})
}

func fail(w http.ResponseWriter, err error) {
	log.Print("stats: ", err)
	http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
}

// report asks the database, but not for everybody who looks.
func (s *statistics) report(ctx context.Context, host string, days int) (report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	answer := s.reports[days]
	if !now.Before(answer.Until) {
		y, m, d := now.Date()
		day := func(n int) time.Time { return time.Date(y, m, d+n, 0, 0, 0, 0, time.Local) }
		q := store.Query{From: day(1 - week), To: day(1), Limit: mostPages, Newest: true}
		each, found, err := s.answer(ctx, q)
		if err == nil && days != week {
			q.From = day(1 - days)
			_, found, err = s.answer(ctx, q)
		}
		if err != nil {
			return report{}, err
		}
		answer = report{Days: days, Today: store.Day{Date: day(0)}, Each: each, Pages: rows(found), Until: now.Add(fresh)}
		if len(each) > 0 && each[0].Date.Equal(day(0)) {
			answer.Today = each[0]
		}
		if s.reports == nil {
			s.reports = map[int]report{}
		}
		s.reports[days] = answer
	}
	// Names are short to those who see the site by the same name.
	named := answer
	named.Pages = append([]pageRow(nil), answer.Pages...)
	for i := range named.Pages {
		named.Pages[i].Name = shortened(named.Pages[i].Page.Page, host)
	}
	return named, nil
}

func rows(found []store.Page) []pageRow {
	var longest time.Duration
	for _, p := range found {
		longest = max(longest, p.MedianEngaged)
	}
	all := make([]pageRow, len(found))
	for i, p := range found {
		all[i] = pageRow{Page: p, Share: share(p.MedianEngaged, longest)}
	}
	return all
}

// visit returns the last session of a visitor, or nil if nothing is known yet.
func (s *statistics) visit(ctx context.Context, host, key string) (*visit, error) {
	if key == "" {
		return nil, nil // which would ask for all
	}
	found, err := s.stored.Sessions(ctx, store.Query{Session: key, Limit: 1, Newest: true})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	v := &visit{Session: found[0]}
	views, err := s.stored.PageViews(ctx, store.Query{Session: key, Limit: mostViews, Newest: true})
	if err != nil {
		return nil, err
	}
	var longest, offset time.Duration
	known := false
	for _, p := range views {
		longest = max(longest, p.Visible, p.Engaged)
		if p.HasOffset && !p.Activity && (!known || p.Offset < offset) {
			offset, known = p.Offset, true
		}
	}
	for _, p := range views {
		began := p.Start.Add(offset) // on the server's clock, as that of the session is
		if p.Activity || p.Start.IsZero() || began.Before(v.Start) {
			continue // the last are those of an earlier session of this visitor
		}
		v.Shown = append(v.Shown, viewRow{
			Name: shortened(p.Page, host), Start: began, Visible: p.Visible, Engaged: p.Engaged,
			VisibleShare: share(p.Visible, longest), EngagedShare: share(p.Engaged, longest),
		})
	}
	return v, nil
}

func share(d, of time.Duration) int {
	if of <= 0 {
		return 0
	}
	return int(100 * d.Seconds() / of.Seconds())
}

// longestName is how much of a page's name is shown.
const longestName = 80

// shortened returns what to show of a page, which is the word of whoever sent it: the
// path where it is of this site, and nothing that would not show, or that turns the
// direction of what stands beside it.
func shortened(page, host string) string {
	if u, err := url.Parse(page); err == nil && u.Host == host && u.Path != "" {
		page = u.Path
	}
	if page == "" {
		return "(not told)"
	}
	var b strings.Builder
	n := 0
	for _, r := range page {
		if n++; n > longestName {
			b.WriteString("…")
			break
		}
		if !unicode.IsGraphic(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

// length is a duration for people.
func length(d time.Duration) string {
	switch s := d.Round(time.Second); {
	case d < time.Minute-50*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case s < time.Hour:
		return fmt.Sprintf("%d min %02d s", s/time.Minute, s%time.Minute/time.Second)
	default:
		m := d.Round(time.Minute)
		return fmt.Sprintf("%d h %02d min", m/time.Hour, m%time.Hour/time.Minute)
	}
}

// seconds is one for programs.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
