package sink_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// calls makes one call after the other, each in a goroutine of its own that waits
// in the sink before the next begins, and returns their errors once all are back.
func calls(s beacon.Sink, groups ...[]string) func() []error {
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() { errs[i] = s.Consume(context.Background(), counted(g...)) })
		synctest.Wait()
	}
	return func() []error { wg.Wait(); return errs }
}

func TestBatchGathersWhileTheOneBeforeIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }}
		start := time.Now()
		errs := calls(sink.Batch(next, sink.BatchOptions{}), []string{"a"}, []string{"b", "c"}, []string{"d"})()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"a"}, {"b", "c", "d"}}, next.got()); d != "" {
			t.Error(d)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestBatchEnds(t *testing.T) {
	big := strings.Repeat("x", 1000)
	cases := []struct {
		name    string
		o       sink.BatchOptions
		calls   [][]string
		batches [][]string
		took    time.Duration
	}{
		{"by linger", sink.BatchOptions{Linger: time.Second},
			[][]string{{"a"}, {"b"}}, [][]string{{"a", "b"}}, time.Second},
		{"by events", sink.BatchOptions{Linger: time.Second, MaxEvents: 2},
			[][]string{{"a"}, {"b"}}, [][]string{{"a", "b"}}, 0},
		{"before a call that does not fit", sink.BatchOptions{Linger: time.Second, MaxEvents: 3},
			[][]string{{"a", "b"}, {"c", "d"}}, [][]string{{"a", "b"}, {"c", "d"}}, time.Second},
		{"after a call that exceeds it", sink.BatchOptions{Linger: time.Second, MaxEvents: 2},
			[][]string{{"a", "b", "c"}, {"d"}}, [][]string{{"a", "b", "c"}, {"d"}}, time.Second},
		{"at once, by the bytes of one call", sink.BatchOptions{Linger: time.Second, MaxBytes: 100},
			[][]string{{"a"}, {"b"}}, [][]string{{"a"}, {"b"}}, 0},
		{"by bytes", sink.BatchOptions{Linger: time.Second, MaxBytes: 10_700},
			[][]string{{big}, {big}, {"c"}}, [][]string{{big}, {big, "c"}}, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{}
				start := time.Now()
				if err := errors.Join(calls(sink.Batch(next, c.o), c.calls...)()...); err != nil {
					t.Error(err)
				}
				if d := cmp.Diff(c.batches, next.got()); d != "" {
					t.Error(d)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// Everybody's error is their own: that of the batch, unless one event is at fault.
func TestBatchErrors(t *testing.T) {
	guilty := func(fault func()) func(context.Context, int, []string) error {
		return func(_ context.Context, _ int, ids []string) error {
			if len(ids) == 1 && ids[0] == "gate" {
				time.Sleep(time.Second)
				return nil
			}
			if slices.Contains(ids, "bad") {
				fault()
				return fmt.Errorf("%w: bad", beacon.ErrPermanent)
			}
			return nil
		}
	}
	groups := [][]string{{"gate"}, {"a"}, {"b", "bad", "c"}, {"d"}, {"e"}}
	batch := [][]string{{"gate"}, {"a", "b", "bad", "c", "d", "e"}}
	apart := [][]string{{"a"}, {"b", "bad", "c"}, {"d"}, {"e"}} // at the same time
	cases := []struct {
		name   string
		answer func(context.Context, int, []string) error
		apart  [][]string
		errs   string
	}{
		{"permanent", guilty(func() {}), apart, "[<nil> <nil> permanent failure: bad <nil> <nil>]"},
		{"panic", guilty(func() { panic("boom") }), apart, "[<nil> <nil> beacon: refused: panic: sink: panic: boom <nil> <nil>]"},
		{"the goroutine is ended", guilty(runtime.Goexit), apart, "[<nil> <nil> sink: the sink behind ended the goroutine <nil> <nil>]"},
		{"temporary", func(_ context.Context, n int, _ []string) error {
			if time.Sleep(time.Second); n == 0 {
				return nil
			}
			return errors.New("down")
		}, apart, "[<nil> down down down down]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: c.answer}
				errs := calls(sink.Batch(next, sink.BatchOptions{}), groups...)()
				got := next.got()
				slices.SortFunc(got[2:], slices.Compare)
				if d := cmp.Diff(slices.Concat(batch, c.apart), got); d != "" {
					t.Error(d)
				}
				for i, err := range errs { // without the stack
					if re, ok := errors.AsType[*beacon.RequestError](err); ok {
						first, _, _ := strings.Cut(re.Error(), "\n")
						errs[i] = errors.New(first)
						if re.Status != 500 || re.Reason != beacon.ReasonPanic {
							t.Errorf("%d %s", re.Status, re.Reason)
						}
					}
				}
				if got := fmt.Sprint(errs); got != c.errs {
					t.Errorf("got %s, want %s", got, c.errs)
				}
			})
		})
	}
}

func TestBatchContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		next := &script{answer: func(ctx context.Context, n int, _ []string) error {
			if n == 0 {
				time.Sleep(time.Minute)
			}
			if ctx.Value(key{}) != nil {
				t.Error("the values of one caller")
			}
			if d, ok := ctx.Deadline(); !ok || time.Until(d) > 2*time.Minute {
				t.Errorf("deadline %v", d)
			}
			return ctx.Err()
		}}
		s := sink.Batch(next, sink.BatchOptions{Timeout: 2 * time.Minute})
		all := calls(s, []string{"gate"})

		start := time.Now()
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Second)
		defer cancel()
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Consume(ctx, counted("first")) }()
		synctest.Wait()
		go func() { second <- s.Consume(ctx, counted("second")) }()
		synctest.Wait()
		other := calls(s, []string{"other"})
		for _, c := range []chan error{first, second} {
			if err := <-c; err != context.DeadlineExceeded || time.Since(start) != time.Second {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		}
		if err := errors.Join(append(all(), other()...)...); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"gate"}, {"first", "second", "other"}}, next.got()); d != "" {
			t.Error(d)
		}
		if err := s.Consume(ctx, counted("late")); err != context.DeadlineExceeded || len(next.got()) != 2 {
			t.Error("an ended context led to a batch:", err)
		}
	})
}

func TestBatchFlushEndsLingering(t *testing.T) {
	for name, end := range map[string]func(s sink.Sink) error{
		"Flush": func(s sink.Sink) error { return s.Flush(context.Background()) },
		"Close": func(s sink.Sink) error { return s.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }}
				s := sink.Batch(next, sink.BatchOptions{Linger: time.Hour})
				all := calls(s, []string{"a"}, []string{"b"})
				start := time.Now()
				if err := end(s); err != nil || time.Since(start) != time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				if err := errors.Join(all()...); err != nil || time.Since(start) != time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

// A Close that runs out of time closes next all the same, and says so.
func TestBatchCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Minute); return nil }}
		s := sink.Batch(next, sink.BatchOptions{Timeout: time.Hour})
		all := calls(s, []string{"a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Flush(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || next.closed != 1 {
			t.Error(err, next.closed)
		}
		if err := errors.Join(all()...); err != nil {
			t.Error(err)
		}
	})
}

// With one event per call, and with many; a ratio to the plain call is what
// counts.
func BenchmarkBatch(b *testing.B) {
	next := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	for _, callers := range []int{1, 64} {
		for _, size := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("callers=%d/events=%d", callers, size), func(b *testing.B) {
				s := sink.Batch(next, sink.BatchOptions{})
				events := make([]beacon.Event, size)
				for i := range events {
					events[i] = beacon.Event{ID: "0193f3a0-0000-7000-8000-000000000000", Body: beacon.Text("hello")}
					events[i].Request.ID = "one request"
				}
				b.ReportAllocs()
				b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				if callers == 1 {
					for b.Loop() {
						if err := s.Consume(context.Background(), events); err != nil {
							b.Fatal(err)
						}
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := s.Consume(context.Background(), events); err != nil {
								b.Error(err)
							}
						}
					})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
			})
		}
	}
}
