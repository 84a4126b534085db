package stores_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

func open(t testing.TB, db *sql.DB, d store.Dialect, o store.Options) *store.Store {
	t.Helper()
	s, err := stores.Open(context.Background(), db, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// storedEvents returns the events of a database, from their lossless form.
func storedEvents(t testing.TB, db *sql.DB) []beacon.Event {
	t.Helper()
	if stores.IsClickHouse(db) { // of which a table has some of them twice
		var all []beacon.Event
		for e, err := range open(t, db, store.ClickHouse, store.Options{}).Events(context.Background(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		slices.SortFunc(all, func(a, b beacon.Event) int { return strings.Compare(storedKey(a.ID), storedKey(b.ID)) })
		return all
	}
	rows, err := db.Query("SELECT event FROM beacon_events ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []beacon.Event
	for rows.Next() {
		var text string
		var e beacon.Event
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		if err := e.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// storedViews returns the page views of a database.
func storedViews(t testing.TB, db *sql.DB) []beacon.PageView {
	t.Helper()
	rows, err := db.Query(`SELECT session, view, page, referrer, name, started, ended, visible, engaged, unseen, seq,
		clock_offset, logged, crashed, activity FROM beacon_page_views ORDER BY session, view`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []beacon.PageView
	for rows.Next() {
		var v beacon.PageView
		var started, ended, offset sql.NullInt64
		var visible, engaged int64
		err := rows.Scan(&v.Session, &v.View, &v.Page, &v.Referrer, &v.Name, &started, &ended, &visible, &engaged, &v.Unseen, &v.Seq,
			&offset, &v.Logged, &v.Crashed, &v.Activity)
		if err != nil {
			t.Fatal(err)
		}
		if started.Valid {
			v.Start = time.UnixMicro(started.Int64).UTC()
		}
		if ended.Valid {
			v.End = time.UnixMicro(ended.Int64).UTC()
		}
		v.Visible, v.Engaged = time.Duration(visible)*time.Microsecond, time.Duration(engaged)*time.Microsecond
		v.Offset, v.HasOffset = time.Duration(offset.Int64)*time.Microsecond, offset.Valid
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSink(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		n := 0
		err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
			n++
			if n > 1 {
				stores.Empty(t, db)
			}
			return open(t, db, d, store.Options{}), func() []beacon.Event { return storedEvents(t, db) }
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestTablesOnce(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		errs := make(chan error)
		for range 8 {
			go func() {
				_, err := stores.Open(context.Background(), db, d, store.Options{})
				errs <- err
			}()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		e := beacon.Event{ID: "1", Received: time.Unix(1, 0), Body: beacon.Empty{}}
		if err := open(t, db, d, store.Options{}).Consume(context.Background(), []beacon.Event{e}); err != nil {
			t.Error(err)
		}
		if got := len(storedEvents(t, db)); got != 1 {
			t.Errorf("%d events", got)
		}
	})
}
