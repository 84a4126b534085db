package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

func TestTrackerEvicts(t *testing.T) {
	const most = 1 << 20
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, MaxBytes: most})
	for i := range 10_000 {
		consume(t, tracker, seen(fmt.Sprint("s", i), "a", later(time.Duration(i)*time.Millisecond), time.Second))
		consume(t, tracker, seen("stays", "a", later(time.Duration(i)*time.Millisecond), time.Second))
		if s := tracker.Stats(); s.Bytes > most*5/4+5000 {
			t.Fatalf("%d bytes", s.Bytes)
		}
	}
	flush(t, tracker)
	s := tracker.Stats()
	if s.Evicted == 0 || int(s.Evicted)+s.Keys != 10_001 {
		t.Errorf("%+v", s)
	}
	evicted := 0
	for _, reason := range r.reasons() {
		if reason == sessions.ReasonEvicted {
			evicted++
		}
	}
	if evicted != int(s.Evicted) {
		t.Errorf("%d sessions were evicted, of %d keys", evicted, s.Evicted)
	}
	if got := r.reasons()["stays:a"]; got != "" {
		t.Errorf("what is heard of all the time ended: %s", got)
	}
}

// TestTrackerLetsGo: what was evicted is not in memory, however long changes wait.
func TestTrackerLetsGo(t *testing.T) {
	const most = 1 << 20
	before := heap()
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: quiet, MaxBytes: most, Every: time.Hour})
	for i := range 20_000 {
		consume(t, tracker, seen(fmt.Sprint("s", i), "a", later(time.Duration(i)*time.Millisecond), time.Second))
	}
	for tracker.Stats().Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	if taken := heap() - before; taken > 4*most {
		t.Errorf("%d bytes are in memory", taken)
	}
	runtime.KeepAlive(tracker)
}

// TestTrackerBoundsAKey: one key does not push out all others.
func TestTrackerBoundsAKey(t *testing.T) {
	const most = 1 << 20
	r := &reader{t: t}
	tracker := newTracker(t, sessions.TrackerOptions{OnRevision: r.hear, MaxBytes: most})
	consume(t, tracker, seen("other", "a", later(0), time.Second))
	for i := range 20_000 {
		consume(t, tracker, seen("s", fmt.Sprint(i), later(time.Duration(i)*time.Second), time.Second))
		consume(t, tracker, beacon.Event{ID: fmt.Sprint("p", i), Session: "pings", Time: later(0), Received: later(0), Body: beacon.Ping{}})
		consume(t, tracker, seen("other", "a", later(time.Duration(i)*time.Second), time.Second))
	}
	flush(t, tracker)
	if got := r.reasons()["other:a"]; got != "" {
		t.Errorf("another key ended: %s", got)
	}
	if s := tracker.Stats(); s.Bytes > most/2 || s.Evicted < 10 {
		t.Errorf("%+v", s)
	}
}

// TestTrackerPressesBack: where OnRevision does not keep up, events wait, not memory.
func TestTrackerPressesBack(t *testing.T) {
	const most = 1 << 20
	release := make(chan struct{})
	tracker := newTracker(t, sessions.TrackerOptions{MaxBytes: most, OnRevision: func(context.Context, sessions.Revision) { <-release }})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var err error
	for i := 0; err == nil; i++ {
		err = tracker.Consume(ctx, []beacon.Event{seen(fmt.Sprint(i), "a", later(0), time.Second)})
		if b := tracker.Stats().Bytes; b > most*5/4+5000 {
			t.Fatalf("%d bytes", b)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	close(release)
	consume(t, tracker, seen("last", "a", later(0), time.Second))
	if err := tracker.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTrackerKeepsNoRequest: the texts that it holds are its own.
func TestTrackerKeepsNoRequest(t *testing.T) {
	const n, size = 300, 64 << 10
	before := heap()
	tracker := newTracker(t, sessions.TrackerOptions{})
	for i := range n {
		request := fmt.Sprintf("%-*d", size, i)
		e := seen(request[:5], request[:6], later(0), time.Second)
		e.Page = request[:7]
		consume(t, tracker, e)
		if i%2 == 0 {
			e.Seq, e.Page = 2, request[:8]
			consume(t, tracker, e)
		}
	}
	if taken := heap() - before; taken > n*size/4 {
		t.Errorf("%d bytes for each of %d", taken/n, n)
	}
	runtime.KeepAlive(tracker)
}
