package sessions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

func TestRules(t *testing.T) {
	for _, c := range []struct {
		rules sessions.Rules
		wrong string
	}{
		{sessions.Rules{}, ""},
		{sessions.Rules{Gap: time.Microsecond, Max: time.Microsecond}, ""},
		{sessions.Rules{Gap: 24 * time.Hour}, ""},
		{sessions.Rules{Gap: 10 * time.Second, Max: time.Minute}, ""},
		{sessions.Rules{Gap: -1}, "Gap is -1ns"},
		{sessions.Rules{Gap: 999}, "Gap is 999ns"},
		{sessions.Rules{Max: -time.Hour}, "Max is -1h0m0s"},
		{sessions.Rules{Gap: 25 * time.Hour}, "Max, 24h0m0s, is less than the Gap, 25h0m0s"},
		{sessions.Rules{Max: 10 * time.Minute}, "Max, 10m0s, is less than the Gap, 30m0s"},
	} {
		err := c.rules.Validate()
		if got := fmt.Sprint(err); (err != nil) != (c.wrong != "") || !strings.Contains(got, c.wrong) {
			t.Errorf("%+v: %v, want %q", c.rules, err, c.wrong)
		}
		func() {
			defer func() {
				if p := recover(); (p != nil) != (err != nil) {
					t.Errorf("%+v: %v", c.rules, p)
				}
			}()
			sessions.Of(nil, c.rules)
		}()
	}
}

// TestOfByRules: a gap and a longest session other than the default, which are both
// reached exactly.
func TestOfByRules(t *testing.T) {
	at := func(s int) time.Time { return visits.Noon.Add(time.Duration(s) * time.Second) }
	view := func(name string, start, end int) beacon.PageView {
		return beacon.PageView{Session: "s", View: name, Page: name, Start: at(start), End: at(end), Visible: 1, Engaged: time.Hour}
	}
	views := []beacon.PageView{
		view("a", 0, 10), view("b", 20, 25), // exactly a gap
		view("c", 36, 100),                                            // a second more; cut to 60, so until 96
		view("d", 96, 97),                                             // Max behind c: another session, and in the same row
		view("e", 106, 107), view("f", 150, 150), view("g", 155, 300), // 60 of it are believed, of which 55 are of this piece
		view("h", 156, 156),
	}
	got := sessions.Of(views, sessions.Rules{Gap: 10 * time.Second, Max: time.Minute})
	var text []string
	for _, s := range got {
		text = append(text, fmt.Sprintf("%s %v+%v, engaged %v, views %d, %s to %s, cut %v", s.ID, s.Start.Sub(visits.Noon), s.Elapsed(), s.Engaged, s.Views, s.Entry, s.Exit, s.Cut))
	}
	want := []string{
		"s:a 0s+25s, engaged 15s, views 2, a to b, cut false",
		"s:c 36s+1m0s, engaged 1m0s, views 1, c to c, cut true",
		"s:d 1m36s+11s, engaged 2s, views 2, d to e, cut false",
		"s:f 2m30s+1m0s, engaged 1m0s, views 3, f to g, cut true",
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestOfAnything: page views that no event tells of do no harm, and what order they are
// in still does not matter.
func TestOfAnything(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	at := func() time.Time {
		if r.IntN(5) == 0 {
			return time.Time{}
		}
		return time.UnixMicro(r.Int64N(9e10) - 3e10)
	}
	for n := range 3_000 {
		views := make([]beacon.PageView, r.IntN(30))
		for i := range views {
			views[i] = beacon.PageView{
				Session: "ab"[:r.IntN(3)], View: fmt.Sprint(r.IntN(20)), Page: "xyz"[:r.IntN(4)], Start: at(), End: at(), Seq: r.Uint64N(3),
				Visible: time.Duration(r.IntN(3) - 1), Engaged: time.Duration(r.Int64N(9e12) - 3e12), Unseen: r.IntN(3) == 0,
				Offset: time.Duration(r.Int64N(9e12)), HasOffset: r.IntN(2) == 0, Activity: r.IntN(5) == 0,
				Referrer: "xyz"[:r.IntN(4)], Crashed: r.IntN(9) == 0, Logged: r.Uint64N(3),
			}
			if r.IntN(2) == 0 {
				views[i].Start = visits.Noon.Add(time.Duration(r.IntN(20)) * 10 * time.Minute)
				views[i].End = views[i].Start.Add(time.Duration(r.IntN(9)) * 10 * time.Minute)
				views[i].HasOffset = false
			}
		}
		want := sessions.Of(views, sessions.Rules{Max: time.Hour})
		if slow := naive(views, sessions.Rules{Max: time.Hour}); !slices.Equal(slow, want) {
			t.Fatalf("%d (-naive +got)\n%s", n, cmp.Diff(slow, want))
		}
		for _, s := range want {
			if s.Engaged < 0 || s.Engaged > s.Elapsed() || s.Elapsed() > time.Hour || s.Engaged%time.Microsecond != 0 {
				t.Fatalf("%d: %+v", n, s)
			}
		}
		views = append(views, views...)
		r.Shuffle(len(views), func(i, j int) { views[i], views[j] = views[j], views[i] })
		if got := sessions.Of(views, sessions.Rules{Max: time.Hour}); !slices.Equal(got, want) {
			t.Fatalf("%d (-want +got)\n%s", n, cmp.Diff(want, got))
		}
	}
}

// TestOfAllocations: what is derived of many page views of few visitors costs next to
// nothing beside them.
func TestOfAllocations(t *testing.T) {
	views := clicks(2)
	if got := testing.AllocsPerRun(3, func() { sessions.Of(views, sessions.Rules{}) }); got > 500 {
		t.Errorf("%v allocations for %d page views", got, len(views))
	}
}
