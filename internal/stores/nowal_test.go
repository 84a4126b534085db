package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// withoutLog returns a SQLite database as it is without any settings: who commits and who
// reads turn each other down, at once.
func withoutLog(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestMigrateBesideReader: a migration that cannot be committed, for somebody reads, leaves
// no transaction open on a connection that others get.
func TestMigrateBesideReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beacon.db")
	db := withoutLog(t, path)
	open(t, db, store.SQLite, store.Options{})
	reader, err := withoutLog(t, path).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	var n int
	if err := reader.QueryRow("SELECT COUNT(*) FROM beacon_events").Scan(&n); err != nil {
		t.Fatal(err)
	}
	other := store.Options{Rules: sessions.Rules{Gap: time.Minute}}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := store.Open(ctx, db, store.SQLite, other); err == nil {
		t.Error("a view was made while somebody read")
	}
	opened := make(chan error)
	var s *store.Store
	go func() {
		var err error
		s, err = store.Open(context.Background(), db, store.SQLite, other)
		opened <- err
	}()
	time.Sleep(50 * time.Millisecond) // for some, it has begun to wait
	if err := reader.Rollback(); err != nil {
		t.Error(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Consume(context.Background(), reports(5)); err != nil {
			t.Error(err)
		}
	}
}

// TestReadBesideWriter: who reads waits for who commits.
func TestReadBesideWriter(t *testing.T) {
	db := withoutLog(t, filepath.Join(t.TempDir(), "beacon.db"))
	s := open(t, db, store.SQLite, store.Options{})
	ctx := context.Background()
	if err := s.Consume(ctx, reports(5)); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func() error{
		func() error { return s.Healthy(ctx) },
		func() error {
			got, err := s.Sessions(ctx, store.Query{})
			if err == nil && len(got) != 5 {
				err = fmt.Errorf("%d sessions", len(got))
			}
			return err
		},
		func() error {
			n := 0
			for _, err := range s.Events(ctx, store.Query{}) {
				if n++; err != nil {
					return err
				}
			}
			if n != 5 {
				return fmt.Errorf("%d events", n)
			}
			return nil
		},
	} {
		writer, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil { // as while it commits
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- read() }()
		select {
		case err := <-done:
			t.Fatalf("beside a writer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := writer.ExecContext(ctx, "COMMIT"); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		writer.Close()
	}
}
