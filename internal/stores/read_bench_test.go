package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"math/rand/v2"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// BenchmarkRead asks what a host asks, of a month of page views: BEACON_VIEWS of them, or
// 20,000.
func BenchmarkRead(b *testing.B) {
	n := 20_000
	if text := os.Getenv("BEACON_VIEWS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	for _, d := range stores.Dialects {
		b.Run(d.String(), func(b *testing.B) {
			db := stores.DB(b, d)
			s, err := store.Open(ctx, db, d, store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			put(b, db, month(n))
			analyze(b, db, d)
			day := store.Query{From: epoch.AddDate(0, 0, 29), To: epoch.AddDate(0, 0, 30)}
			before := store.Query{From: epoch.AddDate(0, 0, 9), To: epoch.AddDate(0, 0, 10)}
			all := map[string]func() (int, error){
				"sum over the view": func() (n int, err error) {
					var engaged float64
					err = db.QueryRow("SELECT COUNT(*), SUM(engaged) FROM beacon_sessions").Scan(&n, &engaged)
					return n, err
				},
				"sessions of the last day": func() (int, error) { x, err := s.Sessions(ctx, day); return len(x), err },
				"pages of the last day":    func() (int, error) { x, err := s.Pages(ctx, day); return len(x), err },
				"sessions of a day before": func() (int, error) { x, err := s.Sessions(ctx, before); return len(x), err },
				"days of all":              func() (int, error) { x, err := s.Days(ctx, store.Query{}, nil); return len(x), err },
				"one session":              func() (int, error) { x, err := s.Sessions(ctx, store.Query{Session: "visitor7"}); return len(x), err },
			}
			for name, ask := range all {
				b.Run(name, func(b *testing.B) {
					rows := 0
					for b.Loop() {
						if rows, err = ask(); err != nil || rows == 0 {
							b.Fatal(rows, err)
						}
					}
					b.ReportMetric(float64(rows), "rows")
				})
			}
		})
	}
}

// analyze has the database look at its tables, as it does by itself after a while.
func analyze(t testing.TB, db *sql.DB, d store.Dialect) {
	t.Helper()
	text := "ANALYZE"
	if d == store.MySQL {
		text = "ANALYZE TABLE beacon_page_views, beacon_events, beacon_attrs"
	}
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
}

// month returns n page views of 30 days, about three to a visit.
func month(n int) []beacon.PageView {
	r := rand.New(rand.NewPCG(4, 11))
	views := make([]beacon.PageView, 0, n+6)
	for visitor := 0; len(views) < n; visitor++ {
		at := epoch.Add(time.Duration(r.Int64N(int64(30 * 24 * time.Hour)))).Truncate(time.Microsecond)
		offset := time.Duration(r.IntN(2_000_000)) * time.Microsecond
		for v := range 1 + r.IntN(5) {
			length := time.Duration(r.IntN(300_000_000)) * time.Microsecond
			views = append(views, beacon.PageView{
				Session: fmt.Sprint("visitor", visitor), View: fmt.Sprintf("view%d-%d", visitor, v),
				Page: fmt.Sprintf("https://www.example.com/articles/%d", r.IntN(1+r.IntN(500))), Referrer: "https://www.example.com/",
				Start: at, End: at.Add(length), Visible: length, Engaged: length / 2 / 1000 * 1000, Seq: uint64(1 + r.IntN(9)),
				HasOffset: true, Offset: offset, Unseen: r.IntN(50) == 0,
			})
			at = at.Add(length)
		}
	}
	return views
}
