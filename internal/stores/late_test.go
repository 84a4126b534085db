package stores_test

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// openLate is the start of docs/durability.md, which does not need the database.
func openLate(db *sql.DB, dir string) (*spool.Spool, error) {
	var visits *store.Store
	late := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) (err error) {
		if visits == nil { // a spool makes one call at a time
			if visits, err = store.Open(ctx, db, store.PostgreSQL, store.Options{}); err != nil {
				return err // it calls again
			}
		}
		return visits.Consume(ctx, events)
	})
	events, err := spool.Open(dir, late, spool.Options{LockWait: time.Minute, Logger: slog.Default()})
	return events, err
}

// TestStartWithoutDatabase: what is kept before the database was ever there is in it when
// it is.
func TestStartWithoutDatabase(t *testing.T) {
	server, err := stores.StartPostgreSQL()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := store.Open(ctx, db, store.PostgreSQL, store.Options{}); err == nil {
		t.Fatal("the store opens without its database, and nothing of this is needed")
	}
	events, err := openLate(db, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := events.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	want := documented()
	if err := events.Consume(ctx, want); err != nil {
		t.Fatal(err)
	}
	for events.Stats().SinkErrors < 2 { // it was tried, and is tried again
		if ctx.Err() != nil {
			t.Fatal("nothing was tried")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := events.Healthy(ctx); err != nil {
		t.Errorf("not ready while only the database is away: %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := events.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	got := 0
	if err := db.QueryRow("SELECT COUNT(*) FROM beacon_events").Scan(&got); err != nil || got != len(want) {
		t.Errorf("%d of %d events are there: %v", got, len(want), err)
	}
}
