package stores_test

import (
	"context"
	"database/sql"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// TestComesTwice: who sends something twice, and whether it is stored twice, as the page
// on stores has it.
func TestComesTwice(t *testing.T) {
	ctx := context.Background()
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		post := func(to beacon.Sink, body, key string) {
			t.Helper()
			h, err := beacon.New(beacon.Config{Sink: to})
			if err != nil {
				t.Fatal(err)
			}
			r := beacontest.NewRequest("/_pb", beacon.Text(body))
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != 204 {
				t.Fatal(w.Code, w.Header())
			}
		}
		holds := func(who string, events, sessions int) {
			t.Helper()
			n := 0
			for _, err := range s.Events(ctx, store.Query{}) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			all, err := s.Sessions(ctx, store.Query{})
			if n != events || len(all) != sessions || err != nil {
				t.Errorf("%s: %d events and %d sessions, want %d and %d; %v", who, n, len(all), events, sessions, err)
			}
			stores.Empty(t, db)
		}
		session := `{"v":1,"m":"replace","k":"s","b":"b","r":1,"sid":"s","pv":"v","via":"now","at":1772600767123,` +
			`"ev":[{"n":1,"t":1772600767123,"e":"session","d":{"start":1772600767123,"end":1772600797123,"seen":5,"engaged":5}}]}`

		for range 2 {
			post(s, session, "")
		}
		holds("the client", 1, 1)
		for range 2 {
			post(s, "the same", "key")
		}
		holds("a program with a key", 1, 0)
		for range 2 {
			post(s, "the same", "")
		}
		holds("a browser without an ID", 2, 0)
		post(s, session, "")
		post(s, strings.Replace(session, `"pv":"v"`, `"pv":"w"`, 1), "")
		holds("another tab", 2, 1)

		// Each of the first deliveries reaches the store, and is said to have failed.
		dir, failed := t.TempDir(), false
		events, err := spool.Open(dir, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			if err := s.Consume(ctx, events); err != nil || failed {
				return err
			}
			failed = true
			return context.DeadlineExceeded
		}), spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		post(events, session, "")
		post(events, "of no client", "")
		patient, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for events.Flush(patient) != nil && patient.Err() == nil { // the first delivery fails
			time.Sleep(10 * time.Millisecond)
		}
		if err := events.Close(ctx); err != nil || !failed {
			t.Fatal(err, failed)
		}
		holds("a spool", 2, 1)

		// Dedup forgets with its process; the store does not.
		calls := 0
		counted := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error { calls++; return s.Consume(ctx, events) })
		for range 2 {
			process := sink.Dedup(counted, sink.DedupOptions{})
			post(process, session, "")
			post(process, session, "")
		}
		if calls != 2 {
			t.Errorf("%d calls behind two Dedups, want 2", calls)
		}
		holds("processes with Dedup", 1, 1)
	})
}
