package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/pagebeacon/beacon/store"
)

// A database is where the events get to in the end.
type database struct {
	*sql.DB
	dialect store.Dialect
	name    string
	end     func() error // takes away what was made for this run
}

// errNoPostgreSQL says that there is none to be started.
var errNoPostgreSQL = errors.New("no PostgreSQL here")

// openDatabase opens the PostgreSQL that DATABASE_URL names, or else starts one if it is
// installed, or else uses a file in dir. kind asks for one of them.
func openDatabase(ctx context.Context, kind, dir string) (*database, error) {
	switch kind {
	case "", "postgresql":
		d, err := openPostgreSQL(ctx)
		if kind != "" || !errors.Is(err, errNoPostgreSQL) {
			return d, err
		}
	case "sqlite":
	default:
		return nil, fmt.Errorf("-db is %q, and should be postgresql or sqlite", kind)
	}
	d, err := openSQLite(dir)
	if err == nil && kind == "" {
		d.name += ", as there is no PostgreSQL"
	}
	return d, err
}

func openSQLite(dir string) (*database, error) {
	file := "file:" + filepath.ToSlash(filepath.Join(dir, "beacon.db")) + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)"
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	return &database{DB: db, dialect: store.SQLite, name: "SQLite", end: db.Close}, nil
}

// openPostgreSQL makes a schema of its own, so that nothing else in that database is
// touched.
func openPostgreSQL(ctx context.Context) (*database, error) {
	name, stop := "PostgreSQL of DATABASE_URL", func() error { return nil }
	dsn := os.Getenv("DATABASE_URL")
	if dsn == "" {
		var err error
		if dsn, stop, err = startPostgreSQL(ctx); err != nil {
			return nil, err
		}
		name = "PostgreSQL, started for this"
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	schema := "fleet_" + strings.ToLower(rand.Text())
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(10)
	d := &database{DB: db, dialect: store.PostgreSQL, end: func() error {
		_, err := db.Exec("DROP SCHEMA IF EXISTS " + schema + " CASCADE")
		return errors.Join(err, db.Close(), stop())
	}}
	_, err = db.ExecContext(ctx, "CREATE SCHEMA "+schema)
	var version string
	err = cmp.Or(err, db.QueryRowContext(ctx, "SHOW server_version").Scan(&version))
	if err != nil {
		return nil, errors.Join(err, d.end())
	}
	d.name = name + ": version " + version
	return d, nil
}
