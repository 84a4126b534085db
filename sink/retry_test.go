package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

func TestRetry(t *testing.T) {
	down := errors.New("down")
	later := func(d time.Duration) error { return fmt.Errorf("x: %w", &beacon.RetryAfterError{After: d, Err: down}) }
	status := func(code int, after time.Duration) error {
		return &beacon.RequestError{Status: code, Reason: "own", RetryAfter: after}
	}
	cases := []struct {
		name             string
		o                sink.RetryOptions
		errs             []error // of the calls; nil from then on
		want             error
		calls            int
		atLeast, atMost  time.Duration
		deadline, cancel time.Duration // of the context
	}{
		{name: "at first", calls: 1},
		{name: "at last", errs: []error{down, down, down}, calls: 4, atMost: 350 * time.Millisecond},
		{name: "permanent", errs: []error{down, beacon.ErrPermanent}, want: beacon.ErrPermanent, calls: 2, atMost: 50 * time.Millisecond},
		{name: "403", errs: []error{status(403, 0)}, want: status(403, 0), calls: 1},
		{name: "429", errs: []error{status(429, time.Second)}, calls: 2, atLeast: time.Second, atMost: 1050 * time.Millisecond},
		{name: "408, 425, 500", errs: []error{status(408, 0), status(425, 0), status(500, 0)}, calls: 4, atMost: 350 * time.Millisecond},
		{name: "a delay that fits", errs: []error{later(3 * time.Second)}, calls: 2, atLeast: 3 * time.Second, atMost: 3050 * time.Millisecond},
		{name: "a delay that does not", errs: []error{down, later(5 * time.Second)}, want: later(5 * time.Second), calls: 2, atMost: 50 * time.Millisecond},
		{name: "a delay as long as can be", errs: []error{later(math.MaxInt64)}, want: later(math.MaxInt64), calls: 1},
		{name: "a delay as long as can be, with a status", errs: []error{status(429, math.MaxInt64)}, want: status(429, math.MaxInt64), calls: 1},
		{name: "a delay past the deadline", errs: []error{later(3 * time.Second)}, want: later(3 * time.Second), calls: 1, deadline: 2 * time.Second},
		{name: "cap", o: sink.RetryOptions{Base: time.Second, Cap: time.Millisecond}, errs: []error{down, down, down}, calls: 4, atMost: 3 * time.Millisecond},
		{name: "budget", o: sink.RetryOptions{Budget: 2}, errs: []error{down, down, down, down}, want: down, calls: 2, atMost: 50 * time.Millisecond},
		{name: "cancelled while it waits", errs: []error{later(2 * time.Second)}, want: later(2 * time.Second), calls: 1, cancel: time.Second, atLeast: time.Second, atMost: time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: func(_ context.Context, n int, _ []string) error {
					if n < len(c.errs) {
						return c.errs[n]
					}
					return nil
				}}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				start := time.Now()
				err := sink.Retry(next, c.o).Consume(ctx, counted("a", "b"))
				if fmt.Sprint(err) != fmt.Sprint(c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(start); took < c.atLeast || took > c.atMost {
					t.Errorf("took %v, want %v to %v", took, c.atLeast, c.atMost)
				}
				got := next.got()
				if len(got) != c.calls {
					t.Errorf("%d calls, want %d", len(got), c.calls)
				}
				for _, ids := range got {
					if d := cmp.Diff([]string{"a", "b"}, ids); d != "" {
						t.Error(d)
					}
				}
			})
		})
	}
}

// The waits are spread from nothing to what they may be, and it ends in time.
func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, at time.Duration
		short, long := time.Hour, time.Duration(0)
		for range 200 {
			start := time.Now()
			next := &script{answer: func(_ context.Context, n int, _ []string) error {
				if at = time.Since(start); n == 1 {
					first = at
				}
				return errors.New("down")
			}}
			if err := sink.Retry(next, sink.RetryOptions{}).Consume(t.Context(), counted("a")); err == nil || err.Error() != "down" {
				t.Error(err)
			}
			if at >= 5*time.Second || time.Since(start) != at {
				t.Errorf("last attempt after %v, gave up after %v", at, time.Since(start))
			}
			short, long = min(short, first), max(long, first)
		}
		if short > 5*time.Millisecond || long < 45*time.Millisecond || long > 50*time.Millisecond {
			t.Errorf("first waits from %v to %v", short, long)
		}
	})
}

// In an outage of calls calls, retries are few; after ten successes there is one more.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		n := 0
		s := sink.Retry(beacon.SinkFunc(func(context.Context, []beacon.Event) error { n++; return err }), sink.RetryOptions{Budget: 5})
		call := func(calls int) int {
			n = 0
			for range calls {
				_ = s.Consume(t.Context(), counted("a"))
			}
			return n
		}
		err = errors.New("down")
		if n := call(1000); n != 1005 {
			t.Errorf("%d attempts for 1000 calls, want 5 more", n)
		}
		err = nil
		call(9)
		err = errors.New("down")
		if n := call(10); n != 10 {
			t.Errorf("%d attempts for 10 calls, want no more", n)
		}
		err = nil
		call(1)
		err = errors.New("down")
		if n := call(10); n != 11 {
			t.Errorf("%d attempts for 10 calls, want one more", n)
		}
		err = nil
		call(10_000)
		err = errors.New("down")
		if n := call(10); n != 15 {
			t.Errorf("%d attempts for 10 calls, want the whole budget more, and not beyond", n)
		}
	})
}

// Whoever sends events that always fail does not use up the retries of others.
func TestRetryBudgetIsLeftForOthers(t *testing.T) {
	cases := []struct {
		name string
		bad  int // events that fail, a second's worth of them at the same time
		good int // events that succeed in the same second
		why  error
		wait time.Duration // after all this
		want bool          // a call that fails once is tried again
	}{
		{"forty at once", 40, 0, errDown, 0, true},
		{"more than there is", 300, 0, errDown, 0, false},
		{"more than there is, a while ago", 300, 0, errDown, time.Second, true},
		{"one in twelve, for ten minutes", 10, 110, errDown, 0, true},
		{"refused for good, which costs nothing", 10_000, 0, errRefused, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flaked := false
				s := sink.Retry(beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					switch {
					case bad(events[0].ID):
						return c.why
					case events[0].ID == "flaky" && !flaked:
						flaked = true
						return errDown
					}
					return nil
				}), sink.RetryOptions{})
				rounds := 1
				if c.good > 0 {
					rounds = 600
				}
				var wg sync.WaitGroup
				for range rounds {
					for range c.bad {
						wg.Go(func() { _ = s.Consume(t.Context(), counted("bad")) })
					}
					for range c.good {
						if err := s.Consume(t.Context(), counted("good")); err != nil {
							t.Error(err)
						}
					}
					if c.good > 0 {
						time.Sleep(time.Second)
					}
				}
				wg.Wait()
				time.Sleep(c.wait)
				if err := s.Consume(t.Context(), counted("flaky")); (err == nil) != c.want {
					t.Error(err)
				}
			})
		})
	}
}

func TestRetryCloseEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := &beacon.RetryAfterError{After: 4 * time.Second, Err: errors.New("down")}
		next := &script{answer: func(context.Context, int, []string) error { return later }}
		s := sink.Retry(next, sink.RetryOptions{})
		start := time.Now()
		all := calls(s, []string{"a"})
		time.Sleep(time.Second)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if errs := all(); errs[0] != later || time.Since(start) != time.Second {
			t.Errorf("%v after %v", errs, time.Since(start))
		}
	})
}

func TestRetryLetsPanicsThrough(t *testing.T) {
	n := 0
	s := sink.Retry(beacon.SinkFunc(func(context.Context, []beacon.Event) error { n++; panic("boom") }), sink.RetryOptions{})
	defer func() {
		if p := recover(); p != "boom" || n != 1 {
			t.Error(p, n)
		}
	}()
	_ = s.Consume(t.Context(), counted("a"))
}

func BenchmarkRetry(b *testing.B) {
	s := sink.Retry(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), sink.RetryOptions{})
	events := make([]beacon.Event, 16)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Consume(context.Background(), events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
