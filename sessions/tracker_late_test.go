package sessions_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

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
