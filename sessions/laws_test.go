package sessions_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

// TestLaws: in whatever order events come, how often, and in how many parts, the
// sessions are the same, and no longer than they can be.
func TestLaws(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 2026))
	found := map[string]int{}
	many := 20_000
	if raced {
		many /= 10
	}
	for n := range many {
		events := visits.Random(r, strconv.Itoa(n))
		if n%100 == 0 { // several visitors at once
			for i := range 20 {
				events = append(events, visits.Random(r, strconv.Itoa(n)+"."+strconv.Itoa(i))...)
			}
		}
		views := pageViews(events)
		before := slices.Clone(views)
		want := sessions.Of(views, sessions.Rules{})
		if !slices.Equal(before, views) {
			t.Fatal("the page views are not as they were")
		}
		for i, s := range want {
			if s.Engaged < 0 || s.Engaged > s.Elapsed() || s.Elapsed() > 24*time.Hour || s.Views < 1 || s.ID == "" || s.Key == "" ||
				s.Start.Truncate(time.Microsecond) != s.Start || i > 0 && s.Start.Before(want[i-1].Start) {
				t.Fatalf("visit %d: %+v", n, s)
			}
			for _, f := range [...]struct {
				name string
				is   bool
			}{
				{"sessions", true}, {"several views", s.Views > 1}, {"attached", s.Attached > 0}, {"logged", s.Logged > 0}, {"crashed", s.Crashed}, {"cut", s.Cut},
				{"incomplete", s.Incomplete}, {"on the client's clock", s.ClientClock}, {"engaged", s.Engaged > 0}, {"without a session", s.ID == s.Key}, {"in a row", i > 0 && want[i-1].Key == s.Key},
			} {
				if f.is {
					found[f.name]++
				}
			}
		}
		same := func(how string, got []sessions.Session) {
			if !slices.Equal(got, want) {
				t.Fatalf("visit %d, %s (-want +got)\n%s", n, how, cmp.Diff(want, got))
			}
		}
		mangled := pageViews(visits.Mangle(r, events))
		same("mangled", sessions.Of(mangled, sessions.Rules{}))
		same("in parts", sessions.Of(inParts(r, mangled), sessions.Rules{}))
		if n%4 == 0 {
			same("naive", naive(views, sessions.Rules{}))
		}
	}
	t.Log(found)
	for name, least := range map[string]int{
		"sessions": 20_000, "several views": 5_000, "attached": 1_000, "logged": 2_000, "crashed": 200, "cut": 200,
		"incomplete": 500, "on the client's clock": 500, "engaged": 10_000, "without a session": 1_000, "in a row": 5_000,
	} {
		if found[name] < least*many/20_000 {
			t.Errorf("%s: %d of them: the visits prove little", name, found[name])
		}
	}
}

// inParts joins page views on up to five machines, some of them on two, and then what
// these have, in any order.
func inParts(r *rand.Rand, views []beacon.PageView) []beacon.PageView {
	type key struct{ session, view string }
	parts := make([]map[key]beacon.PageView, 1+r.IntN(5))
	for i := range parts {
		parts[i] = map[key]beacon.PageView{}
	}
	put := func(part int, v beacon.PageView) {
		k := key{v.Session, v.View}
		if have, ok := parts[part][k]; ok {
			v = have.Join(v)
		}
		parts[part][k] = v
	}
	for _, v := range views {
		put(r.IntN(len(parts)), v)
		if r.IntN(5) == 0 {
			put(r.IntN(len(parts)), v)
		}
	}
	var all []beacon.PageView
	for len(parts) > 1 && r.IntN(3) > 0 { // one machine hands over what it has
		last := len(parts) - 1
		for _, v := range parts[last] {
			put(r.IntN(last), v)
		}
		parts = parts[:last]
	}
	for _, part := range parts {
		for _, v := range part {
			all = append(all, v)
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
