package stores_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// A heardView is a page view, and when it was heard of last.
type heardView struct {
	beacon.PageView
	heard time.Time
}

// weeks returns what visitors did from epoch on in some weeks: with clocks that are wrong,
// tabs that stay open for days, and reports that are late, by days where the device was
// offline.
func weeks(r *rand.Rand, visitors int) (all []heardView) {
	pages := []string{"/", "/a", "/b", "/c/d", "/ü"}
	for n := range visitors {
		key := fmt.Sprintf("key%d", n)
		if r.IntN(15) == 0 {
			key = ""
		}
		skew := time.Duration(r.IntN(5)-2) * time.Second
		if r.IntN(10) == 0 {
			skew = time.Duration(r.IntN(9)-4) * time.Hour
		}
		at := epoch.Add(time.Duration(r.Int64N(int64(6 * 7 * 24 * time.Hour))))
		for v := range 1 + r.IntN(6) {
			length := time.Duration(r.Int64N(int64(20 * time.Minute)))
			if r.IntN(20) == 0 {
				length = time.Duration(r.Int64N(int64(80 * time.Hour)))
			}
			delay := time.Duration(r.IntN(20_000)) * time.Millisecond
			x := heardView{PageView: beacon.PageView{
				Session: key, View: fmt.Sprintf("view%d-%d", n, v), Page: pages[r.IntN(len(pages))], Name: []string{"", "sale"}[r.IntN(2)],
				Start: at.Add(-skew).Truncate(time.Microsecond), End: at.Add(length - skew).Truncate(time.Microsecond),
				Visible: length / time.Duration(1+r.IntN(3)), Seq: 1,
				HasOffset: true, Offset: (skew + delay).Truncate(time.Microsecond),
			}, heard: at.Add(length + delay)}
			x.Visible = x.Visible.Truncate(time.Microsecond)
			x.Engaged = (x.Visible / time.Duration(1+r.IntN(3))).Truncate(time.Microsecond)
			if r.IntN(6) == 0 {
				x.heard = x.heard.Add(time.Duration(r.Int64N(int64(20 * 24 * time.Hour))))
				// What is sent again later does not say when it was sent.
				x.HasOffset, x.Offset = v == 0 || key == "", x.Offset*time.Duration(min(1, len(key)+1-min(1, v)))
				if key != "" && v > 0 {
					x.Offset = 0
				}
			}
			switch r.IntN(12) {
			case 0:
				x.Unseen, x.Visible, x.Engaged = true, 0, 0
			case 1:
				x.Activity, x.HasOffset, x.Offset = true, false, 0
				x.Start, x.End = at.Truncate(time.Microsecond), at.Truncate(time.Microsecond)
			}
			all = append(all, x)
			at = at.Add(time.Duration(r.Int64N(int64(50 * time.Minute))))
			if r.IntN(8) == 0 {
				at = at.Add(time.Duration(r.Int64N(int64(100 * time.Hour))))
			}
		}
	}
	return all
}

func putHeard(t testing.TB, db *sql.DB, all []heardView) (views []beacon.PageView) {
	t.Helper()
	for _, v := range all {
		views = append(views, v.PageView)
	}
	at := 0
	putAt(t, db, views, func(beacon.PageView) time.Time {
		at++
		return all[at-1].heard
	})
	return views
}

// A placed page view is one that somebody saw, with its session.
type placed struct {
	beacon.PageView
	start, till time.Time
	of          *sessions.Session
}

// place finds the session of each page view that somebody saw, in the plainest way.
func place(views []beacon.PageView, all []sessions.Session) (found []placed) {
	smallest := map[string]time.Duration{}
	known := map[string]bool{}
	key := func(v beacon.PageView) string { return cmp.Or(v.Session, v.View) }
	for _, v := range views {
		if v.HasOffset && !v.Activity && (!known[key(v)] || v.Offset < smallest[key(v)]) {
			known[key(v)], smallest[key(v)] = true, v.Offset
		}
	}
	byKey := map[string][]*sessions.Session{}
	for i := range all {
		byKey[all[i].Key] = append(byKey[all[i].Key], &all[i])
	}
	for _, v := range views {
		if v.Activity || v.Start.IsZero() || v.Unseen && v.Visible == 0 {
			continue
		}
		p := placed{PageView: v, start: v.Start.Add(smallest[key(v)]), till: v.End.Add(smallest[key(v)])}
		if limit := p.start.Add(24 * time.Hour); p.till.After(limit) {
			p.till = limit
		}
		for _, s := range byKey[key(v)] { // sorted by Start
			if !s.Start.After(p.start) {
				p.of = s
			}
		}
		found = append(found, p)
	}
	return found
}

// ranges are what is asked for: days, hours, long ones, open ones.
func ranges(r *rand.Rand, n int) []store.Query {
	all := []store.Query{{}}
	for range n {
		from := epoch.Add(time.Duration(r.Int64N(int64(50 * 24 * time.Hour))))
		q := store.Query{From: from, To: from.Add([]time.Duration{0, time.Minute, time.Hour, 24 * time.Hour, 240 * time.Hour}[r.IntN(5)])}
		switch r.IntN(6) {
		case 0:
			q.From = time.Time{}
		case 1:
			q.To = time.Time{}
		}
		all = append(all, q)
	}
	return all
}

func in(q store.Query, t time.Time) bool {
	return (q.From.IsZero() || !t.Before(q.From)) && (q.To.IsZero() || t.Before(q.To))
}

func overlap(q store.Query, start, end time.Time) bool {
	return (q.From.IsZero() || !end.Before(q.From)) && (q.To.IsZero() || start.Before(q.To))
}

// TestRanges: what is found by indexes for a range of time is what there is in it.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 11))
	all := weeks(r, 1200)
	queries := ranges(r, 16)
	ctx := context.Background()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		views := putHeard(t, db, all)
		every := sessions.Of(views, sessions.Rules{})
		shown := place(views, every)
		found := 0
		for _, q := range queries {
			what := fmt.Sprintf("%v to %v", q.From, q.To)
			var want []sessions.Session
			for _, x := range every {
				if overlap(q, x.Start, x.End) {
					want = append(want, x)
				}
			}
			found += len(want)
			got, err := s.Sessions(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("sessions, %s: -want +got\n%.2000s", what, diff)
			}
			pages, err := s.Pages(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(wantPages(q, shown), pages); diff != "" {
				t.Errorf("pages, %s: -want +got\n%.2000s", what, diff)
			}
			days, err := s.Days(ctx, q, berlin)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(wantDays(q, every, berlin), days); diff != "" {
				t.Errorf("days, %s: -want +got\n%.2000s", what, diff)
			}
			inRange, err := s.PageViews(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			var keys, wantKeys []string
			for _, v := range inRange {
				if !v.Activity && (v.Visible > 0 || !v.Unseen) {
					keys = append(keys, v.View)
				}
			}
			for _, v := range shown {
				if overlap(q, v.start, v.End.Add(v.start.Sub(v.Start))) {
					wantKeys = append(wantKeys, v.View)
				}
			}
			slices.Sort(keys)
			slices.Sort(wantKeys)
			if diff := gocmp.Diff(wantKeys, keys); diff != "" {
				t.Errorf("page views, %s: -want +got\n%.2000s", what, diff)
			}
		}
		if found < 500 {
			t.Errorf("%d sessions in all ranges: that tests nothing", found)
		}
	})
}

func wantPages(q store.Query, shown []placed) (pages []store.Page) {
	type total struct {
		store.Page
		of               map[*sessions.Session]bool
		engaged, visible []time.Duration
	}
	first, last := map[*sessions.Session]placed{}, map[*sessions.Session]placed{}
	before := func(a, b placed) bool {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.View, b.View)) < 0
	}
	clip := func(p placed) time.Time {
		if p.till.After(p.of.End) {
			return p.of.End
		}
		return p.till
	}
	for _, p := range shown {
		if f, ok := first[p.of]; !ok || before(p, f) {
			first[p.of] = p
		}
		l, ok := last[p.of]
		if c := clip(p).Compare(clip(cmp.Or(l, placed{PageView: beacon.PageView{}, of: p.of}))); !ok || c > 0 || c == 0 && before(l, p) {
			last[p.of] = p
		}
	}
	byPage := map[string]*total{}
	for _, p := range shown {
		if !in(q, p.start) {
			continue
		}
		x := byPage[p.Page]
		if x == nil {
			x = &total{Page: store.Page{Page: p.Page}, of: map[*sessions.Session]bool{}}
			byPage[p.Page] = x
		}
		x.Views++
		x.of[p.of] = true
		if first[p.of].View == p.View {
			x.Entries++
		}
		if last[p.of].View == p.View {
			x.Exits++
		}
		x.engaged = append(x.engaged, min(p.Engaged, p.till.Sub(p.start)))
		x.visible = append(x.visible, min(p.Visible, p.till.Sub(p.start)))
	}
	for _, x := range byPage {
		x.Sessions = len(x.of)
		x.MeanEngaged, x.MedianEngaged = middle(x.engaged)
		x.MeanVisible, x.MedianVisible = middle(x.visible)
		pages = append(pages, x.Page)
	}
	slices.SortFunc(pages, func(a, b store.Page) int { return cmp.Or(b.Views-a.Views, strings.Compare(a.Page, b.Page)) })
	return pages
}

func wantDays(q store.Query, all []sessions.Session, loc *time.Location) (days []store.Day) {
	byDay := map[string][]sessions.Session{}
	for _, s := range all {
		if in(q, s.Start) {
			day := s.Start.In(loc).Format(time.DateOnly)
			byDay[day] = append(byDay[day], s)
		}
	}
	for day, of := range byDay {
		date, err := time.ParseInLocation(time.DateOnly, day, loc)
		if err != nil {
			panic(err)
		}
		d := store.Day{Date: date, Sessions: len(of)}
		var engaged, elapsed []time.Duration
		for _, s := range of {
			d.Views += s.Views
			engaged, elapsed = append(engaged, s.Engaged), append(elapsed, s.Elapsed())
		}
		d.MeanEngaged, d.MedianEngaged = middle(engaged)
		d.MeanElapsed, d.MedianElapsed = middle(elapsed)
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b store.Day) int { return a.Date.Compare(b.Date) })
	return days
}

// middle returns the mean and the median.
func middle(all []time.Duration) (mean, median time.Duration) {
	slices.Sort(all)
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	n := len(all)
	if median = all[n/2]; n%2 == 0 {
		median = (all[n/2-1] + all[n/2]) / 2
	}
	return sum / time.Duration(n), median
}
