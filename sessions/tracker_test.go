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
func TestTrackerAgainSeen(t *testing.T) {
	report := func(seq uint64, ms int) beacon.Event {
		e := sent("s", "a", seq, later(time.Minute), time.Minute)
		e.Body = beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"seen":%d}`, later(0).UnixMilli(), later(time.Minute).UnixMilli(), ms))
		return e
	}
	r := &reader{t: t}
	busy, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: func(ctx context.Context, v sessions.Revision) {
		r.hear(ctx, v)
		once.Do(func() { close(busy); <-release })
	}})
	consume(t, tracker, report(1, 60_000))
	<-busy
	consume(t, tracker, report(2, 0))
	if n := len(tracker.Sessions()); n != 0 {
		t.Errorf("%d sessions that nobody saw", n)
	}
	consume(t, tracker, report(3, 50_000))
	close(release)
	flush(t, tracker)
	same(t, "told", r.sessions(), tracker.Sessions())
	if got := r.kinds("s:a"); got != "opened" {
		t.Errorf("told %q", got)
	}
}

// TestTrackerWithdraws: what nobody saw after all is withdrawn, whoever finds it out.
func TestTrackerWithdraws(t *testing.T) {
	unseen := sent("s", "a", 2, later(time.Minute), time.Minute)
	unseen.Body = beacon.JSON(fmt.Sprintf(`{"start":%d,"seen":0}`, later(0).UnixMilli()))
	for name, find := range map[string]func(*sessions.Tracker){
		"Sessions":               func(tracker *sessions.Tracker) { tracker.Sessions() },
		"the progress of events": func(tracker *sessions.Tracker) { consume(t, tracker, seen("o", "b", later(time.Hour), time.Second)) },
		"the end":                func(tracker *sessions.Tracker) { consume(t, tracker, seen("o", "b", later(9*time.Hour), time.Second)) },
		"Flush":                  func(*sessions.Tracker) {},
	} {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
		consume(t, tracker, seen("s", "a", later(time.Minute), time.Minute))
		flush(t, tracker)
		consume(t, tracker, unseen)
		find(tracker)
		flush(t, tracker)
		if got := r.kinds("s:a"); got != "opened withdrawn" {
			t.Errorf("%s: told %q", name, got)
		}
	}
}

func TestTrackerInto(t *testing.T) {
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
	for _, at := range []int{50, 1, 25} {
		consume(t, tracker, seen("s", fmt.Sprint(at), later(time.Duration(at)*time.Minute), time.Minute))
		flush(t, tracker)
	}
	last := r.last["s:50"]
	if last.Kind != sessions.Withdrawn || last.Into != "s:1" || last.Session != (sessions.Session{ID: "s:50", Key: "s"}) {
		t.Errorf("%+v", last)
	}
}

// TestTrackerIntoOneOfMany: of a row that is several sessions it is the one at that time.
func TestTrackerIntoOneOfMany(t *testing.T) {
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
	for i, view := range []string{"a", "b", "c", "B"} {
		day := min(i, 2) + 1
		if view == "B" { // begins when b does, and sorts before it
			day = 2
		}
		e := seen("s", view, later(time.Duration(day)*24*time.Hour), 24*time.Hour)
		e.Time, e.Received, e.Sent = later(0), later(0), later(0)
		consume(t, tracker, e)
		flush(t, tracker)
	}
	if last := r.last["s:b"]; last.Kind != sessions.Withdrawn || last.Into != "s:B" {
		t.Errorf("%+v", last)
	}
}

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
func TestTrackerOfActivityThatIsAView(t *testing.T) {
	late := seen("s", "b", later(time.Minute), time.Minute)
	late.Received = late.Received.Add(10 * time.Second)
	events := []beacon.Event{
		seen("s", "a", later(0), time.Minute), late,
		{ID: "a", Session: "s", Time: later(0), Received: later(0), Body: beacon.Ping{}},
	}
	want := sessions.Of(pageViews(events), sessions.Rules{})
	for range 6 {
		events = append(events[1:], events[0])
		tracker := newTracker(t, sessions.TrackerOptions{})
		consume(t, tracker, events...)
		same(t, "held", tracker.Sessions(), want)
		events[0], events[1] = events[1], events[0]
	}
}

// TestTrackerOfAViewThatIsTooLong: it is clipped to Max after its start, so that an
// earlier start parts what it held together.
func TestTrackerOfAViewThatIsTooLong(t *testing.T) {
	const h = time.Hour
	events := []beacon.Event{
		sent("s", "a", 1, later(40*h), 30*h), sent("s", "a", 2, later(40*h), 35*h),
		seen("s", "b", later(34*h+25*time.Minute), 5*time.Minute),
	}
	want := sessions.Of(pageViews(events), sessions.Rules{})
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, Linger: long})
		for _, i := range order {
			consume(t, tracker, events[i])
			flush(t, tracker)
		}
		same(t, fmt.Sprint("held, ", order), tracker.Sessions(), want)
		same(t, fmt.Sprint("told, ", order), r.sessions(), want)
	}
}

// TestTrackerOfAShortPiece: where a session is cut, a page view of the one before may go
// on for longer than all of the next. What is attached is so by the end of that one.
func TestTrackerOfAShortPiece(t *testing.T) {
	const m = time.Minute
	rules := sessions.Rules{Gap: 6 * m, Max: 16 * m}
	events := []beacon.Event{
		seen("s", "a", later(10*m), 10*m), seen("s", "b", later(26*m), 16*m), // which is of the first piece
		sent("s", "c", 1, later(18*m), m), seen("s", "d", later(34*m), m),
		{ID: "p", Session: "s", Time: later(29 * m), Received: later(29 * m), Body: beacon.Ping{}}, // near to d
		sent("s", "c", 2, later(25*m), 8*m), // and near to c now
	}
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{Rules: rules, OnRevision: r.hear, Linger: long})
	for i, e := range events {
		consume(t, tracker, e)
		flush(t, tracker)
		want := sessions.Of(pageViews(events[:i+1]), rules)
		same(t, fmt.Sprint("held, ", i), tracker.Sessions(), want)
		same(t, fmt.Sprint("told, ", i), r.sessions(), want)
	}
	if got := r.last["s:d"].Session.Attached; got != 0 {
		t.Errorf("%d attached to d", got)
	}
}

// TestTrackerOfManyPieces: who makes up a visit of many days at once has each of them
// told, but not all of them looked at for each.
func TestTrackerOfManyPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		r := &reader{t: t}
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear})
		defer tracker.Close(t.Context())
		var events []beacon.Event
		for i := range 40 {
			e := seen("s", fmt.Sprint(i), later(time.Duration(i+1)*day), day)
			e.Time, e.Received, e.Sent = later(0), later(0), later(0)
			events = append(events, e)
			consume(t, tracker, e)
			synctest.Wait()
		}
		if n := strings.Count(r.kinds(""), "opened"); n < 10 || n > 20 {
			t.Errorf("%d are told at once", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		same(t, "told", r.sessions(), sessions.Of(pageViews(events), sessions.Rules{}))
	})
}
