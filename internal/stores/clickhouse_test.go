package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// TestClickHouseMistakes: what cannot work, or would acknowledge memory, is an error that
// says so, and not the password.
func TestClickHouseMistakes(t *testing.T) {
	_, dsn := stores.DSN(t, store.ClickHouse)
	for what, o := range map[string]store.ClickHouseOptions{
		"with a host":          {URL: "http://"},
		"async_insert":         {URL: dsn, Settings: map[string]string{"async_insert": "1"}},
		"async_insert is":      {URL: dsn, Settings: map[string]string{"async_insert": "true"}},
		"insert_deduplicate":   {URL: dsn, Settings: map[string]string{"insert_deduplicate": "1"}},
		"nosuch_setting":       {URL: dsn, Settings: map[string]string{"nosuch_setting": "1"}},
		"Options.Prefix":       {URL: dsn, Options: store.Options{Prefix: "DROP"}},
		"doesn't exist":        {URL: dsn, Database: "nosuch"},
		"Wrong password":       {URL: dsn, Password: "not the s3cr3t"},
		"beacon_ or something": {URL: "http://me:s3cr3t@127.0.0.1:1"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := store.OpenClickHouse(ctx, o)
		cancel()
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "query=") {
			t.Errorf("%s: %v", what, err)
		}
		if !strings.Contains(what, "or something") && err != nil && !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// roundTripper is a function that is one.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNothingPasses: an insert that is made again goes to the views again, whatever the
// defaults are, as replicas would let it pass, with views that failed the first time.
func TestNothingPasses(t *testing.T) {
	_, dsn := stores.DSN(t, store.ClickHouse)
	inserts := 0
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if q := r.URL.Query(); strings.HasPrefix(q.Get("query"), "INSERT ") {
			if inserts++; q.Get("insert_deduplicate") != "0" {
				t.Errorf("%v", q)
			}
		}
		return http.DefaultTransport.RoundTrip(r)
	})}
	s, err := store.OpenClickHouse(context.Background(), store.ClickHouseOptions{URL: dsn + "&insert_deduplicate=1", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	if consume(t, s, reports(1)); inserts == 0 {
		t.Error("no insert was seen")
	}
}

// TestClickHouseLeavesNothing: who opens it again and again while it is away keeps nothing
// of the attempts.
func TestClickHouseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		if _, err := store.OpenClickHouse(context.Background(), store.ClickHouseOptions{URL: "http://127.0.0.1:1"}); err == nil {
			t.Fatal("opened what is not there")
		}
	}
	waitUntil(t, 20*time.Second, "goroutines end", func() bool { return runtime.NumGoroutine() < before+25 })
}

// TestClockOfWhoMigrates: the sessions are by the rules of who came last, also if the clock
// of somebody before was ahead.
func TestClockOfWhoMigrates(t *testing.T) {
	db := stores.DB(t, store.ClickHouse)
	open(t, db, store.ClickHouse, store.Options{})
	ahead := time.Now().AddDate(1, 0, 0).UnixNano()
	if _, err := db.Exec("INSERT INTO beacon_meta (name, value, at) SELECT name, argMax(value, at), ? FROM beacon_meta GROUP BY name", ahead); err != nil {
		t.Fatal(err)
	}
	other := store.Options{Rules: sessions.Rules{Gap: time.Minute}}
	var views []string
	for _, o := range []store.Options{other, {}, other} {
		open(t, db, store.ClickHouse, o)
		var view string
		if err := db.QueryRow("SHOW CREATE TABLE beacon_sessions").Scan(&view); err != nil {
			t.Fatal(err)
		}
		views = append(views, view)
	}
	if views[0] == views[1] || views[0] != views[2] {
		t.Error("the view is not that of the rules it was opened with")
	}
}

// TestTwins: what a client sends twice is one event, whichever of both is stored first, and
// whatever is asked for: the one that was received first.
func TestTwins(t *testing.T) {
	db := stores.DB(t, store.ClickHouse)
	s := open(t, db, store.ClickHouse, store.Options{})
	ctx := context.Background()
	const n = 300
	var first, second []beacon.Event
	for i := range n {
		at := epoch.Add(time.Duration(i) * time.Second)
		e := beacon.Event{ID: fmt.Sprintf("e%d", i), Name: "tick", Time: at, Received: at, Session: "s", Body: beacon.Empty{}}
		first = append(first, e)
		e.Received = at.Add(time.Hour)
		second = append(second, e)
	}
	consume(t, s, second)
	consume(t, s, first)
	consume(t, s, append(first[:10:10], second...))
	for merged := range 2 {
		for _, c := range []struct {
			q    store.Query
			want int
		}{
			{store.Query{}, n}, {store.Query{Newest: true}, n}, {store.Query{From: epoch.Add(time.Hour)}, 0}, {store.Query{To: epoch.Add(time.Hour)}, n},
			{store.Query{Session: "s"}, n}, {store.Query{Limit: 70}, 70}, {store.Query{Limit: 70, Newest: true}, 70},
		} {
			seen := map[string]bool{}
			for e, err := range s.Events(ctx, c.q) {
				if err != nil {
					t.Fatal(err)
				}
				if seen[e.ID] || e.Received.Sub(epoch) >= time.Hour {
					t.Errorf("%+v: event %s, received at %v", c.q, e.ID, e.Received)
				}
				seen[e.ID] = true
			}
			if len(seen) != c.want {
				t.Errorf("merged %d times, %+v: %d events, want %d", merged, c.q, len(seen), c.want)
			}
		}
		stores.Merge(t, db)
	}
	// What is left of the second half is not hidden by what was erased.
	if _, err := s.Prune(ctx, epoch.Add(n*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := len(storedEvents(t, db)); got != n {
		t.Errorf("%d events after those received first were erased, want their twins", got)
	}
	if erased, err := s.Forget(ctx, "s"); err != nil || erased < n {
		t.Errorf("%d, %v", erased, err)
	}
	for _, table := range []string{"events", "event_ids", "page_views", "attrs"} {
		var rows int
		if err := db.QueryRow("SELECT count() FROM beacon_" + table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows of %s are left (%v)", rows, table, err)
		}
	}
}

// TestStats: what became of events is counted, on each database.
func TestStats(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		consume(t, s, reports(5))
		consume(t, s, reports(5))
		bad := reports(3)
		bad[1].Time = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC) // which has no JSON form
		if err := s.Consume(context.Background(), bad); !beacon.IsPermanent(err) {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Consume(ended, reports(7)); err == nil || beacon.IsPermanent(err) {
			t.Fatal(err)
		}
		got := s.Stats()
		calls := uint64(0)
		for _, n := range got.Seconds.Counts {
			calls += n
		}
		if got.LastStored.IsZero() || time.Since(got.LastStored) > time.Hour || calls != 4 || got.Seconds.Sum <= 0 {
			t.Errorf("%+v", got)
		}
		got.LastStored, got.Seconds = time.Time{}, beacon.Histogram{}
		if want := (store.Stats{Calls: 4, Stored: 12, Refused: 1, Failed: 7, Errors: 2}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
