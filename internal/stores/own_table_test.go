package stores_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// An added is what the page says by beacon.log("add-to-cart", {sku: "A-1", qty: 2}).
type added struct {
	Msg string `json:"msg"`
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// cartsOf is a table of the host's own, of some events.
func cartsOf(db *sql.DB) beacon.Sink {
	carts := sink.ByName(map[string]beacon.Sink{"log": beacon.On(func(ctx context.Context, e beacon.Event, a added) error {
		if a.Msg != "add-to-cart" {
			return nil
		}
		_, err := db.ExecContext(ctx, `INSERT INTO my_adds VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, e.ID, e.Session, a.SKU, a.Qty)
		return err
	})}, nil)
	return carts
}

// TestOwnTable: a table of the host's own stands beside the store's, behind one spool. While
// one of them fails both get the events again, and each is in both tables once.
func TestOwnTable(t *testing.T) {
	db := stores.DB(t, store.SQLite)
	stored, err := store.Open(t.Context(), db, store.SQLite, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	carts, dir := cartsOf(db), t.TempDir()
	events, err := spool.Open(dir, sink.Tee(sink.Required(stored), sink.Required(carts)), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []beacon.Event{
		{ID: "1", Name: "log", Session: "anna", Body: beacon.JSON(`{"msg": "add-to-cart", "sku": "A-1", "qty": 2}`)},
		{ID: "2", Name: "log", Session: "anna", Body: beacon.JSON(`{"msg": "seen"}`)},
		{ID: "3", Name: "session", Session: "anna", Body: beacon.JSON(`{"start": 1, "end": 2}`)},
	} {
		e.Received = time.Now()
		e.Time = e.Received
		if err := events.Consume(t.Context(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for events.Stats().SinkErrors == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := events.Stats().SinkErrors; n == 0 {
		t.Fatal("a table that is not there did not fail")
	}
	if _, err := db.Exec(`CREATE TABLE my_adds (id TEXT PRIMARY KEY, session TEXT, sku TEXT, qty INTEGER)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := errors.Join(events.Flush(ctx), events.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	var rows, qty int
	if err := db.QueryRow(`SELECT COUNT(*), SUM(qty) FROM my_adds WHERE sku = 'A-1'`).Scan(&rows, &qty); err != nil || rows != 1 || qty != 2 {
		t.Errorf("%d rows, of %d pieces, %v", rows, qty, err)
	}
	if n, _, _ := counts(t, db); n != 3 {
		t.Errorf("%d events in the store", n)
	}

	// What the store forgets and prunes is its own.
	if _, err := stored.Forget(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(`SELECT COUNT(*) FROM my_adds`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
