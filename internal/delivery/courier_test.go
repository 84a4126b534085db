package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
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

func (r *run) courier(consume func(id string) error) *delivery.Courier {
	return &delivery.Courier{
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
		Timeout: time.Minute, Base: time.Millisecond, Limit: time.Second, MaxTries: 4,
		Bury: func(e beacon.Event, _ error) error {
			r.buried = append(r.buried, e.ID)
			return nil
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

func deliver(t *testing.T, c *delivery.Courier, evs []beacon.Event, attempts int) (left int) {
	t.Helper()
	for range attempts {
		if len(evs) == 0 {
			break
		}
		p, wait, err := c.Try(t.Context(), evs, len(evs))
		if wait < 0 || wait > time.Second || err == nil && p.Settled == 0 {
			t.Fatalf("%+v, wait %v, %v", p, wait, err)
		}
		evs = evs[p.Settled:]
	}
	return len(evs)
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
	var r run
	bad := []string{"s1.1", "s0.500", "s9.999"}
	ids := many(1000, 10)
	c := r.courier(func(id string) error {
		if slices.Contains(bad, id) {
			return fmt.Errorf("%w: bad", beacon.ErrPermanent)
		}
		return nil
	})
	if left := deliver(t, c, events(ids...), 100); left != 0 {
		t.Fatal(left, "left")
	}
	if d := cmp.Diff(bad, r.buried); d != "" {
		t.Error(d)
	}
	want := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(bad, id) })
	if d := cmp.Diff(want, r.taken); d != "" {
		t.Error(d)
	}
}

func TestCourierTellsPoisonFromAnOutage(t *testing.T) {
	ids := many(40, 5)
	poison := "s0.0"
	t.Run("poison", func(t *testing.T) {
		var r run
		c := r.courier(func(id string) error {
			if id == poison {
				return errors.New("deadlock detected")
			}
			return nil
		})
		if left := deliver(t, c, events(ids...), 100); left != 0 {
			t.Fatal(left, "left")
		}
		if d := cmp.Diff([]string{poison}, r.buried); d != "" {
			t.Error(d)
		}
		if len(r.taken) != len(ids)-1 {
			t.Errorf("%d events taken, want each of the other %d once: %v", len(r.taken), len(ids)-1, r.taken)
		}
		if err := inOrder(r.taken); err != nil {
			t.Error("order within a session:", err)
		}
	})
	t.Run("outage", func(t *testing.T) {
		var r run
		down := true
		c := r.courier(func(string) error {
			if down {
				return errors.New("connection refused")
			}
			return nil
		})
		if left := deliver(t, c, events(ids...), 500); left != len(ids) || len(r.buried) != 0 {
			t.Fatal(left, "left; buried", r.buried)
		}
		down = false
		deliver(t, c, events(ids...), 20)
		if d := cmp.Diff(ids, r.taken); d != "" || len(r.buried) != 0 {
			t.Error(d, r.buried)
		}
	})
	t.Run("alone", func(t *testing.T) { // nothing shows that the sink is there
		var r run
		c := r.courier(func(string) error { return errors.New("no") })
		if left := deliver(t, c, events("s0.0", "s0.1"), 500); left != 2 || len(r.buried) != 0 {
			t.Error(left, "left; buried", r.buried)
		}
	})
	t.Run("one session", func(t *testing.T) {
		var r run
		one := many(40, 1)
		c := r.courier(func(id string) error {
			if id == one[3] {
				return errors.New("deadlock detected")
			}
			return nil
		})
		if left := deliver(t, c, events(one...), 100); left != 0 {
			t.Fatal(left, "left")
		}
		if d := cmp.Diff([]string{one[3]}, r.buried); d != "" || len(r.taken) != len(one)-1 || inOrder(r.taken) != nil {
			t.Error(d, r.taken)
		}
	})
	t.Run("one at a time", func(t *testing.T) { // the others are only looked at
		var r run
		c := r.courier(func(id string) error {
			if id == poison {
				return errors.New("deadlock detected")
			}
			return nil
		})
		left := events(ids...)
		for range 100 {
			if len(left) == 0 {
				break
			}
			p, _, _ := c.Try(t.Context(), left, 1)
			left = left[p.Settled:]
		}
		if d := cmp.Diff([]string{poison}, r.buried); d != "" || len(left) != 0 || len(r.taken) != len(ids)-1 {
			t.Error(d, len(left), r.taken)
		}
	})
	t.Run("flaky", func(t *testing.T) { // every third call works
		var r run
		n := 0
		c := r.courier(func(string) error { return nil })
		inner := c.Next
		c.Next = beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			if n++; n%3 != 0 {
				return errors.New("flaky")
			}
			return inner.Consume(ctx, events)
		})
		deliver(t, c, events(ids...), 1000)
		if err := inOrder(r.taken); err != nil || len(r.taken) != len(ids) || len(r.buried) != 0 {
			t.Error(err, r.taken, r.buried)
		}
	})
}

func TestCourierKeepsWhatItCannotBury(t *testing.T) {
	var r run
	c := r.courier(func(id string) error {
		if id == "a.0" {
			return beacon.ErrPermanent
		}
		return nil
	})
	bury, full := c.Bury, true
	c.Bury = func(e beacon.Event, why error) error {
		if full {
			return errors.New("no space")
		}
		return bury(e, why)
	}
	evs := events("a.0", "b.0")
	if left := deliver(t, c, evs, 10); left != 2 {
		t.Fatal(left, "left")
	}
	full = false
	if left := deliver(t, c, evs, 10); left != 0 || len(r.buried) != 1 || len(r.taken) != 1 {
		t.Error(left, r.buried, r.taken)
	}
}

func TestCourierSurvivesAPanic(t *testing.T) {
	var r run
	c := r.courier(func(string) error { panic("boom") })
	p, wait, err := c.Try(t.Context(), events("a.0"), 1)
	if p != (delivery.Progress{}) || wait < 0 || err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(p, wait, err)
	}
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
