package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// Whatever the order, the batches, the repetitions and the number of writers, the
// database has what Join makes of all.

// randomVisits is of each database, of three. The race detector looks at the same code
// with fewer.
func randomVisits() int {
	if raceEnabled {
		return 700
	}
	return 7_000
}

func TestJoin(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		r := rand.New(rand.NewPCG(uint64(d), 11))
		var events []beacon.Event
		n := randomVisits()
		if d == store.ClickHouse { // in which a small batch costs as much as a large one
			n /= 5
		}
		for i := range n {
			id := fmt.Sprintf("v%d", i)
			events = append(events, visits.Mangle(r, visits.Random(r, id))...)
		}
		writeAll(t, db, d, r, events)
		sameAsJoined(t, db, events)
		if d == store.ClickHouse { // which may not have merged all of it
			before := viewsHash(t, db)
			stores.Merge(t, db)
			if after := viewsHash(t, db); after != before {
				t.Errorf("the hash of the page views was %s, and is %s when all is merged", before, after)
			}
			sameAsJoined(t, db, events)
		}
	})
}

// viewsHash is one of all page views with all of their columns, as ClickHouse makes it.
func viewsHash(t *testing.T, db *sql.DB) (hash string) {
	t.Helper()
	err := db.QueryRow(`SELECT toString(groupBitXor(cityHash64(session, view, page, referrer, name, ifNull(started, -1), ifNull(ended, -1), visible, engaged,
		unseen, seq, ifNull(clock_offset, -1), logged, crashed, activity, heard))) FROM beacon_page_views`).Scan(&hash)
	if err != nil || hash == "0" {
		t.Fatal(hash, err)
	}
	return hash
}

// TestJoinTies is TestJoin with few page views and few values: nearly every report has
// the Seq of another that says something else, and every writer is in the way of others.
func TestJoinTies(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		r := rand.New(rand.NewPCG(uint64(d), 12))
		rounds := 5
		if d == store.ClickHouse {
			rounds = 2
		}
		for round := range rounds {
			var events []beacon.Event
			for i := range 1_000 {
				events = append(events, tied(r, fmt.Sprintf("r%d-%d", round, i)))
			}
			if round > 0 {
				stores.Empty(t, db)
			}
			writeAll(t, db, d, r, events)
			sameAsJoined(t, db, events)
		}
	})
}

// tied is a report in which everything is one of few.
func tied(r *rand.Rand, id string) beacon.Event {
	texts := []string{"", "a", "A", "a ", "ä", "\u00e9", "e\u0301", "b", "\U0001F600", "a\x00", "a\xff"}
	text := func() string { return texts[r.IntN(len(texts))] }
	at := time.UnixMicro(1_700_000_000_000_000 + r.Int64N(3))
	e := beacon.Event{
		ID: id, Name: "session", Received: at.Add(time.Duration(r.Int64N(3)) * time.Second), Page: text(),
		Session: text(), View: []string{"1", "2"}[r.IntN(2)], Series: "session", Seq: uint64(r.IntN(3)), Mode: beacon.ModeReplace,
	}
	e.Time = e.Received
	if r.IntN(3) > 0 {
		e.Sent = at.Add(time.Duration(r.Int64N(3)-1) * time.Microsecond)
	}
	switch r.IntN(8) {
	case 0: // which has no start
		e.Name, e.Series, e.Mode = "log", "log", beacon.ModeAppend
		e.Body = beacon.JSON(`{"msg":"x"}`)
	case 1: // which is activity
		e.View, e.Name, e.Body = "", "", beacon.Report{Type: []string{"crash", "csp-violation"}[r.IntN(2)]}
	default:
		start := 1_700_000_000_000 + r.IntN(3)
		var body strings.Builder
		body.WriteString(fmt.Sprintf(`{"start":%d,"end":%d`, start, start+r.IntN(3)))
		for _, name := range []string{"engaged", "seen"} {
			if r.IntN(3) > 0 {
				body.WriteString(fmt.Sprintf(`,%q:%d`, name, r.IntN(3)))
			}
		}
		for _, name := range []string{"ref", "name"} {
			if r.IntN(3) > 0 {
				body.WriteString(fmt.Sprintf(`,%q:%q`, name, strings.ToValidUTF8(strings.ReplaceAll(text(), "\x00", ""), "?")))
			}
		}
		e.Body = beacon.JSON(body.String() + "}")
	}
	return e
}

// writeAll writes events in batches of all sizes, some of them twice, by one to eight
// writers at once, each with a Store of its own.
func writeAll(t *testing.T, db *sql.DB, d store.Dialect, r *rand.Rand, events []beacon.Event) {
	t.Helper()
	events = slices.Clone(events)
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	var batches [][]beacon.Event
	for rest := events; len(rest) > 0; {
		n := min(len(rest), []int{1, 20, 400, 1500}[r.IntN(4)])
		batches = append(batches, rest[:n])
		if r.IntN(10) == 0 {
			batches = append(batches, rest[:n])
		}
		rest = rest[n:]
	}
	r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	next := make(chan []beacon.Event)
	var wg sync.WaitGroup
	for range 1 + r.IntN(8) {
		s := open(t, db, d, store.Options{})
		wg.Go(func() {
			for batch := range next {
				// A conflict that lasts is for the caller to repeat, as a spool does.
				for err := s.Consume(context.Background(), batch); err != nil; err = s.Consume(context.Background(), batch) {
					if beacon.IsPermanent(err) {
						t.Error(err)
						break
					}
					t.Log(err)
				}
			}
		})
	}
	for _, batch := range batches {
		next <- batch
	}
	close(next)
	wg.Wait()
}

// sameAsJoined compares what is stored with what Join makes of the events.
func sameAsJoined(t *testing.T, db *sql.DB, events []beacon.Event) {
	t.Helper()
	type key struct{ session, view string }
	joined := map[key]beacon.PageView{}
	heard := map[key]int64{}
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.ID] = true
		v, ok := sessions.Source{}.PageView(e)
		if !ok {
			continue
		}
		v = asStored(v)
		k := key{v.Session, v.View}
		if has, ok := joined[k]; ok {
			v = has.Join(v)
		}
		joined[k] = v
		heard[k] = max(heard[k], e.Received.UnixMicro())
	}
	want := make([]beacon.PageView, 0, len(joined))
	for _, v := range joined {
		want = append(want, v)
	}
	slices.SortFunc(want, func(a, b beacon.PageView) int {
		if c := strings.Compare(a.Session, b.Session); c != 0 {
			return c
		}
		return strings.Compare(a.View, b.View)
	})
	got := storedViews(t, db)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d page views of %d; (-want +got)\n%s", len(got), len(want), diff[:min(len(diff), 2000)])
	}
	rows, err := db.Query("SELECT session, view, heard FROM beacon_page_views")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var at int64
		if err := rows.Scan(&k.session, &k.view, &at); err != nil {
			t.Fatal(err)
		}
		if at != heard[k] {
			t.Errorf("%q was heard of at %d, want %d", k, at, heard[k])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, e := range storedEvents(t, db) {
		delete(ids, e.ID)
	}
	if len(ids) > 0 {
		t.Errorf("%d events are not there", len(ids))
	}
}

// asStored returns v with what the documentation of the package says of texts.
func asStored(v beacon.PageView) beacon.PageView {
	v.Session, v.View = storedKey(v.Session), storedKey(v.View)
	for _, text := range []*string{&v.Page, &v.Referrer, &v.Name} {
		*text = storedText(*text, 2048)
	}
	return v
}

// TestJoinFirst: what was not known before is known then, also if nothing else is new.
func TestJoinFirst(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		at := time.UnixMilli(1_700_000_000_000).UTC()
		message := beacon.Event{
			ID: "1", Name: "log", Time: at, Received: at, Session: "s", View: "v", Series: "log", Seq: 1, Mode: beacon.ModeAppend,
			Body: beacon.JSON(`{"msg":"x"}`),
		}
		report := beacon.Event{ID: "2", Name: "session", Time: at, Received: at, Session: "s", View: "v", Body: beacon.JSON(`{"start":1700000000000}`)}
		sent := report
		sent.ID, sent.Sent = "3", at
		var all []beacon.Event
		for _, e := range []beacon.Event{message, report, sent} {
			all = append(all, e)
			if err := s.Consume(context.Background(), []beacon.Event{e}); err != nil {
				t.Fatal(err)
			}
			sameAsJoined(t, db, all)
		}
	})
}
