package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// events returns n events of one session, numbered from first.
func events(session string, first, n int) []beacon.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	out := make([]beacon.Event, n)
	for i := range out {
		out[i] = beacon.Event{
			ID: fmt.Sprintf("%s-%d", session, first+i), Session: session, Time: at, Received: at,
			Body: beacon.Form{{Name: "n", Value: fmt.Sprint(first + i)}, {Name: "pad", Value: strings.Repeat("x", 200)}},
		}
	}
	return out
}

func ids(events []beacon.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.ID
	}
	return out
}

func open(t *testing.T, dir string, next beacon.Sink, o spool.Options) *spool.Spool {
	t.Helper()
	o.DiskTimeout = time.Hour // the real disk may be busy
	s, err := spool.Open(dir, next, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(ended()) })
	return s
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func consume(t *testing.T, s beacon.Sink, evs []beacon.Event) {
	t.Helper()
	if err := s.Consume(t.Context(), evs); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, s *spool.Spool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err, fmt.Sprintf("%+v", s.Stats()))
	}
}

func closeSpool(t *testing.T, s *spool.Spool) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var errDown = errors.New("the sink is down")

func TestDeliversInOrder(t *testing.T) {
	for name, o := range map[string]spool.Options{
		"always":   {},
		"interval": {Sync: spool.Interval(time.Millisecond)},
		"never":    {Sync: spool.Never},
		"small":    {SegmentBytes: 4096, BatchEvents: 3, MemoryBytes: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			var rec beacontest.Recorder
			dir := t.TempDir()
			s := open(t, dir, &rec, o)
			var want []string
			for i := range 100 {
				evs := events("s", i*3, 3)
				want = append(want, ids(evs)...)
				consume(t, s, evs)
			}
			flush(t, s)
			if d := cmp.Diff(want, ids(rec.Events())); d != "" {
				t.Error(d)
			}
			st := s.Stats()
			if st.Stored != 300 || st.Delivered != 300 || st.Pending != 0 || st.Damaged != 0 || st.DiskErrors != 0 {
				t.Errorf("%+v", st)
			}
			closeSpool(t, s)
			left, err := filepath.Glob(filepath.Join(dir, "*.*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestKeepsEventsWhileTheSinkIsDown(t *testing.T) {
	var rec beacontest.Recorder
	rec.Fail(errDown)
	dir := t.TempDir()
	s := open(t, dir, &rec, spool.Options{SegmentBytes: 8192})
	want := ids(events("a", 0, 500))
	for i := range 50 {
		consume(t, s, events("a", i*10, 10))
	}
	if s.Stats().Pending == 0 || s.Stats().Delivered != 0 {
		t.Errorf("%+v", s.Stats())
	}
	if err := s.Healthy(t.Context()); err != nil {
		t.Error("a spool is there for sinks that are down, but:", err)
	}
	closeSpool(t, s)
	if n := len(rec.Events()); n != 0 {
		t.Fatal(n, "events delivered")
	}

	rec.Fail(nil)
	s = open(t, dir, &rec, spool.Options{})
	flush(t, s)
	if d := cmp.Diff(want, ids(rec.Events())); d != "" {
		t.Error(d)
	}
	closeSpool(t, s)
	rec.Reset()
	s = open(t, dir, &rec, spool.Options{})
	flush(t, s)
	if n := len(rec.Events()); n != 0 {
		t.Error(n, "events delivered again")
	}
}

// TestCursorSavesDuplicates ends a spool in the middle of a segment.
func TestCursorSavesDuplicates(t *testing.T) {
	var mu sync.Mutex
	var got []string
	allow := 30
	next := beacon.SinkFunc(func(_ context.Context, evs []beacon.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if allow < len(evs) {
			return errDown
		}
		allow -= len(evs)
		got = append(got, ids(evs)...)
		return nil
	})
	dir := t.TempDir()
	o := spool.Options{BatchEvents: 10}
	s := open(t, dir, next, o)
	consume(t, s, events("a", 0, 100))
	closeSpool(t, s)
	if len(got) != 30 {
		t.Fatal(len(got), "delivered")
	}
	allow = 1000
	s = open(t, dir, next, o)
	flush(t, s)
	if d := cmp.Diff(ids(events("a", 0, 100)), got); d != "" {
		t.Error(d)
	}
}

func TestFullRefusesAndRecovers(t *testing.T) {
	var rec beacontest.Recorder
	rec.Fail(errDown)
	s := open(t, t.TempDir(), &rec, spool.Options{MaxBytes: 64 << 10, SegmentBytes: 16 << 10})
	var taken []string
	var err error
	for i := 0; err == nil && i < 10000; i++ {
		evs := events("a", i, 1)
		if err = s.Consume(t.Context(), evs); err == nil {
			taken = append(taken, evs[0].ID)
		}
	}
	ra, ok := errors.AsType[*beacon.RetryAfterError](err)
	if !errors.Is(err, spool.ErrFull) || !ok || ra.After <= 0 || errors.Is(err, beacon.ErrPermanent) {
		t.Fatalf("%v after %d events", err, len(taken))
	}
	if err := s.Healthy(t.Context()); !errors.Is(err, spool.ErrFull) {
		t.Error("healthy:", err)
	}
	if st := s.Stats(); st.Bytes > 64<<10 || st.Refused != 1 {
		t.Errorf("%+v", st)
	}
	rec.Fail(nil)
	flush(t, s)
	if d := cmp.Diff(taken, ids(rec.Events())); d != "" {
		t.Error(d)
	}
	for i := range 1000 { // there is room again, and goes on to be
		consume(t, s, events("b", i, 1))
		if i%100 == 0 {
			flush(t, s)
		}
	}
	if err := s.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]spool.Options{"usual": {}, "small": {SegmentBytes: 2048, MemoryBytes: 1000, BatchEvents: 2}} {
		t.Run(name, func(t *testing.T) {
			if err := beacontest.TestWrapper(func(next beacon.Sink) beacon.Sink { return open(t, t.TempDir(), next, o) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// An event that cannot be stored costs the others of its call nothing.
func TestEventWithoutAJSONForm(t *testing.T) {
	never := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, o := range map[string]spool.Options{"from memory": {}, "from disk": {MemoryBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			var rec beacontest.Recorder
			s := open(t, t.TempDir(), &rec, o)
			evs := events("a", 0, 5)
			evs[1].Time, evs[3].Time = never, never
			err := s.Consume(t.Context(), evs)
			part, ok := errors.AsType[*beacon.PartialError](err)
			if !ok || !beacon.IsPermanent(err) || !strings.Contains(err.Error(), `event "a-1"`) {
				t.Fatal(err)
			}
			if d := cmp.Diff([]int{1, 3}, part.Failed); d != "" {
				t.Error(d)
			}
			alone := events("b", 0, 1)
			alone[0].Time = never
			err = s.Consume(t.Context(), alone)
			if _, ok := errors.AsType[*beacon.PartialError](err); ok || !beacon.IsPermanent(err) {
				t.Error(err)
			}
			flush(t, s)
			if d := cmp.Diff([]string{"a-0", "a-2", "a-4"}, ids(rec.Events())); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, new(beacontest.Recorder), spool.Options{})
	if _, err := spool.Open(dir, new(beacontest.Recorder), spool.Options{}); !errors.Is(err, spool.ErrLocked) {
		t.Error(err)
	}
	closeSpool(t, s)
	open(t, dir, new(beacontest.Recorder), spool.Options{})
}

// TestLockWait: who waits for the directory has it when the one before has let it go, and
// is refused if it does not in time.
func TestLockWait(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, new(beacontest.Recorder), spool.Options{})
	begin := time.Now()
	const short = 150 * time.Millisecond
	if _, err := spool.Open(dir, new(beacontest.Recorder), spool.Options{LockWait: short}); !errors.Is(err, spool.ErrLocked) || time.Since(begin) < short {
		t.Errorf("%v after %v", err, time.Since(begin))
	}

	waits, opened := make(signaller, 10), make(chan error)
	go func() {
		s, err := spool.Open(dir, new(beacontest.Recorder), spool.Options{LockWait: time.Hour, Logger: slog.New(slog.NewTextHandler(waits, nil))})
		if err == nil {
			err = s.Close(context.Background())
		}
		opened <- err
	}()
	select {
	case said := <-waits:
		if !strings.Contains(said, "waiting for the process that has the directory") {
			t.Error(said)
		}
	case err := <-opened:
		t.Fatal("it did not wait:", err)
	}
	closeSpool(t, first)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// A signaller hands on what is logged.
type signaller chan string

func (s signaller) Write(b []byte) (int, error) {
	s <- string(b)
	return len(b), nil
}

func TestClosedRefuses(t *testing.T) {
	s := open(t, t.TempDir(), new(beacontest.Recorder), spool.Options{})
	closeSpool(t, s)
	closeSpool(t, s)
	if err := s.Consume(t.Context(), events("a", 0, 1)); !errors.Is(err, spool.ErrClosed) || errors.Is(err, beacon.ErrPermanent) {
		t.Error(err)
	}
	if err := s.Healthy(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Error(err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		o    spool.Options
		want string
	}{
		{spool.Options{MaxBytes: -1}, "spool: Options.MaxBytes is negative: -1"},
		{spool.Options{BatchEvents: -2, Timeout: -1}, "spool: Options.BatchEvents is negative: -2\nspool: Options.Timeout is negative: -1"},
		{spool.Options{Sync: spool.Interval(-1)}, "spool: Interval(-1ns) is not positive"},
		{spool.Options{Sync: spool.Interval(0)}, "spool: Interval(0s) is not positive"},
		{spool.Options{SegmentBytes: 1 << 20, MaxBytes: 1 << 20}, "spool: SegmentBytes 1048576 is more than half of MaxBytes 1048576"},
	} {
		s, err := spool.Open(t.TempDir(), new(beacontest.Recorder), c.o)
		if err == nil {
			_ = s.Close(ended())
			t.Errorf("accepted: %s", c.want)
		} else if err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if (spool.Sync{}) != spool.Always {
		t.Error("the zero value is not Always")
	}
	if _, err := spool.Open(t.TempDir(), nil, spool.Options{}); err == nil {
		t.Error("no next sink was accepted")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(file, new(beacontest.Recorder), spool.Options{}); err == nil {
		t.Error("a file was accepted as directory")
	}
}
