package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// A StoreSpec says how a process gets to the store.
type StoreSpec struct {
	Kind        string // "postgresql", "clickhouse" or "sqlite"; empty is none, which takes all
	Driver, DSN string
}

// open opens it, as soon as it can be. With a logger it says why it cannot.
func (s StoreSpec) open(ctx context.Context, logger *slog.Logger) (*store.Store, error) {
	for {
		st, err := s.try(ctx)
		if err == nil || ctx.Err() != nil {
			return st, err
		}
		if logger == nil {
			return nil, err
		}
		logger.Error("the store cannot be opened", "error", err)
		sleep(ctx, 100*time.Millisecond)
	}
}

func (s StoreSpec) try(ctx context.Context) (*store.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if s.Kind == "clickhouse" {
		return store.OpenClickHouse(ctx, store.ClickHouseOptions{URL: s.DSN})
	}
	dialect := store.PostgreSQL
	if s.Kind == "sqlite" {
		dialect = store.SQLite
	}
	db, err := sql.Open(s.Driver, s.DSN)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	st, err := store.Open(ctx, db, dialect, store.Options{})
	if err != nil {
		db.Close()
	}
	return st, err
}

// A database is a server that is this test's alone, and may be killed.
type database struct {
	spec   StoreSpec
	server *stores.Server // nil if there is none
	count  *sql.DB
}

func startDatabase(kind, dir string) (d *database, err error) {
	d = &database{spec: StoreSpec{Kind: kind}}
	switch kind {
	case "postgresql":
		if d.server, err = stores.StartPostgreSQL(); err != nil {
			return nil, err
		}
		d.spec.Driver, d.spec.DSN = "pgx", d.server.DSN("postgres")
	case "clickhouse":
		if d.server, err = stores.StartClickHouse(); err != nil {
			return nil, err
		}
		d.spec.Driver, d.spec.DSN = "clickhouse", d.server.DSN("default")
	case "sqlite":
		d.spec.Driver, d.spec.DSN = "sqlite", "file:"+filepath.Join(dir, "beacon.db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(100)"
	default:
		return nil, fmt.Errorf("no database: %s", kind)
	}
	if d.count, err = sql.Open(d.spec.Driver, d.spec.DSN); err != nil {
		return d, err
	}
	st, err := d.spec.open(context.Background(), nil) // so that the tables are there
	if err != nil {
		return d, err
	}
	return d, st.Healthy(context.Background())
}

// stored returns how many events there are.
func (d *database) stored(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	question := "SELECT count(*) FROM beacon_events"
	if d.spec.Kind == "clickhouse" { // where twins are until a merge
		question = "SELECT uniqExact(id) FROM beacon_events"
	}
	err = d.count.QueryRowContext(ctx, question).Scan(&n)
	return n, err
}

// disturb kills the server, and starts it again.
func (d *database) disturb(ctx context.Context, away time.Duration) error {
	if err := d.server.Kill(); err != nil {
		return err
	}
	sleep(ctx, away)
	err := d.server.Start()
	if err == nil || !d.server.Running() {
		return err
	}
	// With millions of rows, on a busy machine, it takes longer than it is given.
	return poll("the database", d.count.PingContext)
}

func (d *database) end() {
	if d.count != nil {
		d.count.Close()
	}
	if d.server != nil {
		_ = d.server.Stop() // it was ended in worse ways
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
