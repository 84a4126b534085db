package stores_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/store"
)

// someEvents returns events of visits, and odd ones: many at one time, large, hostile.
func someEvents(r *rand.Rand) (events []beacon.Event) {
	for n := range 60 {
		events = append(events, visits.Random(r, fmt.Sprintf("v%d", n))...)
	}
	at := epoch
	for n := range 300 {
		events = append(events, beacon.Event{
			ID: fmt.Sprintf("same time %03d", n), Name: "tick", Page: "/ticks", Time: at, Received: at, Session: "ticking",
			Body: beacon.JSON(fmt.Sprintf(`{"n": %d}`, n)), Attrs: map[string]string{"tenant": fmt.Sprint(n % 2)},
		})
	}
	for n := range 3 {
		events = append(events, beacon.Event{
			ID: fmt.Sprintf("large %d", n), Name: "large", Time: at.Add(time.Duration(n)), Received: at,
			Body: beacon.Text(strings.Repeat("large\n\x00", 200_000)),
		})
	}
	for n, text := range []string{"\x00", "\xff\xfe", "\xed\xa0\x80", "a ", "a", "A", "é", "e\u0301", "'; --", strings.Repeat("x", 5000)} {
		events = append(events, beacon.Event{
			ID: "hostile " + text, Name: text, Page: text, Session: text, View: text, Time: at.Add(time.Duration(n) * time.Microsecond), Received: at,
			Body: beacon.Form{{Name: text, Value: text}}, Query: beacon.Form{{Name: text, Value: text}}, Attrs: map[string]string{"hostile": text},
		})
	}
	// Some of them are told twice, in different words: the first counts.
	seen := map[string]bool{}
	return slices.DeleteFunc(events, func(e beacon.Event) bool {
		was := seen[e.ID]
		seen[e.ID] = true
		return was
	})
}

// inOrder sorts events as they are read.
func inOrder(events []beacon.Event) []beacon.Event {
	events = slices.Clone(events)
	us := func(e beacon.Event) time.Time { return e.Received.Truncate(time.Microsecond) }
	slices.SortFunc(events, func(a, b beacon.Event) int { return cmp.Or(us(a).Compare(us(b)), strings.Compare(a.ID, b.ID)) })
	return events
}

// TestEvents: events come back as they were put in, each once and in order, whatever part
// of them is asked for.
func TestEvents(t *testing.T) {
	ctx := context.Background()
	events := someEvents(rand.New(rand.NewPCG(5, 11)))
	hostile := func(e beacon.Event) bool { return strings.HasPrefix(e.ID, "hostile") }
	ordered := inOrder(slices.DeleteFunc(slices.Clone(events), hostile))
	mid := ordered[len(ordered)/2].Received
	tests := map[string]struct {
		q    store.Query
		want func(beacon.Event) bool
	}{
		"all":       {store.Query{}, func(beacon.Event) bool { return true }},
		"from":      {store.Query{From: mid}, func(e beacon.Event) bool { return !e.Received.Before(mid) }},
		"to":        {store.Query{To: mid}, func(e beacon.Event) bool { return e.Received.Before(mid) }},
		"one time":  {store.Query{From: epoch, To: epoch.Add(time.Microsecond)}, func(e beacon.Event) bool { return e.Received.Truncate(time.Microsecond).Equal(epoch) }},
		"name":      {store.Query{Name: "tick"}, func(e beacon.Event) bool { return e.Name == "tick" }},
		"page":      {store.Query{Page: "/ticks"}, func(e beacon.Event) bool { return e.Page == "/ticks" }},
		"session":   {store.Query{Session: "v7"}, func(e beacon.Event) bool { return e.Session == "v7" }},
		"nothing":   {store.Query{Session: "v"}, func(e beacon.Event) bool { return false }},
		"page name": {store.Query{Page: "/ticks", Name: "tock"}, func(e beacon.Event) bool { return false }},
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		db.SetMaxOpenConns(1) // so a loop that held a connection could not ask
		s := open(t, db, d, store.Options{})
		for part := range slices.Chunk(slices.Clone(events), 100) {
			if err := s.Consume(ctx, part); err != nil {
				t.Fatal(err)
			}
		}
		for name, test := range tests {
			want := slices.DeleteFunc(slices.Clone(ordered), func(e beacon.Event) bool { return !test.want(e) })
			variants := []store.Query{{}, {Newest: true, Limit: 37}}
			if name == "all" {
				variants = append(variants, store.Query{Newest: true}, store.Query{Limit: 370})
			}
			for _, q := range variants {
				q.From, q.To, q.Session, q.Page, q.Name = test.q.From, test.q.To, test.q.Session, test.q.Page, test.q.Name
				if q.Newest {
					want := slices.Clone(want)
					slices.Reverse(want)
					readEvents(t, s, name, q, want, hostile)
					continue
				}
				readEvents(t, s, name, q, want, hostile)
			}
		}
		for _, e := range events {
			if !hostile(e) {
				continue
			}
			n := 0
			for got, err := range s.Events(ctx, store.Query{Session: e.Session, Name: e.Name}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; got.ID != e.ID && e.Session != "\xff\xfe" && e.Session != "\xed\xa0\x80" {
					t.Errorf("session %.20q: got event %.30q", e.Session, got.ID)
				}
			}
			if n != 1 {
				t.Errorf("session %.20q has %d events", e.Session, n)
			}
		}
		broken := fmt.Errorf("stop")
		for range s.Events(ctx, store.Query{}) {
			if err := s.Healthy(ctx); err != nil { // with the only connection
				t.Fatal(err)
			}
			broken = nil
			break
		}
		if broken != nil {
			t.Error("no events")
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		for _, err := range s.Events(ended, store.Query{}) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("after the end of the context: %v", err)
			}
			broken = err
		}
		if broken == nil {
			t.Error("the end of the context is no error")
		}
	})
}

func readEvents(t *testing.T, s *store.Store, name string, q store.Query, want []beacon.Event, not func(beacon.Event) bool) {
	t.Helper()
	var got []beacon.Event
	for e, err := range s.Events(context.Background(), q) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !not(e) {
			got = append(got, e)
		}
	}
	if q.Limit > 0 {
		want = want[:min(len(want), q.Limit)]
		got = got[:min(len(got), len(want))] // hostile ones took the place of some
		want = want[:len(got)]
	}
	if diff := gocmp.Diff(ids(want), ids(got)); diff != "" {
		t.Errorf("%s, %+v: -want +got\n%.1500s", name, q, diff)
		return
	}
	for i := range got {
		if diff := gocmp.Diff(mustJSON(t, want[i]), mustJSON(t, got[i])); diff != "" {
			t.Fatalf("%s: -want +got\n%.1500s", name, diff)
		}
	}
}

func ids(events []beacon.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.ID)
	}
	return all
}

func mustJSON(t *testing.T, e beacon.Event) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExport: a line is exactly what is stored, and what was put in.
func TestExport(t *testing.T) {
	ctx := context.Background()
	events := someEvents(rand.New(rand.NewPCG(6, 11)))
	want := map[string]string{}
	for _, e := range events {
		want[mustJSON(t, e)] = e.ID
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		for part := range slices.Chunk(slices.Clone(events), 100) {
			if err := s.Consume(ctx, part); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		n, err := s.Export(ctx, &out, store.Query{})
		if err != nil || n != int64(len(want)) {
			t.Errorf("%d lines, %v; want %d", n, err, len(want))
		}
		lines := 0
		for scanner := bufio.NewReader(&out); ; lines++ {
			line, err := scanner.ReadString('\n')
			if err != nil {
				break
			}
			if _, ok := want[strings.TrimSuffix(line, "\n")]; !ok {
				t.Fatalf("this was not put in: %.300s", line)
			}
			var e beacon.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || mustJSON(t, e)+"\n" != line {
				t.Fatalf("%v: %.300s", err, line)
			}
		}
		if lines != len(want) {
			t.Errorf("%d lines, want %d", lines, len(want))
		}
		full := &fullWriter{room: 100_000}
		if n, err = s.Export(ctx, full, store.Query{}); !errors.Is(err, errFull) || n == 0 || n >= int64(len(want)) {
			t.Errorf("to a full disk: %d lines, %v", n, err)
		}
	})
}

var errFull = errors.New("full")

type fullWriter struct{ room int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestQueryMistakes: what makes no sense is an error, not an empty answer.
func TestQueryMistakes(t *testing.T) {
	ctx := context.Background()
	s := open(t, stores.DB(t, store.SQLite), store.SQLite, store.Options{})
	for _, q := range []store.Query{{Limit: -1}, {Late: -1}, {From: epoch, To: epoch.Add(-1)}} {
		_, sessionsErr := s.Sessions(ctx, q)
		_, viewsErr := s.PageViews(ctx, q)
		_, pagesErr := s.Pages(ctx, q)
		_, daysErr := s.Days(ctx, q, nil)
		_, exportErr := s.Export(ctx, &bytes.Buffer{}, q)
		var eventsErr error
		for _, err := range s.Events(ctx, q) {
			eventsErr = err
		}
		for n, err := range []error{sessionsErr, viewsErr, pagesErr, daysErr, exportErr, eventsErr} {
			if err == nil {
				t.Errorf("%+v: method %d takes it", q, n)
			}
		}
	}
}
