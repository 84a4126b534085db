package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// TestLateReports: a range has the sessions that [sessions.Of] puts there, also where the
// offset of a page view is not that of the clock: the report was on its way for a day.
func TestLateReports(t *testing.T) {
	// Hours of one day, and what is said then.
	type said struct {
		view        string
		start, end  float64 // on the client's clock
		sent, heard float64
	}
	hour := func(h float64) time.Time {
		return epoch.Add(time.Duration(h * float64(time.Hour))).Truncate(time.Second)
	}
	cases := []struct {
		name     string
		gap      time.Duration
		said     []said
		from, to float64
		want     []string
	}{
		{name: "the clock is known from another visit", from: 14, to: 16, want: []string{"key:b"},
			said: []said{{view: "a", start: 9, end: 9.1, sent: 9.1, heard: 9.1}, {view: "b", start: 15, end: 15.1, sent: 15.1, heard: 39}}},
		{name: "and is fast", from: 14, to: 16, want: []string{"key:b"},
			said: []said{{view: "a", start: 12, end: 12.1, sent: 12.1, heard: 9.1}, {view: "b", start: 18, end: 18.1, sent: 18.1, heard: 39}}},
		{name: "and is slow", from: 14, to: 16, want: []string{"key:b"},
			said: []said{{view: "a", start: 6, end: 6.1, sent: 6.1, heard: 9.1}, {view: "b", start: 12, end: 12.1, sent: 12.1, heard: 39}}},
		{name: "the clock was set back", from: 11.5, to: 12.5, want: []string{"key:a"},
			said: []said{{view: "a", start: 15, end: 15.1, sent: 15.1, heard: 12.1}, {view: "b", start: 15.2, end: 15.4, sent: 15.4, heard: 15.5}}},
		{name: "what was after the range is not in it", from: 11, to: 14, want: nil,
			said: []said{{view: "a", start: 9, end: 9.1, sent: 9.1, heard: 9.1}, {view: "b", start: 15, end: 15.1, sent: 15.1, heard: 39}}},
		{name: "the range is in a gap", gap: 4 * time.Hour, from: 9.5, to: 9.75, want: []string{"key:a"},
			said: []said{{view: "a", start: 8, end: 8.1, sent: 8.1, heard: 8.1}, {view: "b", start: 11, end: 11.1, sent: 11.1, heard: 11.1}}},
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		for i, c := range cases {
			rules := sessions.Rules{Gap: c.gap}
			s := open(t, db, d, store.Options{Rules: rules, Prefix: fmt.Sprintf("case%d_", i)})
			var views []heardView
			for _, x := range c.said {
				views = append(views, heardView{PageView: beacon.PageView{Session: "key", View: x.view, Start: hour(x.start), End: hour(x.end),
					HasOffset: true, Offset: hour(x.heard).Sub(hour(x.sent))}, heard: hour(x.heard)})
			}
			consume(t, s, eventsOf(views))
			q := store.Query{From: hour(c.from), To: hour(c.to)}
			all, err := s.PageViews(context.Background(), store.Query{})
			if err != nil {
				t.Fatal(err)
			}
			var want, have []string
			for _, x := range sessions.Of(all, rules) {
				if overlap(q, x.Start, x.End) {
					want = append(want, x.ID)
				}
			}
			found, err := s.Sessions(context.Background(), q)
			if err != nil {
				t.Error(err)
			}
			for _, x := range found {
				have = append(have, x.ID)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s: -Of +store\n%s", c.name, diff)
			}
			if diff := cmp.Diff(c.want, have); diff != "" {
				t.Errorf("%s: -want +got\n%s", c.name, diff)
			}
		}
	})
}

// TestFarRanges: who means ever asks for times that no column holds.
func TestFarRanges(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		consume(t, s, reports(3))
		ctx := context.Background()
		past, future := time.Unix(-1<<59, 0), time.Unix(1<<59, 0)
		for _, c := range []struct {
			store.Query
			want int
		}{
			{store.Query{From: past, To: future}, 3}, {store.Query{From: past}, 3}, {store.Query{To: future, Late: 1<<63 - 1}, 3},
			{store.Query{From: time.Unix(0, 0), To: future}, 3}, {store.Query{From: future}, 0}, {store.Query{To: past}, 0},
		} {
			found, err := s.Sessions(ctx, c.Query)
			if err != nil || len(found) != c.want {
				t.Errorf("%v to %v: %d sessions, %v; want %d", c.From, c.To, len(found), err, c.want)
			}
			n, err := s.Export(ctx, io.Discard, c.Query)
			if err != nil || n != int64(c.want) {
				t.Errorf("%v to %v: %d events, %v; want %d", c.From, c.To, n, err, c.want)
			}
		}
		if n, err := s.Prune(ctx, past); n != 0 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		if n, err := s.Prune(ctx, future); n != 6 || err != nil {
			t.Errorf("%d rows, %v; want all", n, err)
		}
	})
}
