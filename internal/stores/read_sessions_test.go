package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// TestSessionsAreOf: what the database makes of page views is what sessions.Of makes of
// them, in every field. The page views are such that whatever can be equal often is:
// starts, ends, gaps, and the multiples of the longest session.
func TestSessionsAreOf(t *testing.T) {
	rules := []sessions.Rules{
		{Gap: 3 * time.Microsecond, Max: 10 * time.Microsecond},
		{Gap: 5 * time.Microsecond, Max: 5 * time.Microsecond},
		{Gap: time.Microsecond, Max: 100 * time.Microsecond},
		{},
	}
	r := rand.New(rand.NewPCG(1, 11))
	var views []beacon.PageView
	for n := range 1500 {
		views = append(views, tight(r, fmt.Sprintf("s%d", n))...)
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		put(t, db, views)
		stored, err := s.PageViews(context.Background(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(stored) != len(views) {
			t.Errorf("%d page views, want %d", len(stored), len(views))
		}
		for _, rules := range rules {
			s := open(t, db, d, store.Options{Rules: rules})
			want := sessions.Of(views, rules)
			same(t, fmt.Sprint("view, ", rules), viewSessions(t, db), want, views)
			same(t, fmt.Sprint("page views as stored, ", rules), sessions.Of(stored, rules), want, views)
			got, err := s.Sessions(context.Background(), store.Query{})
			if err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprint("method, ", rules), got, want, views)
		}
	})
}

// TestSessionsOfVisits: the same for visits as browsers tell of them, from their events.
func TestSessionsOfVisits(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 11))
	var events []beacon.Event
	for n := range size(t, 1000) {
		events = append(events, visits.Mangle(r, visits.Random(r, fmt.Sprintf("v%d", n)))...)
	}
	var views []beacon.PageView
	for _, e := range events {
		if v, ok := (sessions.Source{}).PageView(e); ok {
			views = append(views, v)
		}
	}
	want := sessions.Of(views, sessions.Rules{})
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		for part := range slices.Chunk(slices.Clone(events), 2000) {
			if err := s.Consume(context.Background(), part); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Sessions(context.Background(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "method", got, want, views)
		same(t, "view", viewSessions(t, db), want, views)
	})
}

// size is n, or BEACON_VISITS.
func size(t testing.TB, n int) int {
	if text := os.Getenv("BEACON_VISITS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestSessionsOfCases: the visits that have a name, each in the numbers that are expected.
func TestSessionsOfCases(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		for _, c := range visits.Cases() {
			t.Run(c.Name, func(t *testing.T) {
				stores.Empty(t, db)
				if err := s.Consume(context.Background(), slices.Clone(c.Events)); err != nil {
					t.Fatal(err)
				}
				got, err := s.Sessions(context.Background(), store.Query{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.Want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	})
}

// epoch is when the tight page views are.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)

// tight returns page views of one key within microseconds.
func tight(r *rand.Rand, key string) []beacon.PageView {
	if r.IntN(10) == 0 {
		key = ""
	}
	pages := []string{"", "/", "/a", "/ä", "/B", "/a "}
	at := func(n int) time.Time { return epoch.Add(time.Duration(r.IntN(n)) * time.Microsecond) }
	var views []beacon.PageView
	for n := range 1 + r.IntN(9) {
		v := beacon.PageView{
			Session: key, View: fmt.Sprintf("%c%d", 'a'+rune(r.IntN(26)), n), Page: pages[r.IntN(len(pages))],
			Referrer: pages[r.IntN(len(pages))], Start: at(40), Seq: uint64(r.IntN(3)), Logged: uint64(r.IntN(3)),
		}
		if key == "" {
			v.View = fmt.Sprintf("%s-%d", v.View, r.Uint64())
		}
		v.End = v.Start.Add(time.Duration([]int{0, 0, 1, 2, 3, 5, 10, 11, 25}[r.IntN(9)]) * time.Microsecond)
		v.Engaged = time.Duration(r.IntN(6)) * time.Microsecond
		v.Visible = time.Duration(r.IntN(3)) * time.Microsecond
		if r.IntN(3) == 0 {
			v.HasOffset, v.Offset = true, time.Duration(r.IntN(7)-3)*time.Microsecond
		}
		if r.IntN(200) == 0 { // years off
			v.HasOffset, v.Offset = true, time.Duration(r.IntN(3)-1)*100*365*24*time.Hour
		}
		v.Crashed = r.IntN(8) == 0
		switch r.IntN(8) {
		case 0, 1:
			v.Unseen = true
		case 2:
			v.Activity, v.End = true, v.Start
		case 3:
			if r.IntN(3) == 0 {
				v.Start, v.End = time.Time{}, time.Time{}
			}
		}
		views = append(views, v)
	}
	return views
}

// put stores page views, which are heard of when they end.
func put(t testing.TB, db *sql.DB, views []beacon.PageView) {
	t.Helper()
	putAt(t, db, views, func(v beacon.PageView) time.Time { return v.End.Add(v.Offset) })
}

// putAt stores page views, which are heard of in their order.
func putAt(t testing.TB, db *sql.DB, views []beacon.PageView, heard func(beacon.PageView) time.Time) {
	t.Helper()
	for part := range slices.Chunk(views, 500) {
		var b strings.Builder
		into := "beacon_page_views"
		if stores.IsClickHouse(db) {
			into += "_in"
		}
		b.WriteString("INSERT INTO " + into + ` (session, view, page, referrer, name, started, ended, visible, engaged, unseen, seq,
			clock_offset, logged, crashed, activity, heard) VALUES `)
		number := func(n int64, ok bool) string {
			if !ok {
				return "NULL"
			}
			return fmt.Sprint(n)
		}
		flag := map[bool]int{true: 1}
		for i, v := range part {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "('%s', '%s', '%s', '%s', '%s', %s, %s, %d, %d, %d, %d, %s, %d, %d, %d, %d)", v.Session, v.View, v.Page, v.Referrer, v.Name,
				number(v.Start.UnixMicro(), !v.Start.IsZero()), number(v.End.UnixMicro(), !v.End.IsZero()),
				v.Visible.Microseconds(), v.Engaged.Microseconds(), flag[v.Unseen], v.Seq,
				number(v.Offset.Microseconds(), v.HasOffset), v.Logged, flag[v.Crashed], flag[v.Activity], heard(v).UnixMicro())
		}
		if _, err := db.Exec(b.String()); err != nil {
			t.Fatal(err)
		}
	}
}

// viewSessions returns what the view of the sessions has.
func viewSessions(t testing.TB, db *sql.DB) (all []sessions.Session) {
	t.Helper()
	times := "started, ended"
	if stores.IsClickHouse(db) { // whose own have no parts of a second
		times = "started_us, ended_us"
	}
	rows, err := db.Query("SELECT session, id, " + times + ", elapsed, engaged, views, entry_page, exit_page, referrer, attached, logged," +
		" crashed, was_cut, incomplete, client_clock FROM beacon_sessions")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	at := func(v any) time.Time {
		switch v := v.(type) {
		case time.Time:
			return v.UTC()
		case int64:
			return time.UnixMicro(v).UTC()
		case []byte:
			return inUTC(t, string(v))
		case string:
			return inUTC(t, v)
		}
		t.Fatalf("a time is %T", v)
		return time.Time{}
	}
	for rows.Next() {
		var x sessions.Session
		var started, ended any
		var elapsed, engaged float64
		if err := rows.Scan(&x.Key, &x.ID, &started, &ended, &elapsed, &engaged, &x.Views, &x.Entry, &x.Exit, &x.Referrer, &x.Attached, &x.Logged,
			&x.Crashed, &x.Cut, &x.Incomplete, &x.ClientClock); err != nil {
			t.Fatal(err)
		}
		x.Start, x.End, x.Engaged = at(started), at(ended), time.Duration(math.Round(engaged*1e6))*time.Microsecond
		if got := time.Duration(math.Round(elapsed*1e6)) * time.Microsecond; got != x.Elapsed() {
			t.Fatalf("session %s: elapsed is %v, from %v to %v", x.ID, got, x.Start, x.End)
		}
		all = append(all, x)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b sessions.Session) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

func inUTC(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05.000000", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// same compares sessions, and tells of the first key that differs.
func same(t testing.TB, what string, got, want []sessions.Session, views []beacon.PageView) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s: no sessions to compare", what)
	}
	for i := range max(len(got), len(want)) {
		if i < len(got) && i < len(want) && got[i] == want[i] {
			continue
		}
		key := ""
		if i < len(want) {
			key = want[i].Key
		} else {
			key = got[i].Key
		}
		of := func(all []sessions.Session) (mine []sessions.Session) {
			for _, s := range all {
				if s.Key == key {
					mine = append(mine, s)
				}
			}
			return mine
		}
		t.Errorf("%s: %d sessions, want %d; of %q: -want +got\n%s", what, len(got), len(want), key, cmp.Diff(of(want), of(got)))
		for _, v := range views {
			if v.Session == key || v.Session == "" && v.View == key {
				t.Logf("%+v", v)
			}
		}
		return
	}
}
