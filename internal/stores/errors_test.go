package stores_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// reports are events of the client's, each of its own page view.
func reports(n int) []beacon.Event {
	all := make([]beacon.Event, n)
	for i := range all {
		at := time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(i) * time.Second)
		all[i] = beacon.Event{
			ID: fmt.Sprintf("e%04d", i), Name: "session", Time: at, Received: at, Session: fmt.Sprintf("s%04d", i), View: "v", Page: "https://example.com/",
			Series: "session", Seq: 1, Mode: beacon.ModeReplace, Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d}`, at.UnixMilli(), at.UnixMilli()+10)),
		}
	}
	return all
}

// refuse makes the database refuse events of one page, as a rule of the host's does.
func refuse(t *testing.T, db *sql.DB, d store.Dialect, page string) {
	t.Helper()
	rule := "ALTER TABLE beacon_events ADD CONSTRAINT none CHECK (page <> '" + page + "')"
	if d == store.SQLite {
		rule = "CREATE TRIGGER none BEFORE INSERT ON beacon_events WHEN NEW.page = '" + page + "' BEGIN SELECT RAISE(ABORT, 'none of these'); END"
	}
	if _, err := db.Exec(rule); err != nil {
		t.Fatal(err)
	}
}

// TestRefused: events that the database refuses are named, whatever stands beside them,
// and all others are stored.
func TestRefused(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		refuse(t, db, d, "bad")
		ctx := context.Background()
		events := reports(500)
		bad := []int{0, 7, 8, 250, 499}
		for _, i := range bad {
			events[i].Page = "bad"
		}
		// Sorting by ID is not the order of the caller.
		for i := range events {
			events[i].ID = fmt.Sprintf("%03d", (i*7)%len(events))
		}
		err := s.Consume(ctx, events)
		part, ok := errors.AsType[*beacon.PartialError](err)
		if !ok || !slices.Equal(part.Failed, bad) || !beacon.IsPermanent(err) {
			t.Fatalf("%v", err)
		}
		stored := storedEvents(t, db)
		if len(stored) != len(events)-len(bad) {
			t.Errorf("%d events", len(stored))
		}
		for _, e := range stored {
			if e.Page == "bad" {
				t.Errorf("%s is there", e.ID)
			}
		}
		if n := len(storedViews(t, db)); n != len(events)-len(bad) {
			t.Errorf("%d page views", n)
		}
		if err := s.Consume(ctx, events[:1]); !beacon.IsPermanent(err) {
			t.Errorf("alone: %v", err)
		}
		if err := s.Consume(ctx, events[7:9]); !beacon.IsPermanent(err) {
			t.Errorf("none but these: %v", err)
		}
		// The host knows better.
		hopeful := open(t, db, d, store.Options{Permanent: func(err error) (bool, bool) {
			return false, strings.Contains(err.Error(), "none")
		}})
		if err := hopeful.Consume(ctx, events[:2]); err == nil || beacon.IsPermanent(err) {
			t.Errorf("with a rule of the host's: %v", err)
		}
	})
}

// TestUnencodable: an event that has no JSON form is named.
func TestUnencodable(t *testing.T) {
	db := stores.DB(t, store.SQLite)
	s := open(t, db, store.SQLite, store.Options{})
	events := reports(3)
	events[1].Time = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)
	err := s.Consume(context.Background(), events)
	part, ok := errors.AsType[*beacon.PartialError](err)
	if !ok || !slices.Equal(part.Failed, []int{1}) || !beacon.IsPermanent(err) {
		t.Errorf("%v", err)
	}
	if n := len(storedEvents(t, db)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// TestNoID: events without an ID, which no Handler makes, are told by what they say.
func TestNoID(t *testing.T) {
	db := stores.DB(t, store.SQLite)
	s := open(t, db, store.SQLite, store.Options{})
	events := reports(3)
	for i := range events {
		events[i].ID = ""
	}
	for range 2 {
		if err := s.Consume(context.Background(), append(events, events...)); err != nil {
			t.Error(err)
		}
	}
	if n := len(storedEvents(t, db)); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestTemporary: what the database says of itself is nothing that the events are
// refused for.
func TestTemporary(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		ctx := context.Background()
		temporary := func(name string, err error) {
			t.Helper()
			if err == nil || beacon.IsPermanent(err) {
				t.Errorf("%s: %v", name, err)
			}
			if _, ok := errors.AsType[*beacon.PartialError](err); ok {
				t.Errorf("%s: in part: %v", name, err)
			}
		}
		events := reports(10)

		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := s.Consume(ended, events)
		temporary("a context that has ended", err)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}

		if _, err := db.Exec("ALTER TABLE beacon_page_views RENAME TO elsewhere"); err != nil {
			t.Fatal(err)
		}
		temporary("without a table", s.Consume(ctx, events))
		if n := len(storedEvents(t, db)); n != 0 {
			t.Errorf("%d events without their page views", n)
		}
		if _, err := db.Exec("ALTER TABLE elsewhere RENAME TO beacon_page_views"); err != nil {
			t.Fatal(err)
		}

		if err := s.Healthy(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Consume(ctx, events); err != nil {
			t.Error(err)
		}
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections in use", n)
		}
		if _, err := db.Exec("DROP TABLE beacon_meta"); err != nil {
			t.Fatal(err)
		}
		if err := s.Healthy(ctx); err == nil {
			t.Error("healthy without its tables")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		temporary("a closed database", s.Consume(ctx, events))
		if err := s.Healthy(ctx); err == nil {
			t.Error("healthy without a database")
		}
	})
}

// TestLocked: a call that cannot go on ends with its context, leaves no transaction
// behind, and stores all when it comes again.
func TestLocked(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		events := reports(10)
		other, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		exec := func(statement string) {
			t.Helper()
			if _, err := other.ExecContext(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}
		switch d {
		case store.SQLite:
			exec("BEGIN IMMEDIATE")
		default:
			if err := s.Consume(context.Background(), events[:5]); err != nil {
				t.Fatal(err)
			}
			exec("BEGIN")
			exec("UPDATE beacon_page_views SET heard = heard + 1")
		}
		for _, wait := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			err := s.Consume(ctx, events)
			cancel()
			if err == nil || beacon.IsPermanent(err) {
				t.Errorf("after %v: %v", wait, err)
			}
		}
		done := make(chan error)
		go func() { done <- s.Consume(context.Background(), events) }()
		time.Sleep(50 * time.Millisecond)
		exec("COMMIT")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(storedViews(t, db)); n != len(events) {
			t.Errorf("%d page views", n)
		}
		if n := db.Stats().InUse; n != 1 {
			t.Errorf("%d connections in use", n)
		}
	})
}

// TestDeadlock: another transaction has what this one waits for, and waits for what this
// one has. The database ends this one, and it is tried again.
func TestDeadlock(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			db := stores.DB(t, d)
			var seen atomic.Int64
			s := open(t, db, d, store.Options{Permanent: func(err error) (bool, bool) {
				if strings.Contains(strings.ToLower(err.Error()), "deadlock") {
					seen.Add(1)
				}
				return false, false
			}})
			events := reports(2)
			ctx := context.Background()
			if err := s.Consume(ctx, events); err != nil {
				t.Fatal(err)
			}
			other, err := db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			exec := func(statement string) {
				t.Helper()
				if _, err := other.ExecContext(ctx, statement); err != nil {
					t.Fatal(err)
				}
			}
			if d == store.PostgreSQL {
				exec("SET deadlock_timeout = '1h'") // so that it is not this one that looks for it
			} else {
				// The one that has written less is ended.
				exec("CREATE TABLE weight (n INT)")
			}
			exec("BEGIN")
			if d == store.MySQL {
				exec("INSERT INTO weight VALUES (1)" + strings.Repeat(", (1)", 1000))
			}
			exec("UPDATE beacon_page_views SET heard = heard WHERE session = 's0001'")
			if d == store.MySQL {
				exec("SELECT * FROM beacon_page_views WHERE session = 's0001' FOR UPDATE")
			}
			events = reports(2)
			for i := range events {
				events[i].Seq, events[i].ID = 2, events[i].ID+"again"
			}
			done := make(chan error)
			go func() { done <- s.Consume(ctx, events) }()
			// It has the first page view when it waits for the second.
			await(t, func() bool { return waiting(t, db, d) > 0 })
			exec("UPDATE beacon_page_views SET heard = heard + 1 WHERE session = 's0000'")
			exec("COMMIT")
			if err := <-done; err != nil {
				t.Error(err)
			}
			if seen.Load() == 0 {
				t.Error("there was no deadlock")
			}
			for _, v := range storedViews(t, db) {
				if v.Seq != 2 {
					t.Errorf("%s has the report %d", v.Session, v.Seq)
				}
			}
		})
	}
}

// waiting returns how many transactions wait for a lock.
func waiting(t *testing.T, db *sql.DB, d store.Dialect) (n int) {
	t.Helper()
	query := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	if d == store.MySQL {
		time.Sleep(150 * time.Millisecond) // what is asked for again within 100 ms stays as it was
		query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
	}
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing happens")
		}
	}
}

// TestSerializable: with the strictest isolation as the default of the database, writers
// of the same page views come in each other's way, and go on.
func TestSerializable(t *testing.T) {
	db := stores.DB(t, store.PostgreSQL)
	var name string
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("ALTER DATABASE " + name + " SET default_transaction_isolation = 'serializable'"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", stores.ServerOf(t, store.PostgreSQL).DSN(name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var seen atomic.Int64
	s := open(t, db, store.PostgreSQL, store.Options{Permanent: func(err error) (bool, bool) {
		if strings.Contains(err.Error(), "40001") {
			seen.Add(1)
		}
		return false, false
	}})
	r := rand.New(rand.NewPCG(1, 13))
	var events []beacon.Event
	var wg sync.WaitGroup
	for w := range 8 {
		for round := range 20 {
			var batch []beacon.Event
			for i := range 20 {
				batch = append(batch, tied(r, fmt.Sprintf("%d-%d-%d", w, round, i)))
			}
			events = append(events, batch...)
			wg.Go(func() {
				for err := s.Consume(context.Background(), batch); err != nil; err = s.Consume(context.Background(), batch) {
					if beacon.IsPermanent(err) {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	if seen.Load() == 0 {
		t.Error("nobody was in the way")
	}
	sameAsJoined(t, db, events)
}
