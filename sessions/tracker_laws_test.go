package sessions_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

// long is a Linger by which nothing is ever late.
const long = 100 * 365 * 24 * time.Hour

// A reader keeps what it is told as a host would: by ID, the largest Number. It fails
// what is told against the rules.
type reader struct {
	t  testing.TB
	mu sync.Mutex

	last map[string]sessions.Revision
	told []sessions.Revision
}

func (r *reader) hear(_ context.Context, v sessions.Revision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]sessions.Revision{}
	}
	r.told = append(r.told, v)
	was, known := r.last[v.Session.ID]
	there := known && was.Kind != sessions.Withdrawn
	over := v.Reason != ""
	ok := v.Number > was.Number
	switch v.Kind {
	case sessions.Opened:
		ok = ok && !there && !over
	case sessions.Changed:
		ok = ok && there && was.Reason == "" && !over
	case sessions.Ended:
		ok = ok && there && was.Reason == "" && over
	case sessions.Revised:
		ok = ok && there && was.Reason != ""
	case sessions.Withdrawn:
		ok = ok && there && !over
	}
	if !ok {
		r.t.Errorf("told %+v\nafter %+v", v, was)
	}
	r.last[v.Session.ID] = v
}

// sessions returns what there is, by what was told.
func (r *reader) sessions() []sessions.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []sessions.Session
	for _, v := range r.last {
		if v.Kind != sessions.Withdrawn {
			all = append(all, v.Session)
		}
	}
	return all
}

// reasons returns why sessions ended, and that the others go on.
func (r *reader) reasons() map[string]sessions.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]sessions.Reason{}
	for id, v := range r.last {
		if v.Kind != sessions.Withdrawn {
			all[id] = v.Reason
		}
	}
	return all
}

// kinds returns the kinds of what was told, of one session or, without an ID, of all.
func (r *reader) kinds(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, v := range r.told {
		if id == "" || v.Session.ID == id {
			all = append(all, string(v.Kind))
		}
	}
	return strings.Join(all, " ")
}

func newTracker(t testing.TB, o sessions.TrackerOptions) *sessions.Tracker {
	t.Helper()
	tracker, err := sessions.NewTracker(o)
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

func consume(t testing.TB, tracker *sessions.Tracker, events ...beacon.Event) {
	t.Helper()
	if err := tracker.Consume(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// same fails a test if sessions are not the ones that are wanted, in any order.
func same(t *testing.T, what string, got, want []sessions.Session) {
	t.Helper()
	byID := func(all []sessions.Session) map[string]sessions.Session {
		m := map[string]sessions.Session{}
		for _, s := range all {
			m[s.ID] = s
		}
		return m
	}
	g, w := byID(got), byID(want)
	if len(g) != len(got) || len(w) != len(want) || !maps.Equal(g, w) {
		t.Fatalf("%s, %d sessions, not %d: %s", what, len(got), len(want), cmp.Diff(w, g))
	}
}

// lots is how many times a hundred visitors are looked at. With BEACON_VISITS it is so
// many visitors.
func lots() uint64 {
	n, err := strconv.ParseUint(os.Getenv("BEACON_VISITS"), 10, 64)
	if err != nil {
		n = 2000
	}
	return n / 100
}

func TestTrackerCases(t *testing.T) {
	for _, c := range visits.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			for seed := range uint64(20) {
				events := c.Events
				if seed > 0 {
					events = visits.Mangle(rand.New(rand.NewPCG(seed, 1)), events)
				}
				r := &reader{t: t}
				tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, Linger: long})
				for _, e := range events {
					consume(t, tracker, e)
					if seed%2 == 0 {
						if err := tracker.Flush(context.Background()); err != nil {
							t.Fatal(err)
						}
					}
				}
				same(t, fmt.Sprint("held, seed ", seed), tracker.Sessions(), c.Want)
				if err := tracker.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				same(t, fmt.Sprint("told, seed ", seed), r.sessions(), c.Want)
			}
		})
	}
}

// TestTrackerAnyOrder has one tracker hear of visits in an order and with repetitions of
// their own, from several goroutines.
func TestTrackerAnyOrder(t *testing.T) {
	t.Parallel()
	const visitors = 100
	for lot := range lots() {
		rnd := rand.New(rand.NewPCG(lot, 2))
		var events []beacon.Event
		for i := range visitors {
			events = append(events, visits.Random(rnd, fmt.Sprint(lot, ".", i))...)
		}
		want := sessions.Of(pageViews(events), sessions.Rules{})
		events = visits.Mangle(rnd, events)
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, Linger: long})
		var wg sync.WaitGroup
		for part := range 3 {
			wg.Go(func() {
				for i := part; i < len(events); i += 3 {
					_ = tracker.Consume(context.Background(), events[i:i+1])
					if i%50 == 0 {
						_ = tracker.Flush(context.Background())
					}
				}
			})
		}
		wg.Wait()
		same(t, fmt.Sprint("held, lot ", lot), tracker.Sessions(), want)
		if err := tracker.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprint("told, lot ", lot), r.sessions(), want)
	}
}

// TestTrackersOfAFleet has each visit told to 1 to 5 trackers, some of it to several, and
// joins what they hold.
func TestTrackersOfAFleet(t *testing.T) {
	t.Parallel()
	const visitors = 100
	for lot := range lots() {
		rnd := rand.New(rand.NewPCG(lot, 3))
		fleet := make([]*sessions.Tracker, 1+rnd.IntN(5))
		for i := range fleet {
			fleet[i] = newTracker(t, sessions.TrackerOptions{Linger: long})
		}
		var events []beacon.Event
		for i := range visitors {
			events = append(events, visits.Random(rnd, fmt.Sprint(lot, ".", i))...)
		}
		views := pageViews(events)
		for _, e := range visits.Mangle(rnd, events) {
			consume(t, fleet[rnd.IntN(len(fleet))], e)
		}
		var joined []beacon.PageView
		heard := map[string]bool{}
		for _, v := range views {
			key := v.Session
			if key == "" {
				key = v.View
			}
			if heard[key] {
				continue
			}
			heard[key] = true
			for _, tracker := range fleet {
				joined = append(joined, tracker.PageViews(key)...)
			}
		}
		rnd.Shuffle(len(joined), func(i, j int) { joined[i], joined[j] = joined[j], joined[i] })
		same(t, fmt.Sprint("lot ", lot), sessions.Of(joined, sessions.Rules{}), sessions.Of(views, sessions.Rules{}))
	}
}
