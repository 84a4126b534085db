package beacontest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A layer is a correct sink in front of another, of which each test replaces what
// it breaks.
type layer struct {
	next    beacon.Sink
	closing sync.Once
	closed  atomic.Bool

	consume func(ctx context.Context, events []beacon.Event) error
	flush   func(ctx context.Context) error
	close   func(ctx context.Context) error
	healthy func(ctx context.Context) error
}

func (l *layer) Consume(ctx context.Context, events []beacon.Event) error {
	if l.closed.Load() {
		return errClosed
	}
	if l.consume != nil {
		return l.consume(ctx, events)
	}
	return l.next.Consume(ctx, events)
}

func (l *layer) Flush(ctx context.Context) error {
	if l.flush != nil {
		return l.flush(ctx)
	}
	return l.next.(beacon.Flusher).Flush(ctx)
}

func (l *layer) Close(ctx context.Context) (err error) {
	if l.close != nil {
		return l.close(ctx)
	}
	l.closing.Do(func() {
		l.closed.Store(true)
		err = l.next.(beacon.Closer).Close(ctx)
	})
	return err
}

func (l *layer) Healthy(ctx context.Context) error {
	if l.healthy != nil {
		return l.healthy(ctx)
	}
	if l.closed.Load() {
		return errClosed
	}
	return l.next.(beacon.HealthChecker).Healthy(ctx)
}

var errClosed = errors.New("closed")

func TestLayerIsAWrapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := beacontest.TestWrapper(func(next beacon.Sink) beacon.Sink { return &layer{next: next} }); err != nil {
			t.Error(err)
		}
	})
}

// TestBrokenWrappers checks that each rule finds the sink that breaks it, and says
// which it was.
func TestBrokenWrappers(t *testing.T) {
	cases := []struct {
		want   string
		broken func(l *layer)
	}{
		{"every body: event body-6 is not stored", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				return l.next.Consume(ctx, events[:max(0, len(events)-1)])
			}
		}},
		{"every body: 14 events arrived, of 7", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				return l.next.Consume(ctx, append(slices.Clone(events), events...))
			}
		}},
		{"concurrency: event", func(l *layer) {
			var busy atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if busy.Swap(true) {
					return nil
				}
				defer busy.Store(false)
				time.Sleep(time.Millisecond)
				return l.next.Consume(ctx, events)
			}
		}},
		{"ownership: event owned0-0 is not stored", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) (err error) {
				for range 5 {
					if err = l.next.Consume(ctx, events); err == nil {
						return nil
					}
				}
				return err
			}
		}},
		{"ownership: a slice that the next sink kept was changed later: it holds an event", func(l *layer) {
			turn := make(chan []beacon.Event, 1)
			turn <- make([]beacon.Event, 7)
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				pooled := <-turn
				defer func() { turn <- pooled }()
				return l.next.Consume(ctx, pooled[:copy(pooled, events)])
			}
		}},
		{"shared values: event shared-0 was changed", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				for _, e := range events {
					e.Query[0].Value = "redacted"
				}
				return l.next.Consume(ctx, events)
			}
		}},
		{"no events: nothing to do", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if len(events) == 0 {
					return errors.New("nothing to do")
				}
				return l.next.Consume(ctx, events)
			}
		}},
		{"ended context: event context-0 is not stored", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if ctx.Err() != nil {
					return nil
				}
				return l.next.Consume(ctx, events)
			}
		}},
		{"ended context: Consume did not return", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if ctx.Err() != nil {
					time.Sleep(time.Hour)
				}
				return l.next.Consume(ctx, events)
			}
		}},
		{"outage: event outage-0 is not stored", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				_ = l.next.Consume(ctx, events)
				return nil
			}
		}},
		{"outage: a temporary error became permanent", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if err := l.next.Consume(ctx, events); err != nil {
					return fmt.Errorf("%w: %w", beacon.ErrPermanent, err)
				}
				return nil
			}
		}},
		{"outage: 20 calls in a row failed", func(l *layer) {
			var broken atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if broken.Load() {
					return errors.New("broken for ever")
				}
				err := l.next.Consume(ctx, events)
				broken.Store(err != nil)
				return err
			}
		}},
		{"kinds of errors: a RetryAfterError is not found", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				err := l.next.Consume(ctx, events)
				if ra, ok := errors.AsType[*beacon.RetryAfterError](err); ok {
					return ra.Err
				}
				return err
			}
		}},
		{"ErrPermanent came out with permanent = false", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if err := l.next.Consume(ctx, events); err != nil {
					return fmt.Errorf("next: %v", err)
				}
				return nil
			}
		}},
		{"was given to the next sink again, which had taken it", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) (err error) {
				for range 5 { // all of them, whatever it took
					if err = l.next.Consume(ctx, slices.Clone(events)); err == nil || beacon.IsPermanent(err) {
						return err
					}
				}
				return err
			}
		}},
		{"partial failure: temporary: event partial", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				slices.Reverse(events) // and the positions are those of this order
				return l.next.Consume(ctx, events)
			}
		}},
		{"-2 is reported, though the next sink took it", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				err := l.next.Consume(ctx, events)
				if part, ok := errors.AsType[*beacon.PartialError](err); ok && beacon.IsPermanent(err) {
					return &beacon.PartialError{Failed: append(slices.Clone(part.Failed), 2), Err: part.Err}
				}
				return err
			}
		}},
		{"partial failure: temporary: not reported, and event partial0-1 is not stored", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				err := l.next.Consume(ctx, events)
				if _, ok := errors.AsType[*beacon.PartialError](err); ok {
					return nil // it took most
				}
				return err
			}
		}},
		{"partial failure: permanent: a permanent error became temporary", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				err := l.next.Consume(ctx, events)
				if part, ok := errors.AsType[*beacon.PartialError](err); ok {
					return &beacon.PartialError{Failed: part.Failed, Err: errors.New(part.Err.Error())}
				}
				return err
			}
		}},
		{"partial failure: names that make no sense: not reported, and event partial", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				n := len(events)
				err := l.next.Consume(ctx, events)
				if part, ok := errors.AsType[*beacon.PartialError](err); ok && slices.Contains(part.Failed, n) {
					return &beacon.PartialError{Failed: slices.DeleteFunc(slices.Clone(part.Failed), func(i int) bool { return i == n }), Err: part.Err}
				}
				return err
			}
		}},
		{"poison: another call: permanent", func(l *layer) {
			var poisoned atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if err := l.next.Consume(ctx, events); errors.Is(err, beacon.ErrPermanent) {
					poisoned.Store(true)
				} else if err != nil {
					return err
				}
				time.Sleep(time.Millisecond)
				if poisoned.Load() {
					return beacon.ErrPermanent
				}
				return nil
			}
		}},
		{"poison: another call: event call", func(l *layer) {
			var poisoned atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if len(events) > 0 && events[0].ID != "call7-0" {
					time.Sleep(200 * time.Millisecond)
				}
				if poisoned.Load() {
					return nil
				}
				err := l.next.Consume(ctx, events)
				if errors.Is(err, beacon.ErrPermanent) {
					poisoned.Store(true)
				}
				return err
			}
		}},
		{"panic: a call after it: Consume did not return", func(l *layer) {
			turn := make(chan struct{}, 1)
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				select {
				case turn <- struct{}{}:
				case <-time.After(time.Hour):
					return errors.New("at last")
				}
				err := l.next.Consume(ctx, events)
				<-turn // not reached after a panic
				return err
			}
		}},
		{"panic: nil was returned, and event panic", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				defer func() { _ = recover() }()
				return l.next.Consume(ctx, events)
			}
		}},
		{"flush: the next sink was not flushed", func(l *layer) {
			l.flush = func(context.Context) error { return nil }
		}},
		{"flush: the next sink was flushed when it had 0 of 7 events", func(l *layer) {
			l.consume = func(_ context.Context, events []beacon.Event) error {
				go func() {
					time.Sleep(time.Second)
					defer func() { _ = recover() }()
					_ = l.next.Consume(context.Background(), events)
				}()
				return nil
			}
		}},
		{"flush: the error of the next sink's Flush is lost", func(l *layer) {
			l.flush = func(ctx context.Context) error { _ = l.next.(beacon.Flusher).Flush(ctx); return nil }
		}},
		{"close: the next sink was closed 5 times, want once", func(l *layer) {
			l.close = func(ctx context.Context) error {
				l.closed.Store(true)
				return l.next.(beacon.Closer).Close(ctx)
			}
		}},
		{"close: the next sink was closed 0 times, want once", func(l *layer) {
			l.close = func(context.Context) error { l.closed.Store(true); return nil }
		}},
		{"close: the next sink was closed when it had 0 of 7 events", func(l *layer) {
			l.consume = func(_ context.Context, events []beacon.Event) error {
				time.AfterFunc(time.Second, func() {
					defer func() { _ = recover() }()
					_ = l.next.Consume(context.Background(), events)
				})
				return nil
			}
		}},
		{"close: Consume returned nil after Close", func(l *layer) {
			l.close = func(ctx context.Context) (err error) {
				l.closing.Do(func() { err = l.next.(beacon.Closer).Close(ctx) })
				return err
			}
		}},
		{"close: the next sink got events after it was closed", func(l *layer) {
			var closed atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				err := l.next.Consume(ctx, events)
				if closed.Load() {
					return errClosed
				}
				return err
			}
			l.close = func(ctx context.Context) (err error) {
				l.closing.Do(func() {
					closed.Store(true)
					err = l.next.(beacon.Closer).Close(ctx)
				})
				return err
			}
		}},
		{"close: after Close the error of Consume is permanent", func(l *layer) {
			var closed atomic.Bool
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if closed.Load() {
					return beacon.ErrPermanent
				}
				return l.next.Consume(ctx, events)
			}
			l.close = func(ctx context.Context) (err error) {
				l.closing.Do(func() {
					closed.Store(true)
					err = l.next.(beacon.Closer).Close(ctx)
				})
				return err
			}
		}},
		{"health: at first: sick", func(l *layer) {
			l.healthy = func(context.Context) error { return errors.New("sick") }
		}},
		{"health: after the next sink became well again: no connection", func(l *layer) {
			var sick error
			l.healthy = func(ctx context.Context) error {
				if sick == nil {
					sick = l.next.(beacon.HealthChecker).Healthy(ctx)
				}
				return sick
			}
		}},
		{"health: nil after Close", func(l *layer) {
			l.healthy = func(context.Context) error { return nil }
		}},
		{"more goroutines after 10 sinks were made and closed", func(l *layer) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				go time.Sleep(time.Hour)
				return l.next.Consume(ctx, events)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := beacontest.TestWrapper(func(next beacon.Sink) beacon.Sink {
					l := &layer{next: next}
					c.broken(l)
					return l
				})
				found(t, err, c.want)
				time.Sleep(24 * time.Hour) // until those that hang are through
			})
		})
	}
	t.Run("interfaces", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			err := beacontest.TestWrapper(func(next beacon.Sink) beacon.Sink { return beacon.SinkFunc(next.Consume) })
			found(t, err, "interfaces: it is no beacon.Flusher\nit is no beacon.Closer\nit is no beacon.HealthChecker")
		})
	})
}

func found(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rule: ") {
		t.Errorf("want %q, got\n%v", want, err)
	}
}

// A leaf is a correct sink that is the last of its chain, of which each test
// replaces what it breaks.
type leaf struct {
	beacontest.Recorder
	held   []beacon.Event
	closed bool

	consume func(ctx context.Context, events []beacon.Event) error
	flush   func() error
	close   func() error
	healthy func() error
}

func (l *leaf) Consume(ctx context.Context, events []beacon.Event) error {
	if l.consume != nil {
		return l.consume(ctx, events)
	}
	if l.closed {
		return errClosed
	}
	return l.Recorder.Consume(ctx, events)
}

func (l *leaf) Flush(context.Context) error {
	if l.flush != nil {
		return l.flush()
	}
	return nil
}

func (l *leaf) Close(context.Context) error {
	if l.close != nil {
		return l.close()
	}
	l.closed = true
	return nil
}

func (l *leaf) Healthy(context.Context) error {
	if l.healthy != nil {
		return l.healthy()
	}
	return nil
}

// TestBrokenLeaves checks the rules for what a sink may offer beyond Consume.
func TestBrokenLeaves(t *testing.T) {
	cases := []struct {
		want   string
		broken func(l *leaf)
	}{
		{"context values: unknown tenant", func(l *leaf) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if ctx.Value("tenant") != nil {
					return errors.New("unknown tenant")
				}
				return l.Recorder.Consume(ctx, events)
			}
		}},
		{"flush: event flush0-0 is not stored", func(l *leaf) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if len(events) > 0 && strings.HasPrefix(events[0].ID, "flush") {
					l.held = append(l.held, events...)
					return nil
				}
				return l.Recorder.Consume(ctx, events)
			}
		}},
		{"flush: Flush: cannot", func(l *leaf) { l.flush = func() error { return errors.New("cannot") } }},
		{"flush: closed", func(l *leaf) {
			l.flush = func() error { l.closed = true; return nil }
		}},
		{"close: the second time: Close: closed", func(l *leaf) {
			l.close = func() error {
				if l.closed {
					return errClosed
				}
				l.closed = true
				return nil
			}
		}},
		{"close: event late-0 is not stored", func(l *leaf) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if l.closed {
					return nil
				}
				return l.Recorder.Consume(ctx, events)
			}
		}},
		{"close: event close-0 is not stored", func(l *leaf) {
			l.close = func() error { l.closed = true; l.Reset(); return nil }
		}},
		{"close: after Close the error of Consume is permanent", func(l *leaf) {
			l.consume = func(ctx context.Context, events []beacon.Event) error {
				if l.closed {
					return beacon.ErrPermanent
				}
				return l.Recorder.Consume(ctx, events)
			}
		}},
		{"health: at first: sick", func(l *leaf) { l.healthy = func() error { return errors.New("sick") } }},
		{"health: after events were taken: full", func(l *leaf) {
			l.healthy = func() error {
				if len(l.Events()) > 0 {
					return errors.New("full")
				}
				return nil
			}
		}},
		{"", func(*leaf) {}},
	}
	for _, c := range cases {
		err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
			l := &leaf{}
			c.broken(l)
			return l, l.Events
		})
		if c.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		found(t, err, c.want)
	}
}
