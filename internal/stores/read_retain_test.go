package stores_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// counts is how many rows the tables have.
func counts(t *testing.T, db *sql.DB) (events, views, attrs int) {
	t.Helper()
	err := db.QueryRow(`SELECT (SELECT COUNT(*) FROM beacon_events), (SELECT COUNT(*) FROM beacon_page_views),
		(SELECT COUNT(*) FROM beacon_attrs)`).Scan(&events, &views, &attrs)
	if err != nil {
		t.Fatal(err)
	}
	return events, views, attrs
}

// visitors are n visits whose events have attributes, and one with no session whose
// events are told apart by nothing but their view, as a form of a page's own is.
func visitors(n int) (events []beacon.Event) {
	r := rand.New(rand.NewPCG(7, 11))
	seen := map[string]bool{}
	for i := range n {
		for k, e := range visits.Random(r, fmt.Sprintf("visitor%d", i)) {
			if seen[e.ID] || e.Session == "" {
				continue
			}
			seen[e.ID] = true
			if e.Attrs = map[string]string{"site": fmt.Sprint(i % 3)}; k > 0 {
				e.Attrs["user"] = fmt.Sprint(i) // who logs in has sent something before
			}
			events = append(events, e)
		}
	}
	for i := range 3 {
		at := epoch.Add(time.Duration(i) * time.Second)
		events = append(events, beacon.Event{ID: fmt.Sprintf("form%d", i), Time: at, Received: at, Attrs: map[string]string{"site": "0", "user": "form"},
			Body: beacon.Form{{Name: "start", Value: "1772600767000"}, {Name: "end", Value: fmt.Sprint(1772600767000 + i*1000)}}})
	}
	return events
}

func consume(t *testing.T, s *store.Store, events []beacon.Event) {
	t.Helper()
	for part := range slices.Chunk(slices.Clone(events), 1000) {
		if err := s.Consume(context.Background(), part); err != nil {
			t.Fatal(err)
		}
	}
}

// left checks that exactly those events are stored that are wanted, and that the
// sessions are those of a store that never had any others.
func left(t *testing.T, db *sql.DB, d store.Dialect, s *store.Store, want []beacon.Event) {
	t.Helper()
	ctx := context.Background()
	var got []string
	for e, err := range s.Events(ctx, store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	slices.Sort(got)
	wanted := ids(want)
	slices.Sort(wanted)
	if diff := gocmp.Diff(wanted, got); diff != "" {
		t.Fatalf("events: -want +got\n%.2000s", diff)
	}
	other := stores.DB(t, d)
	never := open(t, other, d, store.Options{})
	consume(t, never, want)
	e1, v1, a1 := counts(t, db)
	e2, v2, a2 := counts(t, other)
	if e1 != e2 || v1 != v2 || a1 != a2 {
		t.Errorf("%d events, %d page views, %d attributes; want %d, %d, %d", e1, v1, a1, e2, v2, a2)
	}
	have, err1 := s.PageViews(ctx, store.Query{})
	wish, err2 := never.PageViews(ctx, store.Query{})
	if diff := gocmp.Diff(wish, have); diff != "" || err1 != nil || err2 != nil {
		t.Errorf("page views: %v, %v, -want +got\n%.2000s", err1, err2, diff)
	}
}

// TestForget: nothing of a session is left, and all of the others is.
func TestForget(t *testing.T) {
	ctx := context.Background()
	all := visitors(40)
	// More than a chunk.
	for n := range 1200 {
		at := epoch.Add(time.Duration(n) * time.Millisecond)
		all = append(all, beacon.Event{ID: fmt.Sprintf("bot%d", n), Session: "bot", Time: at, Received: at, Body: beacon.Ping{To: "/"},
			Attrs: map[string]string{"user": "bot"}})
	}
	without := func(events []beacon.Event, is func(beacon.Event) bool) []beacon.Event {
		return slices.DeleteFunc(slices.Clone(events), is)
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		consume(t, s, all)
		events, views, _ := counts(t, db)

		rest := without(all, func(e beacon.Event) bool { return e.Session == "visitor7" || e.Session == "bot" })
		var erased int64
		for _, session := range []string{"visitor7", "bot", "nobody", ""} {
			n, err := s.Forget(ctx, session)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 != (session == "nobody" || session == "") {
				t.Errorf("session %q: %d rows", session, n)
			}
			erased += n
		}
		left(t, db, d, s, rest)
		if e, v, _ := counts(t, db); int64(events-e+views-v) != erased {
			t.Errorf("%d rows are said to be erased; %d events and %d page views are", erased, events-e, views-v)
		}

		// The lone page view of three events, of which none is told by its ID.
		lone, err := s.Sessions(ctx, store.Query{Session: "1772600767000"})
		if err != nil || len(lone) != 1 || lone[0].Elapsed() != 2*time.Second {
			t.Fatalf("%+v, %v", lone, err)
		}
		if n, err := s.Forget(ctx, lone[0].Key); err != nil || n != 4 {
			t.Errorf("%d rows, %v; want 3 events and 1 page view", n, err)
		}
		rest = without(rest, func(e beacon.Event) bool { return e.Session == "" })
		left(t, db, d, s, rest)

		// What comes later is there again.
		late := slices.DeleteFunc(slices.Clone(all), func(e beacon.Event) bool { return e.Session != "visitor7" })
		consume(t, s, late)
		left(t, db, d, s, append(slices.Clone(rest), late...))
	})
}

// TestForgetAttr: who has an attribute is forgotten with all that their sessions are, also
// with what came before it was known; the attributes of others stay.
func TestForgetAttr(t *testing.T) {
	ctx := context.Background()
	all := visitors(40)
	for n := range 1200 {
		at := epoch.Add(time.Duration(n) * time.Millisecond)
		all = append(all, beacon.Event{ID: fmt.Sprintf("single%d", n), Time: at, Received: at, Body: beacon.Empty{}, Attrs: map[string]string{"user": "single", "site": "7"}})
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		consume(t, s, all)
		var rest []beacon.Event
		gone := map[string]bool{}
		for _, e := range all {
			if e.Attrs["user"] == "7" || e.Attrs["site"] == "1" {
				gone[e.Session] = true
			}
		}
		for _, e := range all {
			if !gone[e.Session] && e.Attrs["user"] != "form" && e.Attrs["user"] != "single" {
				rest = append(rest, e)
			}
		}
		for _, of := range [][2]string{{"user", "7"}, {"site", "1"}, {"user", "form"}, {"user", "single"}} {
			if n, err := s.ForgetAttr(ctx, of[0], of[1]); err != nil || n == 0 {
				t.Fatalf("%v: %d, %v", of, n, err)
			}
		}
		for _, of := range [][2]string{{"user", "7"}, {"user", ""}, {"", ""}, {"7", "user"}} {
			if n, err := s.ForgetAttr(ctx, of[0], of[1]); err != nil || n != 0 {
				t.Errorf("%v: %d, %v", of, n, err)
			}
		}
		left(t, db, d, s, rest)
	})
}

// TestPrune: what was received before is gone and nothing else, while others write; a
// call that is stopped is gone on with by the next.
func TestPrune(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		ctx := context.Background()
		s := open(t, db, d, store.Options{})
		var all []beacon.Event
		for n := range 3000 {
			at := epoch.Add(time.Duration(n) * time.Second)
			all = append(all, beacon.Event{ID: fmt.Sprintf("e%d", n), Session: fmt.Sprintf("s%d", n%700), Time: at, Received: at,
				Body: beacon.Ping{To: "/"}, Attrs: map[string]string{"n": fmt.Sprint(n % 5)}})
		}
		consume(t, s, all[:2500])
		before := all[2000].Received

		ended, cancel := context.WithCancel(ctx)
		cancel()
		if n, err := s.Prune(ended, before); err == nil || n != 0 {
			t.Errorf("with a context that has ended: %d, %v", n, err)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for part := range slices.Chunk(slices.Clone(all[2500+w*125:2625+w*125]), 10) {
					if err := s.Consume(ctx, part); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var n int64
		var mu sync.Mutex
		for range 2 { // twice at once
			wg.Go(func() {
				erased, err := s.Prune(ctx, before)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				n += erased
			})
		}
		wg.Wait()
		if n != 2*2000 { // activity is a page view of its own
			t.Errorf("%d rows are said to be erased, want 2000 events and as many page views", n)
		}
		left(t, db, d, s, all[2000:])

		// A page view that was heard of since stays whole.
		at := before.Add(time.Hour)
		tab := func(n int) beacon.Event {
			received := at.Add(time.Duration(n) * time.Hour)
			return beacon.Event{ID: fmt.Sprintf("tab%d", n), Name: "session", Session: "tab", View: "tab", Series: "s", Mode: beacon.ModeReplace, Seq: uint64(n + 1),
				Time: received, Received: received, Body: beacon.JSON(fmt.Sprintf(`{"start": %d, "end": %d}`, at.UnixMilli(), received.UnixMilli()))}
		}
		consume(t, s, []beacon.Event{tab(0), tab(3)})
		if n, err := s.Prune(ctx, at.Add(time.Hour)); err != nil || n != 1000+1+1000 {
			t.Errorf("%d, %v", n, err)
		}
		got, err := s.Sessions(ctx, store.Query{})
		if err != nil || len(got) != 1 || got[0].Elapsed() != 3*time.Hour {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestForgetTogether: several that erase the same do not wait for what is gone already.
func TestForgetTogether(t *testing.T) {
	ctx := context.Background()
	var all []beacon.Event
	for n := range 2500 {
		all = append(all, beacon.Event{ID: fmt.Sprint(n), Session: "key", Time: epoch, Received: epoch, Body: beacon.Ping{To: "/"},
			Attrs: map[string]string{"user": "7"}})
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		for range 3 {
			consume(t, s, all)
			var wg sync.WaitGroup
			for _, erase := range []func() (int64, error){
				func() (int64, error) { return s.Forget(ctx, "key") },
				func() (int64, error) { return s.Forget(ctx, "key") },
				func() (int64, error) { return s.ForgetAttr(ctx, "user", "7") },
				func() (int64, error) { return s.Prune(ctx, epoch.Add(time.Hour)) },
			} {
				wg.Go(func() {
					if _, err := erase(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if events, views, attrs := counts(t, db); events+views+attrs != 0 {
				t.Errorf("%d events, %d page views, %d attributes are left", events, views, attrs)
			}
		}
	})
}

// TestKeysOfSessions: a session is found, and forgotten, by the Key that it has, also where
// no column could hold that of its events; and by that one.
func TestKeysOfSessions(t *testing.T) {
	ctx := context.Background()
	odd := "k\x00"
	var likeHashed string // what a visitor sends who has seen the key of another
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		find := func(key string, want int) (found []sessions.Session) {
			t.Helper()
			found, err := s.Sessions(ctx, store.Query{Session: key})
			n := 0
			for _, err := range s.Events(ctx, store.Query{Session: key}) {
				if n++; err != nil {
					t.Error(err)
				}
			}
			if err != nil || len(found) != want || n != want {
				t.Errorf("%.80q: %d sessions, %d events, %v; want %d", key, len(found), n, err, want)
			}
			return found
		}
		views := []heardView{}
		for _, key := range []string{odd, strings.Repeat("x", 300), "k\xff", "plain"} {
			views = append(views, heardView{PageView: beacon.PageView{Session: key, View: "v", Start: epoch, End: epoch}, heard: epoch})
		}
		views = append(views, heardView{PageView: beacon.PageView{View: strings.Repeat("y", 300), Start: epoch, End: epoch}, heard: epoch})
		consume(t, s, eventsOf(views))
		likeHashed = find(odd, 1)[0].Key
		views = append(views, heardView{PageView: beacon.PageView{Session: likeHashed, View: "v", Start: epoch, End: epoch}, heard: epoch})
		consume(t, s, eventsOf(views[5:]))
		find(odd, 1)
		for _, v := range views[1:5] {
			key := find(cmp.Or(v.Session, v.View), 1)[0].Key
			find(key, 1)
			if n, err := s.Forget(ctx, key); n != 2 || err != nil {
				t.Errorf("%.80q: %d rows, %v", key, n, err)
			}
			find(key, 0)
		}
		if n, err := s.Forget(ctx, odd); n != 2 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		if n, err := s.Forget(ctx, likeHashed); n != 2 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

// eventsOf are reports of page views, with an event for each.
func eventsOf(views []heardView) (events []beacon.Event) {
	for _, v := range views {
		e := beacon.Event{ID: v.Session + v.View, Name: "session", Session: v.Session, View: v.View, Page: v.Page, Series: "s", Mode: beacon.ModeReplace, Seq: 1,
			Time: v.Start, Received: v.heard, Body: beacon.JSON(fmt.Sprintf(`{"start": %d, "end": %d, "seen": 1000}`, v.Start.UnixMilli(), v.End.UnixMilli()))}
		if v.HasOffset {
			e.Sent = v.heard.Add(-v.Offset)
		}
		events = append(events, e)
	}
	return events
}
