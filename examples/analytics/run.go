package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// run serves the site until ctx ends.
func run(ctx context.Context, addr, data, dsn, password string) (err error) {
	db, dialect, err := openDB(data, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	var a analytics
	now, err := live.New(live.Options{Title: "Live", Stats: func() beacon.Stats { return a.beacons.Stats() }, Checks: []live.Check{
		{
			Name:    "Spool",
			Healthy: func(ctx context.Context) error { return a.events.Healthy(ctx) },
			Stats:   func() any { return a.events.Stats() },
		},
		{Name: "Database", Healthy: func(ctx context.Context) error { return a.stored.Healthy(ctx) }},
	}})
	if err != nil {
		return err
	}
	a, err = open(ctx, db, dialect, filepath.Join(data, "spool"), beacon.Config{OnRefused: now.Refused, Logger: slog.Default()},
		spool.Options{MaxBytes: 256 << 20, Logger: slog.Default()}, now)
	if a.events != nil {
		defer func() { err = errors.Join(err, bounded(a.events.Close)) }() // delivers what the database takes
	}
	if errors.Is(err, spool.ErrLocked) {
		return fmt.Errorf("another program keeps its data in %s: give this one a directory with -data", data)
	}
	if err != nil {
		return err
	}

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if password == "" {
		password = rand.Text()
		log.Printf("For /live/ log in as %q with the password %q", user, password)
	}
	fmt.Printf("Listening on http://%s/\n", ln.Addr())
	return serve(ctx, ln, a, routes(a, now, password))
}

// openDB opens the database that dsn names, or else a file in the directory data, where
// the spool is in any case.
func openDB(data, dsn string) (*sql.DB, store.Dialect, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, 0, err
	}
	if dsn == "" {
		file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(filepath.Join(data, "beacon.db"))}).EscapedPath()}
		// WAL, so that readers go on while there is a writer. A commit waits for the
		// disk, as it does by default.
		file.RawQuery = "_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)"
		db, err := sql.Open("sqlite", file.String())
		return db, store.SQLite, err
	}
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return nil, 0, errors.New("-dsn has to begin with postgres://")
	}
	db, err := sql.Open("pgx", dsn)
	if err == nil {
		db.SetMaxOpenConns(10)
	}
	return db, store.PostgreSQL, err
}

// serve serves h on ln until ctx ends. What stands behind is closed afterwards.
func serve(ctx context.Context, ln net.Listener, a analytics, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if bounded(srv.Shutdown) != nil {
		// What is left are mostly connections that browsers opened ahead of need.
		_ = srv.Close()
	}
	return bounded(a.beacons.Shutdown) // from here on the spool gets nothing more
}

// bounded gives an orderly end no longer than it deserves.
func bounded(end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return end(ctx)
}
