package sink_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// wrappers are the sinks here that pass everything on, with unlike options.
var wrappers = map[string]func(next beacon.Sink) beacon.Sink{
	"Batch":        func(next beacon.Sink) beacon.Sink { return sink.Batch(next, sink.BatchOptions{}) },
	"Batch/linger": func(next beacon.Sink) beacon.Sink { return sink.Batch(next, sink.BatchOptions{Linger: time.Second}) },
	"Batch/small": func(next beacon.Sink) beacon.Sink {
		return sink.Batch(next, sink.BatchOptions{MaxEvents: 20, Linger: time.Second})
	},
	"VolatileQueue": func(next beacon.Sink) beacon.Sink { return sink.VolatileQueue(next, sink.QueueOptions{}) },
	"VolatileQueue/small": func(next beacon.Sink) beacon.Sink {
		return sink.VolatileQueue(next, sink.QueueOptions{MaxEvents: 20, BatchEvents: 3, Wait: time.Minute})
	},
	"Retry":  func(next beacon.Sink) beacon.Sink { return sink.Retry(next, sink.RetryOptions{}) },
	"Dedup":  func(next beacon.Sink) beacon.Sink { return sink.Dedup(next, sink.DedupOptions{}) },
	"Tee":    func(next beacon.Sink) beacon.Sink { return sink.Tee(sink.Required(next)) },
	"Filter": func(next beacon.Sink) beacon.Sink { return sink.Filter(next, func(beacon.Event) bool { return true }) },
	"Sample": func(next beacon.Sink) beacon.Sink { return sink.Sample(next, 1) },
	"Split": func(next beacon.Sink) beacon.Sink {
		return sink.Split(next, func(e beacon.Event) []beacon.Event { return []beacon.Event{e} })
	},
	"ByName": func(next beacon.Sink) beacon.Sink { return sink.ByName(nil, next) },
	"ByName/several": func(next beacon.Sink) beacon.Sink {
		// All of them lead to next; which knows only one of them for a sink that can be closed.
		aside := beacon.SinkFunc(next.Consume)
		return sink.ByName(map[string]beacon.Sink{"": next, "name0": aside, "name1": aside}, next)
	},
	"Tee/two": func(next beacon.Sink) beacon.Sink {
		return sink.Tee(sink.BestEffort(&beacontest.Recorder{}, nil), sink.Required(&beacontest.Recorder{}), sink.Required(next))
	},
	"Batch(Retry(Dedup(Tee)))": func(next beacon.Sink) beacon.Sink {
		return sink.Batch(sink.Retry(sink.Dedup(sink.Tee(sink.Required(next)), sink.DedupOptions{}), sink.RetryOptions{}), sink.BatchOptions{})
	},
	"VolatileQueue(Batch(Retry))": func(next beacon.Sink) beacon.Sink {
		return sink.VolatileQueue(sink.Batch(sink.Retry(next, sink.RetryOptions{}), sink.BatchOptions{}), sink.QueueOptions{})
	},
	"Dedup(Tee(Batch, VolatileQueue))": func(next beacon.Sink) beacon.Sink {
		return sink.Dedup(sink.Tee(
			sink.Required(sink.Batch(next, sink.BatchOptions{})),
			sink.BestEffort(sink.VolatileQueue(&beacontest.Recorder{}, sink.QueueOptions{}), nil),
		), sink.DedupOptions{})
	},
}

func TestConformance(t *testing.T) {
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := beacontest.TestWrapper(wrap); err != nil {
					t.Error(err)
				}
				if err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
					var r beacontest.Recorder
					s := wrap(&r)
					return s, func() []beacon.Event {
						if err := s.(sink.Sink).Flush(t.Context()); err != nil {
							t.Error(err)
						}
						return r.Events()
					}
				}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// counted makes events with the given ids.
func counted(ids ...string) []beacon.Event {
	events := make([]beacon.Event, len(ids))
	for i, id := range ids {
		events[i] = beacon.Event{ID: id, Body: beacon.Empty{}}
	}
	return events
}

func ids(events []beacon.Event) []string {
	out := make([]string, len(events))
	for i := range events {
		out[i] = events[i].ID
	}
	return out
}

// A script is a sink that records the ids of each call and answers by a function.
type script struct {
	mu     sync.Mutex
	calls  [][]string
	answer func(ctx context.Context, call int, ids []string) error

	flushErr, closeErr, health error
	closed                     int
}

func (s *script) Consume(ctx context.Context, events []beacon.Event) error {
	s.mu.Lock()
	n := len(s.calls)
	s.calls = append(s.calls, ids(events))
	s.mu.Unlock()
	if s.answer == nil {
		return nil
	}
	return s.answer(ctx, n, ids(events))
}

func (s *script) Flush(context.Context) error   { return s.flushErr }
func (s *script) Close(context.Context) error   { s.closed++; return s.closeErr }
func (s *script) Healthy(context.Context) error { return s.health }

func (s *script) got() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func TestMistakesPanic(t *testing.T) {
	next := &beacontest.Recorder{}
	keep := func(beacon.Event) bool { return true }
	split := func(e beacon.Event) []beacon.Event { return []beacon.Event{e} }
	for want, f := range map[string]func(){
		"sink: Batch: no sink":                             func() { sink.Batch(nil, sink.BatchOptions{}) },
		"sink: BatchOptions.MaxEvents is negative: -1":     func() { sink.Batch(next, sink.BatchOptions{MaxEvents: -1}) },
		"sink: BatchOptions.MaxBytes is negative: -1":      func() { sink.Batch(next, sink.BatchOptions{MaxBytes: -1}) },
		"sink: BatchOptions.MaxWaiting is negative: -1":    func() { sink.Batch(next, sink.BatchOptions{MaxWaiting: -1}) },
		"sink: BatchOptions.Linger is negative: -1ns":      func() { sink.Batch(next, sink.BatchOptions{Linger: -1}) },
		"sink: BatchOptions.Timeout is negative":           func() { sink.Batch(next, sink.BatchOptions{Timeout: -1}) },
		"sink: VolatileQueue: no sink":                     func() { sink.VolatileQueue(nil, sink.QueueOptions{}) },
		"sink: QueueOptions.MaxEvents is negative":         func() { sink.VolatileQueue(next, sink.QueueOptions{MaxEvents: -1}) },
		"sink: QueueOptions.Wait is negative":              func() { sink.VolatileQueue(next, sink.QueueOptions{Wait: -1}) },
		"sink: QueueOptions.NoWait is set, and Wait is 1s": func() { sink.VolatileQueue(next, sink.QueueOptions{NoWait: true, Wait: time.Second}) },
		"sink: Retry: no sink":                             func() { sink.Retry(nil, sink.RetryOptions{}) },
		"sink: RetryOptions.Budget is negative":            func() { sink.Retry(next, sink.RetryOptions{Budget: -1}) },
		"sink: RetryOptions.MaxElapsed is negative":        func() { sink.Retry(next, sink.RetryOptions{MaxElapsed: -1}) },
		"sink: Dedup: no sink":                             func() { sink.Dedup(nil, sink.DedupOptions{}) },
		"sink: DedupOptions.MaxIDs is negative":            func() { sink.Dedup(next, sink.DedupOptions{MaxIDs: -1}) },
		"sink: DedupOptions.Window is negative":            func() { sink.Dedup(next, sink.DedupOptions{Window: -1}) },
		"sink: Tee: no sink":                               func() { sink.Tee(sink.Required(next), sink.Required(nil)) },
		"sink: Tee: no member is required":                 func() { sink.Tee(sink.BestEffort(next, nil)) },
		"sink: Filter: no sink":                            func() { sink.Filter(nil, keep) },
		"sink: Filter: no function":                        func() { sink.Filter(next, nil) },
		"sink: Split: no sink":                             func() { sink.Split(nil, split) },
		"sink: Split: no function":                         func() { sink.Split(next, nil) },
		"sink: ByName: no sink":                            func() { sink.ByName(map[string]beacon.Sink{}, nil) },
		"sink: ByName: \"b\": no sink":                     func() { sink.ByName(map[string]beacon.Sink{"a": next, "b": nil}, next) },
		"sink: Sample: no sink":                            func() { sink.Sample(nil, 1) },
		"sink: Sample: rate is not from 0 to 1: 1.1":       func() { sink.Sample(next, 1.1) },
		"sink: Sample: rate is not from 0 to 1: -1e-09":    func() { sink.Sample(next, -1e-9) },
		"sink: Sample: rate is not from 0 to 1: NaN":       func() { sink.Sample(next, math.NaN()) },
		"sink: Log: no handler":                            func() { sink.Log(nil, slog.LevelInfo) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
}

// TestForwarding checks what the sinks without a buffer share.
func TestForwarding(t *testing.T) {
	for name, wrap := range wrappers {
		if strings.Contains(name, "Queue") {
			continue
		}
		next := &script{closeErr: errors.New("cannot close"), health: errors.New("sick")}
		s := wrap(next).(sink.Sink)
		if err := s.Healthy(t.Context()); !errors.Is(err, next.health) {
			t.Errorf("%s: Healthy: %v", name, err)
		}
		for range 2 { // the second is told the same
			if err := s.Close(t.Context()); !errors.Is(err, next.closeErr) || next.closed != 1 {
				t.Errorf("%s: Close: %v, closed %d times", name, err, next.closed)
			}
		}
		if err := s.Healthy(t.Context()); !errors.Is(err, sink.ErrClosed) {
			t.Errorf("%s: Healthy after Close: %v", name, err)
		}
		if err := s.Consume(t.Context(), counted("a")); !errors.Is(err, sink.ErrClosed) {
			t.Errorf("%s: Consume after Close: %v", name, err)
		}
	}
}

// A store need not know of this package to be closed: that it is an io.Closer will do.
func TestCloseOfAnIOCloser(t *testing.T) {
	for name, wrap := range wrappers {
		db := &database{}
		s := wrap(db).(sink.Sink)
		for range 2 {
			if err := s.Close(t.Context()); !errors.Is(err, errCannotClose) || db.closed != 1 {
				t.Errorf("%s: %v, closed %d times", name, err, db.closed)
			}
		}
	}
}

var errCannotClose = errors.New("cannot close")

type database struct{ closed int }

func (*database) Consume(context.Context, []beacon.Event) error { return nil }
func (db *database) Close() error                               { db.closed++; return errCannotClose }

// A second Close waits for the first, but not longer than it may.
func TestCloseWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink.Filter(slowClose{}, func(beacon.Event) bool { return true })
		go func() { _ = s.Close(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if err := s.Close(t.Context()); err == nil || err.Error() != "slow" {
			t.Error(err)
		}
	})
}

type slowClose struct{}

func (slowClose) Consume(context.Context, []beacon.Event) error { return nil }
func (slowClose) Close(context.Context) error                   { time.Sleep(time.Minute); return errors.New("slow") }
