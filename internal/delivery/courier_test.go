package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A run brings events "session.number" past a sink, and records what became of them.
type run struct {
	taken  []string
	buried []string
	calls  int
}

func (r *run) courier(consume func(id string) error) *delivery.Courier[int] {
	return &delivery.Courier[int]{
		Next: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			r.calls++
			for i := range events {
				if err := consume(events[i].ID); err != nil {
					events[i].ID = "scribbled over" // it owns them
					return err
				}
			}
			for _, e := range events {
				r.taken = append(r.taken, e.ID)
			}
			return nil
		}),
		Timeout: time.Minute, Base: 50 * time.Millisecond, Limit: 5 * time.Second, MaxTries: 10,
		BatchEvents: 1000, BatchBytes: 1 << 20, AsideBytes: 1 << 20,
		Bury: func(events []beacon.Event, _ []int, why []error) (int, error) {
			for i, e := range events {
				if why[i] == nil {
					return i, errors.New("no reason")
				}
				r.buried = append(r.buried, e.ID)
			}
			return len(events), nil
		},
	}
}

func events(ids ...string) []beacon.Event {
	out := make([]beacon.Event, len(ids))
	for i, id := range ids {
		session, _, _ := strings.Cut(id, ".")
		out[i] = beacon.Event{ID: id, Session: session}
	}
	return out
}

// deliver feeds the Courier until it has settled all events or so much time has passed,
// and returns how many are left. It has to run in a bubble.
func deliver(t *testing.T, c *delivery.Courier[int], evs []beacon.Event, within time.Duration) (left int) {
	t.Helper()
	start := time.Now()
	for len(evs) > 0 || c.Len() > 0 {
		if time.Since(start) > within {
			break
		}
		evs = feed(c, evs)
		_, wait, err := c.Try(t.Context())
		if wait < 0 || wait == 0 && err == nil && c.Len() == 0 && len(evs) > 0 && room(c) == 0 {
			t.Fatalf("wait %v, %v", wait, err)
		}
		time.Sleep(wait)
	}
	return len(evs) + c.Len()
}

// feed gives the Courier as many of the events as it has a use for, and returns the others.
func feed(c *delivery.Courier[int], evs []beacon.Event) []beacon.Event {
	for n := min(room(c), len(evs)); n > 0; n-- {
		c.Add(evs[0], 100, len(evs))
		evs = evs[1:]
	}
	return evs
}

func room(c *delivery.Courier[int]) int {
	n, bytes := c.Room()
	return min(n, int(bytes+99)/100)
}

func many(n, sessions int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("s%d.%d", i%sessions, i)
	}
	return ids
}

// inOrder reports the sessions whose events were not taken in order.
func inOrder(ids []string) error {
	last := map[string]int{}
	for _, id := range ids {
		var s string
		var n int
		if _, err := fmt.Sscanf(strings.Replace(id, ".", " ", 1), "%s %d", &s, &n); err != nil {
			return err
		}
		if n <= last[s] && last[s] != 0 {
			return fmt.Errorf("%s after %d", id, last[s])
		}
		last[s] = n
	}
	return nil
}

func TestCourierNarrowsAPermanentFailureDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		bad := []string{"s1.1", "s0.500", "s9.999"}
		ids := many(1000, 10)
		c := r.courier(func(id string) error {
			if slices.Contains(bad, id) {
				return fmt.Errorf("%w: bad", beacon.ErrPermanent)
			}
			return nil
		})
		if left := deliver(t, c, events(ids...), 0); left != 0 || r.calls > 40 {
			t.Fatal(left, "left after", r.calls, "calls")
		}
		if d := cmp.Diff(bad, r.buried); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(without(ids, bad...), r.taken); d != "" {
			t.Error(d)
		}
	})
}

func without(ids []string, not ...string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(not, id) })
}

func TestCourierTellsPoisonFromAnOutage(t *testing.T) {
	ids := many(40, 5)
	poison := ids[0]
	only := func(bad string) func(string) error {
		return func(id string) error {
			if id == bad {
				return errors.New("deadlock detected")
			}
			return nil
		}
	}
	cases := []struct {
		name string
		run  func(t *testing.T, r *run)
	}{
		{"poison", func(t *testing.T, r *run) {
			all := many(400, 5)
			if left := deliver(t, r.courier(only(all[7])), events(all...), time.Minute); left != 1 {
				t.Error(left, "left: there is nothing to show that the sink is there")
			}
			if err := errors.Join(inOrder(r.taken), missing(without(all, all[7]), r.taken)); err != nil || len(r.buried) > 0 {
				t.Error(err, r.buried)
			}
		}},
		{"poison among others that come", func(t *testing.T, r *run) {
			c := r.courier(only(poison))
			start := time.Now()
			var left []beacon.Event
			for n := range 6000 { // 200 a second
				left = feed(c, append(left, events(fmt.Sprintf("t%d.%d", n%5, n))...))
				if n == 100 {
					left = append(left, events(poison)...)
				}
				for due := start.Add(time.Duration(n) * 5 * time.Millisecond); ; {
					_, wait, _ := c.Try(t.Context())
					if wait = max(wait, time.Millisecond); time.Now().Add(wait).After(due) {
						time.Sleep(time.Until(due))
						break
					}
					time.Sleep(wait)
				}
			}
			if d := cmp.Diff([]string{poison}, r.buried); d != "" || c.Len() > 0 || len(r.taken) != 6000 || inOrder(r.taken) != nil {
				t.Error(d, c.Len(), len(r.taken))
			}
		}},
		{"outage", func(t *testing.T, r *run) {
			down := true
			c := r.courier(func(string) error {
				if down {
					return errors.New("connection refused")
				}
				return nil
			})
			if left := deliver(t, c, events(ids...), 24*time.Hour); left != len(ids) || len(r.buried) != 0 {
				t.Fatal(left, "left; buried", r.buried)
			}
			if r.calls < 24*3600/5 || r.calls > 24*3600 {
				t.Error(r.calls, "calls in a day")
			}
			down = false
			start := time.Now()
			if left := deliver(t, c, nil, time.Minute); left != 0 || time.Since(start) > 5*time.Second {
				t.Error(left, "left", time.Since(start))
			}
			if err := errors.Join(inOrder(r.taken), missing(ids, r.taken)); err != nil || len(r.buried) != 0 {
				t.Error(err, r.buried)
			}
		}},
		{"alone", func(t *testing.T, r *run) { // nothing shows that the sink is there
			c := r.courier(func(string) error { return errors.New("no") })
			if left := deliver(t, c, events("s0.0", "s0.1"), 24*time.Hour); left != 2 || len(r.buried) != 0 {
				t.Error(left, "left; buried", r.buried)
			}
		}},
		{"one session", func(t *testing.T, r *run) {
			one := many(40, 1)
			if left := deliver(t, r.courier(only(one[3])), events(one...), 3*time.Second); left != 1 {
				t.Error(left, "left")
			}
			if err := errors.Join(inOrder(r.taken), missing(without(one, one[3]), r.taken)); err != nil {
				t.Error(err)
			}
		}},
		{"flaky", func(t *testing.T, r *run) { // every third call works
			n := 0
			c := r.courier(func(string) error { return nil })
			inner := c.Next
			c.Next = beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
				if n++; n%3 != 0 {
					return errors.New("flaky")
				}
				return inner.Consume(ctx, events)
			})
			left := deliver(t, c, events(ids...), time.Hour)
			if err := errors.Join(inOrder(r.taken), missing(ids, r.taken)); err != nil || left != 0 || len(r.buried) != 0 {
				t.Error(err, r.taken, r.buried)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, new(run)) })
		})
	}
}

// Poison at the beginning of every session, and more than one event of it, does not look
// like a sink that is away for good, also if no other event comes.
func TestCourierFindsWhatIsBehindPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		c := r.courier(func(id string) error {
			if strings.HasSuffix(id, "bad") {
				return errDown
			}
			return nil
		})
		evs := events("a.0bad", "a.1bad", "b.2bad", "b.3bad", "b.4bad", "b.5", "a.6bad", "a.7bad")
		if left := deliver(t, c, evs, 5*time.Minute); left != len(evs)-1 || len(r.buried) > 0 {
			t.Errorf("%d left, taken %v, buried %v", left, r.taken, r.buried)
		}
	})
}

// missing reports what was not taken exactly once.
func missing(want, taken []string) error {
	if d := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(taken))); d != "" {
		return errors.New("not each once: " + d)
	}
	return nil
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	for retry := range 80 {
		for range 50 {
			d := delivery.Backoff(50*time.Millisecond, 5*time.Second, retry)
			if d < 0 || d > 5*time.Second || retry < 5 && d > 50*time.Millisecond<<retry {
				t.Fatalf("retry %d: %v", retry, d)
			}
		}
	}
}

type ownError struct{ text string }

func (e *ownError) Error() string { return e.text }

// An error that is a nil pointer in an interface is a failure, not the end of the program.
func TestConsumeGuardsTheTextOfErrors(t *testing.T) {
	for _, e := range []*ownError{nil, {"no"}} {
		err := delivery.Consume(t.Context(), beacon.SinkFunc(func(context.Context, []beacon.Event) error { return e }), events("a.0"))
		request, panics := errors.AsType[*beacon.RequestError](err)
		if panics != (e == nil) || panics && request.Reason != beacon.ReasonPanic || !panics && err != error(e) {
			t.Errorf("%v for %v", err, e)
		}
	}
}
