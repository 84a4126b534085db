package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/pagebeacon/beacon/internal/clickhouse"
)

// ClickHouseOptions say where the server is.
type ClickHouseOptions struct {
	// URL of its HTTP interface, such as http://clickhouse:8123. What it has of a user,
	// a password and a database counts where the fields below are empty; none of it is in
	// an error.
	URL string

	// Database is where the tables are, and has to be there. The default is that of the
	// user. User and Password go in headers.
	Database, User, Password string

	// Client makes the requests; it is not to end them before the context does. The
	// default is one of its own.
	Client *http.Client

	// Settings of ClickHouse that go with each insert, such as insert_quorum where there
	// are replicas. Those are refused with which an answer would not mean that the rows are
	// stored.
	Settings map[string]string

	Options
}

// A clickHouse is the engine of a server that has neither transactions nor keys: rows are
// added, and those that are one are merged at some time, so what reads joins again.
type clickHouse struct {
	*Store
	client   *clickhouse.Client
	settings map[string]string // of inserts, as the host wants them

	erasing chan struct{} // holds one value while something is erased, which is much work

	erase   map[string]string // settings of mutations
	reasons bool              // are known of mutations that fail
}

// needed are the settings without which an answer to an insert does not mean that all of
// it is stored, for those servers that know them, whatever their defaults are.
var needed = map[string]string{
	"async_insert": "0", "wait_for_async_insert": "1",
	"insert_distributed_sync": "1", "distributed_foreground_insert": "1",

	// A table with replicas lets pass what it has had before, and no view behind it sees
	// that then: not even one that failed, for which it was sent again.
	"insert_deduplicate":               "0",
	"materialized_views_ignore_errors": "0",
}

// OpenClickHouse returns a Store over the HTTP interface of ClickHouse, from version
// 18.16 on, of which the tables are made or brought up to date. It has all of the methods,
// and their results are those of the other databases.
//
// Several processes may open the same tables at once, and tables that are there already
// are left as they are: who has replicas makes them beforehand, with the engines
// Replicated…MergeTree in place of …MergeTree. See ClickHouse in the documentation of the
// package for what is different.
func OpenClickHouse(ctx context.Context, o ClickHouseOptions) (*Store, error) {
	client, err := clickhouse.New(clickhouse.Options{
		URL: o.URL, HTTP: o.Client, Database: o.Database, User: o.User, Password: o.Password,
	})
	if err != nil {
		return nil, fmt.Errorf("store: ClickHouseOptions: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if is, ok := o.Settings[name]; ok && is != needed[name] {
			return nil, fmt.Errorf("store: ClickHouseOptions.Settings: %s is %q and has to be %s: else an insert might be answered before its rows are stored, or without",
				name, is, needed[name])
		}
	}
	s, err := newStore(client.DB(), ClickHouse, o.Options)
	if err != nil {
		return nil, err
	}
	s.engine = &clickHouse{Store: s, client: client, settings: maps.Clone(o.Settings), erasing: make(chan struct{}, 1)}
	if err := s.start(ctx); err != nil {
		s.db.Close()
		return nil, err
	}
	// It has a goroutine, and nothing to keep open.
	runtime.AddCleanup(s, func(db *sql.DB) { db.Close() }, s.db)
	return s, nil
}

// inspect looks at what the server knows, and takes care that it does not answer an insert
// before it has the rows, whatever its defaults are.
func (c *clickHouse) inspect(ctx context.Context) error {
	known := map[string]bool{}
	names := func(query string) error {
		return c.each(ctx, ask(query), func(r *sql.Rows) error {
			var name string
			err := r.Scan(&name)
			known[name] = true
			return err
		})
	}
	if err := names("SELECT name FROM system.settings"); err != nil {
		return err
	}
	settings := maps.Clone(needed)
	settings["max_partitions_per_insert_block"] = "0" // of a table that the host has made
	settings["input_format_values_interpret_expressions"] = "0"
	maps.DeleteFunc(settings, func(name, _ string) bool { return !known[name] })
	if known["distributed_foreground_insert"] { // the newer name of the same
		delete(settings, "insert_distributed_sync")
	}
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		if !known[name] {
			return fmt.Errorf("the server does not know the setting %s", name)
		}
		settings[name] = c.settings[name]
	}
	c.client.SetInsert(settings)
	c.erase = map[string]string{
		"mutations_sync":                   "2", // wait for them, on all replicas
		"allow_nondeterministic_mutations": "1", // those that ask other tables, where there are replicas
	}
	maps.DeleteFunc(c.erase, func(name, _ string) bool { return !known[name] })
	clear(known)
	if err := names("SELECT name FROM system.columns WHERE database = 'system' AND table = 'mutations'"); err != nil {
		return err
	}
	c.reasons = known["latest_fail_reason"]
	if !known["is_done"] {
		return errors.New("the server has no mutations, so nothing could be erased")
	}
	return nil
}

// ask is a question to ClickHouse.
func ask(text string, args ...any) *question {
	q := &question{d: ClickHouse}
	q.add(text, args...)
	return q
}
