package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// seen is the one report of a page view that was seen for so long, until at.
func seen(session, view string, at time.Time, open time.Duration) beacon.Event {
	return sent(session, view, 1, at, open)
}

// later is a time after the morning began.
func later(d time.Duration) time.Time { return morning.Add(d) }

func flush(t testing.TB, tracker *sessions.Tracker) {
	t.Helper()
	if err := tracker.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestTrackerTells(t *testing.T) {
	const m = time.Minute
	tests := map[string]struct {
		events []beacon.Event
		told   map[string]string // kinds, by ID
		ended  map[string]sessions.Reason
	}{
		"a later session ends the one before": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("s", "b", later(40*m), m)},
			told:   map[string]string{"s:a": "opened ended", "s:b": "opened"},
			ended:  map[string]sessions.Reason{"s:a": sessions.ReasonGap, "s:b": ""},
		},
		"so does what others do": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("o", "b", later(40*m), m)},
			told:   map[string]string{"s:a": "opened ended", "o:b": "opened"},
			ended:  map[string]sessions.Reason{"s:a": sessions.ReasonGap, "o:b": ""},
		},
		"a gap and no more": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("o", "b", later(31*m), m)},
			told:   map[string]string{"s:a": "opened", "o:b": "opened"},
			ended:  map[string]sessions.Reason{"s:a": "", "o:b": ""},
		},
		"it goes on": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("s", "b", later(20*m), m)},
			told:   map[string]string{"s:a": "opened changed"},
			ended:  map[string]sessions.Reason{"s:a": ""},
		},
		"the same again": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("s", "a", later(m), m)},
			told:   map[string]string{"s:a": "opened"},
			ended:  map[string]sessions.Reason{"s:a": ""},
		},
		"late data changes what ended": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("o", "b", later(60*m), m), seen("s", "c", later(20*m), m)},
			told:   map[string]string{"s:a": "opened ended revised", "o:b": "opened"},
			ended:  map[string]sessions.Reason{"s:a": sessions.ReasonGap, "o:b": ""},
		},
		"late data has it go on": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("o", "b", later(40*m), m), seen("s", "c", later(20*m), m)},
			told:   map[string]string{"s:a": "opened ended revised", "o:b": "opened"},
			ended:  map[string]sessions.Reason{"s:a": "", "o:b": ""},
		},
		"late data bridges two": {
			events: []beacon.Event{seen("s", "a", later(m), m), seen("s", "c", later(50*m), m), seen("s", "b", later(25*m), m)},
			told:   map[string]string{"s:a": "opened ended revised", "s:c": "opened withdrawn"},
			ended:  map[string]sessions.Reason{"s:a": ""},
		},
		"what began before was late": {
			events: []beacon.Event{seen("s", "b", later(20*m), m), seen("s", "a", later(m), m)},
			told:   map[string]string{"s:b": "opened withdrawn", "s:a": "opened"},
			ended:  map[string]sessions.Reason{"s:a": ""},
		},
		"a crash": {
			events: []beacon.Event{
				seen("s", "a", later(m), m),
				{ID: "r", Session: "s", Time: later(2 * m), Received: later(2 * m), Body: beacon.Report{Type: "crash"}},
				seen("o", "b", later(60*m), m),
			},
			told:  map[string]string{"s:a": "opened changed ended", "o:b": "opened"},
			ended: map[string]sessions.Reason{"s:a": sessions.ReasonCrash, "o:b": ""},
		},
		"too long": {
			events: []beacon.Event{seen("s", "a", later(20*time.Hour), 20*time.Hour), seen("s", "b", later(24*time.Hour-m), 4*time.Hour), seen("s", "c", later(24*time.Hour+20*m), 15*m)},
			told:   map[string]string{"s:a": "opened changed ended", "s:c": "opened"},
			ended:  map[string]sessions.Reason{"s:a": sessions.ReasonMax, "s:c": ""},
		},
		"nobody saw it after all": {
			events: []beacon.Event{
				seen("s", "a", later(m), m),
				{Name: "session", ID: "x", Session: "s", View: "a", Seq: 2, Series: "s:a", Mode: beacon.ModeReplace, Time: later(2 * m), Received: later(2 * m), Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"seen":0}`, later(0).UnixMilli()))},
			},
			told:  map[string]string{"s:a": "opened withdrawn"},
			ended: map[string]sessions.Reason{},
		},
		"nothing but pings": {
			events: []beacon.Event{{ID: "p", Session: "s", Time: later(m), Received: later(m), Body: beacon.Ping{}}},
			told:   map[string]string{},
			ended:  map[string]sessions.Reason{},
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			r := &reader{t: t}
			tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
			for _, e := range c.events {
				consume(t, tracker, e)
				flush(t, tracker)
			}
			for id, kinds := range c.told {
				if got := r.kinds(id); got != kinds {
					t.Errorf("%s was told %q, not %q", id, got, kinds)
				}
			}
			n := 0
			for _, kinds := range c.told {
				n += len(strings.Fields(kinds))
			}
			if len(r.told) != n {
				t.Errorf("told: %s", r.kinds(""))
			}
			if got := r.reasons(); fmt.Sprint(got) != fmt.Sprint(c.ended) {
				t.Errorf("ended: %v, not %v", got, c.ended)
			}
		})
	}
}

// TestTrackerAgainSeen: what was not seen after all, and then was, is what it was told
// as, also if OnRevision takes its time meanwhile.
// TestTrackerWithdraws: what nobody saw after all is withdrawn, whoever finds it out.
// TestTrackerIntoOneOfMany: of a row that is several sessions it is the one at that time.
// TestTrackerByTheClock: where nothing comes any more, sessions end and are forgotten by
// the clock, and then nothing runs.
func TestTrackerByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
		consume(t, tracker, seen("s", "a", later(time.Minute), time.Minute))
		steps := []struct {
			wait time.Duration
			told string
			keys int
		}{
			{0, "opened", 1},
			{30 * time.Minute, "opened", 1},
			{2 * time.Second, "opened ended", 1},
			{time.Hour - 3*time.Second, "opened ended", 1},
			{3 * time.Second, "opened ended", 0},
			{1000 * time.Hour, "opened ended", 0},
		}
		for _, s := range steps {
			time.Sleep(s.wait)
			synctest.Wait()
			if got, keys := r.kinds(""), tracker.Stats().Keys; got != s.told || keys != s.keys {
				t.Fatalf("after %v: %q and %d keys, not %q and %d", s.wait, got, keys, s.told, s.keys)
			}
		}
		if s := tracker.Stats(); s != (sessions.TrackerStats{}) {
			t.Errorf("of nothing: %+v", s)
		}
	})
}

// TestTrackerIsQuiet: changes are told once in a while, and that something opens at once.
func TestTrackerIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, Every: time.Minute})
		defer tracker.Close(t.Context())
		for i := range 600 { // every second, for ten minutes
			consume(t, tracker, sent("s", "a", uint64(i)+1, later(time.Duration(i)*time.Second), time.Duration(i)*time.Second))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := strings.Count(r.kinds("s:a"), "changed"); n < 8 || n > 10 {
			t.Errorf("%d changes told in ten minutes", n)
		}
		changes := strings.Count(r.kinds("s:a"), "changed")
		consume(t, tracker, sent("s", "a", 601, later(10*time.Minute), 10*time.Minute), seen("s", "early", later(-3*time.Hour), time.Second))
		synctest.Wait()
		if got := r.kinds("s:early"); got != "opened ended" {
			t.Errorf("an earlier session: %q", got)
		}
		if n := strings.Count(r.kinds("s:a"), "changed"); n != changes {
			t.Errorf("with it, %d changes of the one that goes on", n-changes)
		}
		consume(t, tracker, seen("s", "b", later(2*time.Hour), time.Second))
		synctest.Wait()
		if got := r.kinds("s:b"); got != "opened" {
			t.Errorf("the next session: %q", got)
		}
		if got := r.last["s:a"]; got.Kind != sessions.Ended {
			t.Errorf("the one before: %q", got.Kind)
		}
		told := len(r.told)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(r.told) != told {
			t.Errorf("told of nothing: %v", r.told[told:])
		}
	})
}

// TestTrackerForgets: what lingered long enough is forgotten by the progress of events,
// also of a key that goes on.
func TestTrackerForgets(t *testing.T) {
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
	most := 0
	for i := range 2000 {
		consume(t, tracker, seen("s", fmt.Sprint(i), later(time.Duration(i)*40*time.Minute), time.Minute))
		if i%10 == 0 {
			flush(t, tracker)
		}
		most = max(most, tracker.Stats().PageViews)
	}
	flush(t, tracker)
	if most > 30 || tracker.Stats().PageViews > 15 {
		t.Errorf("%d page views held, and then %d", most, tracker.Stats().PageViews)
	}
	if n := len(r.sessions()); n != 2000 {
		t.Errorf("%d sessions", n)
	}
}

// TestTrackerGoesOnForWeeks: of a row that never ends the sessions of long ago are
// forgotten, and those that come are cut where they would be.
func TestTrackerGoesOnForWeeks(t *testing.T) {
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
	var events []beacon.Event
	most := 0
	for i := range 2 * 7 * 24 * 4 { // every quarter of an hour
		e := seen("s", fmt.Sprint(i), later(time.Duration(i)*15*time.Minute), time.Minute)
		events = append(events, e)
		consume(t, tracker, e)
		flush(t, tracker)
		most = max(most, tracker.Stats().PageViews)
	}
	if most > 130 {
		t.Errorf("%d page views held", most)
	}
	if err := tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := sessions.Of(pageViews(events), sessions.Rules{})
	if len(want) != 14 {
		t.Errorf("%d sessions", len(want))
	}
	same(t, "told", r.sessions(), want)
}

func TestTrackerCallback(t *testing.T) {
	t.Run("panics", func(t *testing.T) {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: func(ctx context.Context, v sessions.Revision) {
			r.hear(ctx, v)
			switch v.Session.Key {
			case "1":
				panic("of the host")
			case "3":
				runtime.Goexit()
			}
		}})
		for i := range 5 {
			consume(t, tracker, seen(fmt.Sprint(i), "a", later(0), time.Second))
		}
		flush(t, tracker)
		if n, p := len(r.sessions()), tracker.Stats().Panics; n != 5 || p != 2 {
			t.Errorf("%d sessions, %d panics", n, p)
		}
		if err := tracker.Close(t.Context()); err != nil || len(r.reasons()) != 5 {
			t.Error(err, r.reasons())
		}
	})
	t.Run("uses the tracker", func(t *testing.T) {
		var tracker *sessions.Tracker
		done := make(chan struct{})
		tracker = newTracker(t, sessions.TrackerOptions{OnRevision: func(ctx context.Context, v sessions.Revision) {
			switch {
			case v.Session.Key == "1" && v.Kind == sessions.Opened:
				if len(tracker.Sessions()) != 1 || len(tracker.PageViews("1")) != 1 {
					t.Error("not there")
				}
				_ = tracker.Consume(ctx, []beacon.Event{seen("2", "a", later(0), time.Second)})
				_ = tracker.Flush(ctx)
			case v.Session.Key == "2" && v.Kind == sessions.Opened:
				_ = tracker.Close(ctx)
			case v.Session.Key == "2":
				close(done)
			}
		}})
		consume(t, tracker, seen("1", "a", later(0), time.Second))
		<-done
		if err := tracker.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		var busy sync.Mutex
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: func(context.Context, sessions.Revision) {
			if !busy.TryLock() {
				t.Error("called while it was")
			}
			runtime.Gosched()
			busy.Unlock()
		}})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 500 {
					_ = tracker.Consume(context.Background(), []beacon.Event{seen(fmt.Sprint(i%50), fmt.Sprint(g, i), later(time.Duration(i)*time.Minute), time.Second)})
				}
			})
		}
		wg.Wait()
		if err := tracker.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTrackerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
		consume(t, tracker, seen("s", "a", later(0), time.Second))
		for range 2 {
			if err := tracker.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := r.kinds("s:a"); got != "opened ended" || r.reasons()["s:a"] != sessions.ReasonClosed {
				t.Errorf("%s, %s", got, r.reasons()["s:a"])
			}
		}
		if err := tracker.Consume(t.Context(), []beacon.Event{seen("s", "b", later(0), time.Second)}); !errors.Is(err, sessions.ErrClosed) || beacon.IsPermanent(err) {
			t.Errorf("after it: %v", err)
		}
		if err := tracker.Healthy(t.Context()); !errors.Is(err, sessions.ErrClosed) {
			t.Errorf("healthy: %v", err)
		}
	})
	t.Run("in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			tracker := newTracker(t, sessions.TrackerOptions{OnRevision: func(ctx context.Context, _ sessions.Revision) {
				told++
				<-ctx.Done()
			}})
			consume(t, tracker, seen("1", "a", later(0), time.Second), seen("2", "a", later(0), time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := tracker.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("closed: %v", err)
			}
			synctest.Wait() // the call returns when its context ends, and nothing is left
			if told != 1 {
				t.Errorf("%d were told", told)
			}
			if s := tracker.Stats(); s != (sessions.TrackerStats{}) {
				t.Errorf("of nothing: %+v", s)
			}
		})
	})
}

func TestNewTrackerRefuses(t *testing.T) {
	for name, o := range map[string]sessions.TrackerOptions{
		"rules":    {Rules: sessions.Rules{Gap: -1}},
		"Every":    {Every: -1},
		"Linger":   {Linger: -1},
		"MaxBytes": {MaxBytes: -1},
	} {
		if _, err := sessions.NewTracker(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestTrackerWithoutCallback: it holds, ends and forgets all the same.
func TestTrackerWithoutCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, sessions.TrackerOptions{})
		consume(t, tracker, seen("s", "a", later(time.Minute), time.Minute))
		if got := tracker.Sessions(); len(got) != 1 || got[0].ID != "s:a" || got[0].Elapsed() != time.Minute {
			t.Errorf("%+v", got)
		}
		time.Sleep(90*time.Minute - time.Second)
		if n := tracker.Stats().Keys; n != 1 {
			t.Errorf("%d keys while it lingers", n)
		}
		time.Sleep(4 * time.Second)
		if s := tracker.Stats(); s != (sessions.TrackerStats{}) {
			t.Errorf("then %+v", s)
		}
		for i := range 100 {
			consume(t, tracker, seen(fmt.Sprint(i), "a", later(time.Duration(i)*time.Hour), time.Minute))
		}
		if n := tracker.Stats().Keys; n > 3 {
			t.Errorf("%d keys by the progress of events", n)
		}
	})
}

// TestTrackerOfActivityThatIsAView: what has the name of a page view and is none takes
// its word on the clock back.
// TestTrackerOfAViewThatIsTooLong: it is clipped to Max after its start, so that an
// earlier start parts what it held together.
// TestTrackerOfAShortPiece: where a session is cut, a page view of the one before may go
// on for longer than all of the next. What is attached is so by the end of that one.
// TestTrackerOfManyPieces: who makes up a visit of many days at once has each of them
// told, but not all of them looked at for each.
