package spool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// bad says which events of a stream a store does not take: one in so many.
func bad(id string, in int) bool {
	_, n := split(id)
	return in > 0 && n%in == in/2
}

// A bad event costs its neighbours less than two seconds, whatever the store says of it.
func TestPoisonCostsItsNeighboursNothing(t *testing.T) {
	refused := fmt.Errorf("%w: no", beacon.ErrPermanent)
	for _, c := range []struct {
		name    string
		rate    int // events a second
		in      int // one of these is bad
		why     error
		slowest time.Duration
	}{
		{"10 of 200 a second", 200, 20, errors.New("deadlock detected"), time.Second},
		{"1 of 200, plain", 2000, 200, errors.New("deadlock detected"), time.Second},
		{"1 of 100, permanent", 2000, 100, refused, time.Second / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start0, calls, came := time.Now(), 0, 0
				sent := func(n int) time.Time { return start0.Add(time.Duration(n) * time.Second / time.Duration(c.rate)) }
				var slowest time.Duration
				s, err := start(newMemFS(nil), beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					calls++
					time.Sleep(2 * time.Millisecond)
					if slices.ContainsFunc(events, func(e beacon.Event) bool { return !isOther(e) && bad(e.ID, c.in) }) {
						return c.why
					}
					for _, e := range events {
						if _, n := split(e.ID); !isOther(e) {
							slowest = max(slowest, time.Since(sent(n)))
							came++
						}
					}
					return nil
				}), mustOptions(Options{}))
				if err != nil {
					t.Fatal(err)
				}
				const seconds, after = 20, 60 // then only good ones come, to show that the store is there
				poison := 0
				for n := 0; n < seconds*c.rate; {
					var events []beacon.Event
					for range max(1, c.rate/100) {
						e := beacon.Event{ID: fmt.Sprintf("a-%d", n), Session: fmt.Sprint(n % 31)}
						if bad(e.ID, c.in) {
							poison++
							e.Session = fmt.Sprint("bad", n)
						}
						events = append(events, e)
						n++
					}
					time.Sleep(time.Until(sent(n)))
					if err := s.Consume(t.Context(), events); err != nil {
						t.Fatal(err)
					}
				}
				for n := range after * 10 {
					time.Sleep(100 * time.Millisecond)
					if err := s.Consume(t.Context(), []beacon.Event{{ID: fmt.Sprintf("other-%d", n)}}); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := s.Flush(ctx); err != nil {
					t.Error(err)
				}
				if st := s.Stats(); slowest > c.slowest || int(st.Dead) != poison || came != seconds*c.rate-poison {
					t.Errorf("slowest %v, %d of %d came, %+v", slowest, came, seconds*c.rate-poison, st)
				}
				t.Logf("slowest %v, %.3f calls for a good event", slowest, float64(calls)/float64(came))
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A store that is away for an hour costs none of its events, and the others no time.
func TestOneStoreOfSeveralIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(time.Hour)
		calls, came, slowest := 0, map[string]int{}, time.Duration(0)
		store := func(away bool) beacon.Sink {
			return beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if away {
					if calls++; time.Now().Before(back) {
						return errAway
					}
				}
				for _, e := range events {
					came[e.ID]++
					if !away {
						slowest = max(slowest, time.Since(e.Received))
					}
				}
				return nil
			})
		}
		s, err := start(newMemFS(nil), sink.ByName(map[string]beacon.Sink{"log": store(true)}, store(false)), mustOptions(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		const pairs = 480 // in 80 minutes
		for n := range pairs {
			events := []beacon.Event{
				{ID: fmt.Sprint("log", n), Name: "log", Session: fmt.Sprint(n % 3), Received: time.Now()},
				{ID: fmt.Sprint("view", n), Name: "view", Session: fmt.Sprint(n % 3), Received: time.Now()},
			}
			if err := s.Consume(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Flush(ctx), s.Close(ctx)); err != nil {
			t.Error(err)
		}
		st := s.Stats()
		if st.Dead > 0 || len(came) != 2*pairs || st.Delivered != 2*pairs || slowest > 2*time.Second || calls > 3*3600 {
			t.Errorf("slowest %v, %d came, %d calls of the one that was away, %+v", slowest, len(came), calls, st)
		}
	})
}

// What a store refuses costs few calls: one for each call in which it names it; and else
// not many more than any search takes, which is about 1 + log2 of the distance for each.
func TestCallsForWhatIsRefused(t *testing.T) {
	const events = 20000
	for _, c := range []struct {
		in             int // one of these is bad
		named, unnamed int // calls at most
	}{
		{0, 21, 21}, {1000, 21, 300}, {100, 21, 2100}, {10, 21, 15000},
	} {
		for _, names := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				calls := 0
				s, err := start(newMemFS(nil), beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					<-gate
					calls++
					var failed []int
					for i, e := range events {
						if bad(e.ID, c.in) {
							failed = append(failed, i)
						}
					}
					switch {
					case failed == nil:
						return nil
					case names:
						return &beacon.PartialError{Failed: failed, Err: beacon.ErrPermanent}
					}
					return beacon.ErrPermanent
				}), mustOptions(Options{}))
				if err != nil {
					t.Fatal(err)
				}
				for n := 0; n < events; n += 1000 {
					var call []beacon.Event
					for k := range 1000 {
						call = append(call, beacon.Event{ID: fmt.Sprintf("a-%d", n+k)})
					}
					if err := s.Consume(t.Context(), call); err != nil {
						t.Fatal(err)
					}
				}
				close(gate)
				if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
					t.Error(err)
				}
				st, most := s.Stats(), c.unnamed
				if names {
					most = c.named
				}
				if st.Delivered+st.Dead != events || calls > most {
					t.Errorf("1 of %d, named %v: %d calls, at most %d; %+v", c.in, names, calls, most, st)
				}
				t.Logf("1 of %d, named %v: %.4f calls for a good event", c.in, names, float64(calls)/float64(st.Delivered))
			})
		}
	}
}

// A Retry-After of a day is a mistake of the sink, and Flush does not wait for any.
func TestRetryAfterOfADay(t *testing.T) {
	for _, flush := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			s, err := start(newMemFS(nil), beacon.SinkFunc(func(context.Context, []beacon.Event) error {
				if calls++; calls == 1 {
					return &beacon.RetryAfterError{After: 24 * time.Hour, Err: errAway}
				}
				return nil
			}), mustOptions(Options{}))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Consume(t.Context(), one("a")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			start, most := time.Now(), time.Duration(0)
			if !flush {
				most = 5 * time.Minute
				time.Sleep(most)
				synctest.Wait()
				if calls != 2 {
					t.Error(calls, "calls in time")
				}
			}
			if err := s.Flush(t.Context()); err != nil || time.Since(start) > most || calls != 2 {
				t.Error(err, time.Since(start), calls)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A next sink that ends the goroutine has failed, and that is all.
func TestNextEndsTheGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s, err := start(newMemFS(nil), beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			if calls++; calls < 4 {
				runtime.Goexit()
			}
			return nil
		}), mustOptions(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Consume(t.Context(), one("a")), s.Flush(t.Context())); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Delivered != 1 || st.SinkErrors != 3 {
			t.Errorf("%+v", st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A next sink that does not return is told of, and gets nothing else meanwhile.
func TestNextHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		next := newGate()
		o := mustOptions(Options{Timeout: 10 * time.Second})
		o.Logger = log.logger()
		s, err := start(newMemFS(nil), next, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Consume(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := s.Healthy(t.Context()); err != nil || s.Stats().SinkHangs {
			t.Error("before its time:", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := s.Healthy(t.Context()); !errors.Is(err, errSinkHangs) || !s.Stats().SinkHangs {
			t.Error(err)
		}
		if n := log.count("does not return"); n != 1 {
			t.Error(n, "lines")
		}
		if err := s.Consume(t.Context(), one("b")); err != nil {
			t.Error(err)
		}
		close(next.gate)
		if err := errors.Join(s.Flush(t.Context()), s.Healthy(t.Context()), s.Close(t.Context())); err != nil || len(next.taken) != 2 {
			t.Error(err, next.taken)
		}
		if n := log.count("has returned"); n != 1 || s.Stats().SinkHangs {
			t.Error(n, "lines")
		}
	})
}

// A next sink whose Flush panics does not take the caller with it.
func TestNextPanicsInFlush(t *testing.T) {
	s := mustOpen(t, t.TempDir(), panicsInFlush{})
	if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

type panicsInFlush struct{ beacon.SinkFunc }

func (panicsInFlush) Flush(context.Context) error { panic("boom") }
