package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// From a page to a database, with a spool in between. The driver is the host's: import
// github.com/jackc/pgx/v5/stdlib for this one. examples/sqlite is a whole program.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(10)
	stored, err := store.Open(ctx, db, store.PostgreSQL, store.Options{
		Prefix: "shop_", // of the tables
		Rules:  sessions.Rules{Gap: 20 * time.Minute},
	})
	if err != nil {
		log.Fatal(err)
	}
	events, err := spool.Open("/var/lib/app/beacons", stored, spool.Options{LockWait: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.ScriptTag(client.Tag{})) // in the head of each page; serve h.Middleware(mux)
}

// How long people were here in the last seven days, day by day, and on which pages.
func ExampleStore_Days() {
	ctx := context.Background()
	var stored *store.Store // of Open
	week := store.Query{From: time.Now().AddDate(0, 0, -7)}
	days, err := stored.Days(ctx, week, time.Local)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range days {
		fmt.Println(d.Date.Format(time.DateOnly), d.Sessions, "visits, half of them engaged for more than", d.MedianEngaged)
	}
	pages, err := stored.Pages(ctx, week)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range pages {
		fmt.Println(p.Page, p.Views, "views in", p.Sessions, "visits,", p.MedianEngaged)
	}
}

// A visitor asks what there is, and to be forgotten; everything else goes after a year.
func ExampleStore_Forget() {
	ctx := context.Background()
	var stored *store.Store // of Open
	const session = "the visitor's"
	_, err := stored.Export(ctx, os.Stdout, store.Query{Session: session})
	_, forgetErr := stored.Forget(ctx, session)
	_, pruneErr := stored.Prune(ctx, time.Now().AddDate(-1, 0, 0))
	if err := errors.Join(err, forgetErr, pruneErr); err != nil {
		log.Fatal(err)
	}
}

// Time that calls take, and what failed for now, come before a backlog in the spool.
func ExampleStats() {
	var stored *store.Store // of Open
	var s store.Stats = stored.Stats()
	fmt.Println(s.Stored, "stored,", s.Failed, "failed for now,", s.Refused, "for good; last at", s.LastStored)
}

// ClickHouse takes large batches, which the spool makes of many requests.
func ExampleOpenClickHouse() {
	stored, err := store.OpenClickHouse(context.Background(), store.ClickHouseOptions{
		URL:      "http://clickhouse:8123",
		Database: "site", User: "beacons", Password: os.Getenv("CLICKHOUSE_PASSWORD"),
		Settings: map[string]string{"insert_quorum": "2"}, // where there are replicas
	})
	if err != nil {
		log.Fatal(err)
	}
	events, err := spool.Open("/var/lib/app/beacons", stored, spool.Options{BatchEvents: 10_000, BatchBytes: 16 << 20})
	if err != nil {
		log.Fatal(err)
	}
	_ = beacon.Config{Sink: events}
}

// A program that takes the kind of its database from a setting.
func ExampleDialect() {
	dialects := map[string]store.Dialect{}
	for _, d := range []store.Dialect{store.PostgreSQL, store.SQLite, store.MySQL} {
		dialects[d.String()] = d
	}
	d, ok := dialects["SQLite"]
	fmt.Println(d, ok)
	// Output: SQLite true
}
