package stores_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// A rig is two receivers of this process that write to one database, under load.
type rig struct {
	t         *testing.T
	jobs      []job
	receivers []*receiver
	load      *load
}

func newRig(t *testing.T, j job) *rig {
	t.Helper()
	g := &rig{t: t}
	var addrs []string
	for i := range 2 {
		j := j
		j.Dir += fmt.Sprint(i)
		r, addr := j.serve(t)
		g.jobs, g.receivers, addrs = append(g.jobs, j), append(g.receivers, r), append(addrs, addr)
	}
	g.load = begin(t, 16, func() []string { return addrs })
	return g
}

// settle ends the load, and checks what became of it all.
func (g *rig) settle(dead func(id string) bool) {
	g.t.Helper()
	g.load.halt()
	begun := time.Now()
	flush(g.t, g.receivers...)
	g.t.Logf("all delivered %v after the load; the store saw %v", time.Since(begun).Round(time.Millisecond), g.errors())
	check(g.t, g.load, dead, g.jobs...)
}

// seen returns how many errors the stores saw with one of these texts.
func (g *rig) seen(texts ...string) (n int) {
	for _, r := range g.receivers {
		n += r.seen(texts...)
	}
	return n
}

// errors returns what the stores saw, briefly.
func (g *rig) errors() map[string]int {
	all := map[string]int{}
	for _, r := range g.receivers {
		r.mu.Lock()
		for text, n := range r.errors {
			all[text[:min(len(text), 70)]] += n
		}
		r.mu.Unlock()
	}
	return all
}

// delivered returns how many events the stores have taken.
func (g *rig) delivered() (n uint64) {
	for _, r := range g.receivers {
		n += r.spool.Stats().Delivered
	}
	return n
}

// goesOn waits until events are stored again.
func (g *rig) goesOn(what string, within time.Duration) {
	g.t.Helper()
	begun, before := time.Now(), g.delivered()
	waitUntil(g.t, within, what+": events are stored again", func() bool { return g.delivered() > before+50 })
	g.t.Logf("%s: stored again after %v", what, time.Since(begun).Round(time.Millisecond))
}

// failures returns how many calls of the stores failed.
func (g *rig) failures() (n uint64) {
	for _, r := range g.receivers {
		n += r.spool.Stats().SinkErrors
	}
	return n
}

// run runs statements on a connection beside those of the receivers.
func (j job) run(t *testing.T, statements ...string) {
	t.Helper()
	db, err := sql.Open(j.Driver, cmp.Or(j.Direct, j.DSN))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		for end := time.Now().Add(20 * time.Second); err != nil && strings.Contains(err.Error(), "SQLITE_BUSY") && time.Now().Before(end); {
			_, err = db.Exec(s)
		}
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// drain delivers what spools still have, and closes them.
func drain(t *testing.T, jobs ...job) {
	t.Helper()
	for _, j := range jobs {
		r, err := j.open(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		flush(t, r)
		if err := r.close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// flush waits until receivers have nothing left to deliver.
func flush(t *testing.T, receivers ...*receiver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, r := range receivers {
		for r.spool.Stats().Pending > 0 {
			if err := r.spool.Flush(ctx); err != nil {
				t.Fatalf("%v: %+v", err, r.spool.Stats())
			}
		}
	}
}

// check compares what a load was acknowledged with what the database has: every event,
// once; each page view as its reports say together, and not twice; the sessions of
// these. dead are the events that the spools of these jobs may have buried.
func check(t *testing.T, l *load, dead func(id string) bool, jobs ...job) {
	t.Helper()
	db, err := sql.Open(jobs[0].Driver, cmp.Or(jobs[0].Direct, jobs[0].DSN))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	events := storedEvents(t, db)
	l.mu.Lock() // it may have been halted, and need not
	defer l.mu.Unlock()

	seen := map[string]int{}
	var few samples
	for i := range events {
		id := events[i].ID
		if seen[id]++; seen[id] > 1 {
			few.add(t, "event %s is there %d times", id, seen[id])
		}
		if l.events[id] == 0 {
			few.add(t, "event %s was never sent", id)
		}
	}
	buried := 0
	for _, j := range jobs {
		for id, why := range deadLetters(t, j.Dir) {
			buried++
			if seen[id]++; dead == nil || !dead(id) {
				few.add(t, "event %s was buried: %s", id, why)
			}
		}
	}
	lost := 0
	for id, f := range l.events {
		if f == acked && seen[id] == 0 {
			lost++
			few.add(t, "event %s was acknowledged and is lost", id)
		}
	}
	t.Logf("%d events acknowledged, %d stored, %d lost, %d buried; %d requests broken, answers%v", l.acked, len(events), lost, buried, l.broken.Load(), l.statuses())
	if l.acked == 0 {
		t.Error("nothing was acknowledged, so nothing is proven")
	}
	checkTables(t, db, events)
	checkSessions(t, db, jobs[0].Dialect)
}

// checkTables compares the page views and the attributes with the events.
func checkTables(t *testing.T, db *sql.DB, events []beacon.Event) {
	t.Helper()
	type key struct{ session, view string }
	joined := map[key]beacon.PageView{}
	var attrs []string
	for _, e := range events {
		for name, value := range e.Attrs {
			attrs = append(attrs, name+"="+value+" "+e.ID)
		}
		v, ok := sessions.Source{}.PageView(e)
		if !ok {
			t.Errorf("event %s tells of no page view", e.ID)
			continue
		}
		k := key{v.Session, v.View}
		if old, ok := joined[k]; ok {
			v = old.Join(v)
		}
		joined[k] = v
	}
	var few samples
	views := storedViews(t, db)
	for _, v := range views {
		if diff := gocmp.Diff(joined[key{v.Session, v.View}], v); diff != "" {
			few.add(t, "page view %s is not what its events say (-want +got):\n%s", v.View, diff)
		}
		// What was counted twice would not be of the last report.
		if n := time.Duration(v.Seq); v.Engaged != n*time.Second || v.Visible != n*1500*time.Millisecond || v.Logged > reportsPerView {
			few.add(t, "page view %s: after %d reports engaged %v, visible %v, logged %d", v.View, v.Seq, v.Engaged, v.Visible, v.Logged)
		}
		delete(joined, key{v.Session, v.View})
	}
	for k := range joined {
		few.add(t, "page view %s is not there", k.view)
	}
	got := storedAttrs(t, db)
	slices.Sort(attrs)
	slices.Sort(got)
	if diff := gocmp.Diff(attrs, got); diff != "" {
		t.Errorf("%d attributes instead of %d", len(got), len(attrs))
	}
	t.Logf("%d page views", len(views))
}

// checkSessions compares the sessions that the database derives with those of its page
// views.
func checkSessions(t *testing.T, db *sql.DB, d store.Dialect) {
	t.Helper()
	want := sessions.Of(storedViews(t, db), sessions.Rules{})
	got, err := open(t, db, d, store.Options{}).Sessions(context.Background(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b sessions.Session) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(want, func(a, b sessions.Session) int { return strings.Compare(a.ID, b.ID) })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%d sessions are not the %d of the page views (-want +got):\n%.3000s", len(got), len(want), diff)
	}
	t.Logf("%d sessions", len(got))
}

func storedAttrs(t *testing.T, db *sql.DB) (all []string) {
	t.Helper()
	rows, err := db.Query("SELECT DISTINCT name, value, id FROM beacon_attrs")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value, id string
		if err := rows.Scan(&name, &value, &id); err != nil {
			t.Fatal(err)
		}
		all = append(all, name+"="+value+" "+id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// deadLetters returns why the events of a spool were buried, by ID.
func deadLetters(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r, err := range spool.Read(dir) {
		switch {
		case err != nil:
			t.Error(err)
		case r.State == spool.StateDead:
			all[r.Event.ID] = r.Why
		case r.State == spool.StateDamaged && !strings.Contains(fmt.Sprint(r.Err), "torn"):
			t.Logf("damaged: %v", r.Err)
		}
	}
	return all
}

// samples fails a test, and is brief about it.
type samples int

func (n *samples) add(t *testing.T, format string, args ...any) {
	t.Helper()
	if *n++; *n <= 5 {
		t.Errorf(format, args...)
	}
}
