// Package stores runs what package store is tested on: PostgreSQL, MariaDB and
// ClickHouse in temporary directories, and SQLite in files. And it holds those tests.
//
// It needs Linux, and PostgreSQL 15, MariaDB 10.11 and ClickHouse 18.16 as Debian installs
// them. What is
// missing fails the tests.
package stores

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/pagebeacon/beacon/store"
)

// Dialects are those of database/sql.
var Dialects = []store.Dialect{store.PostgreSQL, store.SQLite, store.MySQL}

// The servers of this process, each started when it is first needed.
var (
	postgres = sync.OnceValues(func() (*Server, error) { return StartPostgreSQL() })
	mariadb  = sync.OnceValues(func() (*Server, error) { return StartMariaDB() })
	house    = sync.OnceValues(func() (*Server, error) { return StartClickHouse() })

	mu      sync.Mutex
	running []*Server
	names   atomic.Int64
)

// Run runs the tests of a package that uses [DB], and then stops what that has started.
func Run(m *testing.M) (code int) {
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range running {
			if err := s.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}()
	return m.Run()
}

// Each runs a test on an empty database of each kind.
func Each(t *testing.T, test func(t *testing.T, db *sql.DB, d store.Dialect)) {
	for _, d := range Dialects {
		t.Run(d.String(), func(t *testing.T) { test(t, DB(t, d), d) })
	}
}

// All runs a test on an empty database of each kind, of which ClickHouse is one.
func All(t *testing.T, test func(t *testing.T, db *sql.DB, d store.Dialect)) {
	Each(t, test)
	t.Run(store.ClickHouse.String(), func(t *testing.T) { test(t, DB(t, store.ClickHouse), store.ClickHouse) })
}

// Merge makes ClickHouse merge what is one row, for tests that count those, and does
// nothing to other databases.
func Merge(t testing.TB, db *sql.DB) {
	t.Helper()
	if !IsClickHouse(db) {
		return
	}
	for _, table := range []string{"events", "event_ids", "page_views_state", "attrs"} {
		if _, err := db.Exec("OPTIMIZE TABLE beacon_" + table + " FINAL"); err != nil {
			t.Fatal(err)
		}
	}
}

// Empty erases what is in the tables with the default prefix.
func Empty(t testing.TB, db *sql.DB) {
	t.Helper()
	erase, tables := "DELETE FROM beacon_", []string{"events", "page_views", "attrs"}
	if IsClickHouse(db) {
		erase, tables = "TRUNCATE TABLE beacon_", []string{"events", "event_ids", "page_views_state", "attrs"}
	}
	for _, table := range tables {
		if _, err := db.Exec(erase + table); err != nil {
			t.Fatal(err)
		}
	}
}

// DB returns an empty database, which ends with the test. SQLite's is a file with a
// write-ahead log.
func DB(t testing.TB, d store.Dialect) *sql.DB {
	t.Helper()
	driver, dsn := DSN(t, d)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// ServerOf returns the server of [DB], or nil for SQLite, which has none.
func ServerOf(t testing.TB, d store.Dialect) *Server {
	t.Helper()
	start := postgres
	switch d {
	case store.SQLite:
		return nil
	case store.MySQL:
		start = mariadb
	case store.ClickHouse:
		start = house
	}
	server, err := start()
	if err != nil {
		t.Fatalf("%v does not start: %v", d, err)
	}
	return server
}

// DSN makes an empty database, and returns how sql.Open opens it: for tests that need
// several of them, or in other processes.
func DSN(t testing.TB, d store.Dialect) (driver, dsn string) {
	t.Helper()
	if d == store.SQLite {
		return "sqlite", "file:" + filepath.Join(t.TempDir(), "beacon.db") + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(100)"
	}
	server := ServerOf(t, d)
	name := fmt.Sprintf("test%d", names.Add(1))
	if err := server.exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop := "DROP DATABASE " + name
		if d == store.PostgreSQL {
			drop += " WITH (FORCE)"
		}
		if err := server.exec(drop); err != nil {
			t.Error(err)
		}
	})
	return server.driver, server.DSN(name)
}
