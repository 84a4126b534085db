package sessions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
)

// TestTrackerDense has a few page views, within some microseconds, that change all the
// time: what is near becomes far, what was seen was not, an activity has the name of a
// page view. After every event what is held and what was told is what [Of] says, and
// what is counted is what there is.
func TestTrackerDense(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		dense(t, seed)
	}
}

func dense(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	rules := Rules{Gap: time.Duration(1+r.IntN(8)) * time.Microsecond}
	rules.Max = rules.Gap + time.Duration(r.IntN(20))*time.Microsecond
	var mu sync.Mutex
	told := map[string]Revision{}
	tracker, err := NewTracker(TrackerOptions{Rules: rules, Linger: 1 << 60, OnRevision: func(_ context.Context, v Revision) {
		mu.Lock()
		defer mu.Unlock()
		was, known := told[v.Session.ID]
		if there := known && was.Kind != Withdrawn; there == (v.Kind == Opened) {
			t.Errorf("seed %d: told %+v after %+v", seed, v, was)
		}
		told[v.Session.ID] = v
	}})
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, step int, got, want []Session) {
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, step %d, %s (-want +got)\n%s", seed, step, what, cmp.Diff(want, got))
		}
	}
	var views []beacon.PageView
	span := 10 + r.Int64N(90)
	for step := range 1 + r.IntN(40) {
		v := denseView(r, span)
		if step > 0 && r.IntN(8) == 0 {
			v = views[r.IntN(step)]
		}
		views = append(views, v)
		tracker.mu.Lock()
		tracker.take(&v, r.Int64N(100)*int64(seed%2), tracker.now())
		tracker.mu.Unlock()
		if r.IntN(3) == 0 {
			if err := tracker.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			var there []Session
			mu.Lock()
			for _, v := range told {
				if v.Kind != Withdrawn {
					there = append(there, v.Session)
				}
			}
			mu.Unlock()
			same("told", step, sorted(there), Of(views, rules))
		}
		if r.IntN(5) == 0 {
			same("held", step, tracker.Sessions(), Of(views, rules))
		}
		counted(t, tracker)
	}
	if err := tracker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// denseView is a page view of few, somewhere within span microseconds.
func denseView(r *rand.Rand, span int64) beacon.PageView {
	at := func(us int64) time.Time { return time.UnixMicro(1_772_452_800_000_000 + us).UTC() }
	start := r.Int64N(span)
	v := beacon.PageView{
		Session: []string{"a", "a", "a", "a", "b", ""}[r.IntN(6)], View: strconv.Itoa(r.IntN(12)), Page: "xyz"[:r.IntN(4)],
		Start: at(start), End: at(start + r.Int64N(10)), Seq: r.Uint64N(3), Engaged: time.Duration(r.IntN(10)) * time.Microsecond,
		Visible: time.Duration(r.IntN(2)), Unseen: r.IntN(4) == 0,
	}
	if r.IntN(6) == 0 {
		v.End = at(start + r.Int64N(60))
	}
	if r.IntN(3) == 0 {
		v.HasOffset, v.Offset = true, time.Duration(r.Int64N(20)-10)*time.Microsecond
	}
	switch r.IntN(10) {
	case 0:
		v.Activity, v.HasOffset, v.Offset, v.End, v.Crashed = true, false, 0, v.Start, r.IntN(2) == 0
	case 1:
		v.Start, v.End, v.Logged = time.Time{}, time.Time{}, r.Uint64N(4)
	}
	return v
}

// counted fails a test if a Tracker's numbers are not those of what it holds.
func counted(t *testing.T, tracker *Tracker) {
	t.Helper()
	tracker.mu.Lock()
	defer tracker.mu.Unlock()
	bytes, nodes := tracker.leaving, 0
	for _, visits := range []map[string]*visit{tracker.keyed, tracker.alone} {
		for _, v := range visits {
			bytes += visitBytes + int64(len(v.key)) + int64(len(v.rows))*rowBytes + int64(len(v.index))*indexBytes
			v.each(func(n *node) {
				bytes += n.bytes()
				nodes++
			})
		}
	}
	if s := tracker.stats; bytes != tracker.bytes || nodes != s.PageViews {
		t.Fatalf("%d bytes are counted as %d, and %d page views as %d", bytes, tracker.bytes, nodes, s.PageViews)
	}
}

// TestTrackerCountsReplays: what is forgotten by the progress of events is not counted
// any more, whether it ended with the rest of its key or before.
func TestTrackerCountsReplays(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for _, told := range []func(context.Context, Revision){nil, func(context.Context, Revision) {}} {
		tracker, err := NewTracker(TrackerOptions{OnRevision: told})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			at := noon.Add(time.Duration(i) * time.Minute)
			for _, key := range []string{"stays", fmt.Sprint(i)} {
				e := beacon.Event{ID: fmt.Sprint(i), Session: key, View: fmt.Sprint(i), Time: at, Received: at, Sent: at, Body: beacon.Form{{Name: "start", Value: fmt.Sprint(at.UnixMilli())}}}
				if err := tracker.Consume(t.Context(), []beacon.Event{e}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		counted(t, tracker)
		if n := tracker.Stats().Keys; told == nil && n > 100 {
			t.Errorf("%d keys", n)
		}
		_ = tracker.Close(t.Context())
	}
}
