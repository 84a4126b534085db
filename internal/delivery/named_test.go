package delivery_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A sink that names what it does not take gets nothing else again, and what it refuses
// for good is buried without a search.
func TestCourierPartialFailures(t *testing.T) {
	ids := many(100, 7)
	bad := []string{ids[0], ids[1], ids[50], ids[99]}
	cases := []struct {
		name   string
		why    func(tries int) error // of the bad ones
		calls  int                   // at most
		buried []string
	}{
		{"permanent", func(int) error { return beacon.ErrPermanent }, 1, bad},
		{"temporary", func(tries int) error {
			if tries < 3 {
				return errDown
			}
			return nil
		}, 3, nil},
		{"permanent at last", func(tries int) error {
			if tries < 3 {
				return errDown
			}
			return beacon.ErrPermanent
		}, 3, bad},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r run
				tries := map[string]int{}
				k := r.courier(nil)
				k.Next = naming(&r, func(id string) error {
					if !slices.Contains(bad, id) {
						return nil
					}
					tries[id]++
					return c.why(tries[id])
				})
				if left := deliver(t, k, events(ids...), 2*time.Second); left != 0 || r.calls > c.calls {
					t.Error(left, "left after", r.calls, "calls")
				}
				slices.Sort(r.buried)
				if d := cmp.Diff(slices.Sorted(slices.Values(c.buried)), r.buried); d != "" {
					t.Error(d)
				}
				if err := missing(ids, append(r.taken, r.buried...)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// naming is a sink that takes what it can of a call and names the others.
func naming(r *run, consume func(id string) error) beacon.Sink {
	return beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		r.calls++
		var failed []int
		var errs []error
		for i := range events {
			if err := consume(events[i].ID); err != nil {
				failed, errs = append(failed, i), append(errs, err)
			} else {
				r.taken = append(r.taken, events[i].ID)
			}
			events[i].ID = "scribbled over"
		}
		if failed == nil {
			return nil
		}
		return &beacon.PartialError{Failed: failed, Err: beacon.JoinErrors(errs...)}
	})
}

// What was done is counted in the attempt in which it was, and what was not is held, in
// order.
func TestCourierProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		answers := []error{part(errDown, 1, 2), nil, part(beacon.ErrPermanent, 1), errDown, nil}
		c := r.courier(nil)
		var got [][]string
		c.Next = beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			var ids []string
			for _, e := range events {
				ids = append(ids, e.ID)
			}
			got = append(got, ids)
			err := answers[0]
			answers = answers[1:]
			return err
		})
		for i, e := range events("a.0", "a.1", "b.2", "c.3") {
			c.Add(e, 100, i)
		}
		for i, step := range []struct {
			add  string
			want delivery.Progress
			errs bool
			held []int
		}{
			{"", delivery.Progress{Delivered: 2, Bytes: 200}, true, []int{1, 2}},     // a.0 and c.3
			{"c.4", delivery.Progress{Delivered: 1, Bytes: 100}, false, []int{1, 2}}, // c.4; those that failed are not due
			{"", delivery.Progress{Delivered: 1, Buried: 1, Bytes: 200}, true, nil},  // a.1; b.2 is dead
			{"d.5", delivery.Progress{}, true, []int{0}},
			{"", delivery.Progress{Delivered: 1, Bytes: 100}, false, nil},
		} {
			if step.add != "" {
				c.Add(events(step.add)[0], 100, 0)
			}
			if i == 2 {
				c.Hurry()
			}
			p, wait, err := c.Try(t.Context())
			if p != step.want || (err != nil) != step.errs {
				t.Errorf("attempt %d: %+v, %v, want %+v", i, p, err, step.want)
			}
			if d := cmp.Diff(step.held, slices.Collect(c.Held())); d != "" {
				t.Errorf("attempt %d: %s", i, d)
			}
			if i > 1 {
				time.Sleep(wait)
			}
		}
		want := [][]string{{"a.0", "a.1", "b.2", "c.3"}, {"c.4"}, {"a.1", "b.2"}, {"d.5"}, {"d.5"}}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// Poison that the sink names is told by those of the same name that are accepted, and by
// time: a store that is away behind a sink that has several must not cost any event.
func TestCourierNamedPoison(t *testing.T) {
	cases := []struct {
		name   string
		fails  func(e *beacon.Event) bool
		buried int
		within time.Duration
	}{
		{"poison", func(e *beacon.Event) bool { return e.ID == "s1.0" }, 1, 10*time.Minute + 20*time.Second},
		{"a store is away", func(e *beacon.Event) bool { return e.Name == "error" }, 0, 0},
		{"all are away", func(e *beacon.Event) bool { return true }, 0, 0},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r run
				c := r.courier(nil)
				back := false
				c.Next = beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					var failed []int
					for i := range events {
						if !back && test.fails(&events[i]) {
							failed = append(failed, i)
						} else {
							r.taken = append(r.taken, events[i].ID)
						}
					}
					if failed != nil {
						return part(errDown, failed...)
					}
					return nil
				})
				start := time.Now()
				var buriedAt time.Duration
				bury := c.Bury
				c.Bury = func(events []beacon.Event, tags []int, why []error) (int, error) {
					buriedAt = time.Since(start)
					return bury(events, tags, why)
				}
				var ids []string
				for n := range 200 { // an event of each name every ten seconds; the store is back after 25 minutes
					for i, name := range []string{"view", "error"} {
						e := events([]string{"s0.", "s1."}[i] + strconv.Itoa(n))[0]
						e.Name = name
						ids = append(ids, e.ID)
						if room(c) == 0 {
							t.Fatalf("no room after %d events", n)
						}
						c.Add(e, 100, n)
						if n == 150 && i == 0 {
							back = test.buried == 0
						}
					}
					deliver(t, c, nil, 9*time.Second)
					time.Sleep(time.Until(start.Add(time.Duration(n+1) * 10 * time.Second)))
				}
				if len(r.buried) != test.buried || c.Len() > 0 || buriedAt > 0 && (buriedAt < 10*time.Minute || buriedAt > test.within) {
					t.Errorf("%d left, buried %v after %v", c.Len(), r.buried, buriedAt)
				}
				if err := missing(ids, append(r.taken, r.buried...)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What cannot be buried holds nothing up, and is buried later without another call.
func TestCourierKeepsWhatItCannotBury(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		c := r.courier(func(id string) error {
			if id == "a.0" {
				return beacon.ErrPermanent
			}
			return nil
		})
		bury, full := c.Bury, true
		c.Bury = func(events []beacon.Event, tags []int, why []error) (int, error) {
			if full {
				return 0, errors.New("no space")
			}
			return bury(events, tags, why)
		}
		if left := deliver(t, c, events("a.0", "b.1", "a.2"), time.Minute); left != 1 {
			t.Fatal(left, "left")
		}
		calls := r.calls
		full = false
		if left := deliver(t, c, nil, 6*time.Second); left != 0 || len(r.buried) != 1 || len(r.taken) != 2 || r.calls != calls {
			t.Error(left, r.buried, r.taken, r.calls-calls, "calls more")
		}
	})
}

// When delivery is told to end, what the sink took is known all the same.
func TestCourierEnds(t *testing.T) {
	var r run
	ctx, cancel := context.WithCancel(t.Context())
	c := r.courier(nil)
	c.Next = beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		cancel()
		return part(beacon.ErrPermanent, 1)
	})
	feed(c, events("a.0", "a.1", "a.2"))
	p, _, err := c.Try(ctx)
	left := c.Take()
	if p.Delivered != 2 || err == nil || len(r.buried) > 0 || len(left) != 1 || left[0].ID != "a.1" || c.Len() != 0 {
		t.Errorf("%+v, %v, buried %v, left %v", p, err, r.buried, left)
	}
}

// Whatever a sink says, each event is taken once, or buried if it is refused for good.
func TestCourierWithAnySink(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { anySink(t, seed) })
	}
}

func anySink(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	ids := many(1+rng.IntN(80), 1+rng.IntN(5))
	fails := map[string]int{} // how often yet; for ever if it is negative
	var bad []string
	for _, id := range ids {
		switch rng.IntN(10) {
		case 0:
			bad, fails[id] = append(bad, id), -1
		case 1, 2:
			fails[id] = rng.IntN(4)
		}
	}
	var r run
	c := r.courier(nil)
	c.MaxTries, c.BatchEvents = 1000, 20
	c.Next = beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		if len(events) == 0 || len(events) > 20 {
			t.Errorf("seed %d: a call with %d events", seed, len(events))
		}
		if rng.IntN(6) == 0 {
			return errDown
		}
		var failed []int
		permanent, some := true, false
		for i, e := range events {
			if n := fails[e.ID]; n != 0 {
				failed = append(failed, i)
				permanent, some = permanent && n < 0, some || n < 0
				if n > 0 {
					fails[e.ID] = n - 1
				}
			}
		}
		whole := failed != nil && rng.IntN(2) == 0
		for i, e := range events {
			if !whole && !slices.Contains(failed, i) {
				r.taken = append(r.taken, e.ID)
			}
		}
		switch {
		case failed == nil:
			return nil
		case whole && some:
			return beacon.ErrPermanent
		case whole:
			return errDown
		case permanent:
			return part(beacon.ErrPermanent, failed...)
		}
		return part(errDown, failed...)
	})
	bury := c.Bury
	c.Bury = func(events []beacon.Event, tags []int, why []error) (int, error) {
		if rng.IntN(5) == 0 {
			return 0, errors.New("no space")
		}
		return bury(events, tags, why)
	}
	var sum delivery.Progress
	for left := events(ids...); len(left) > 0 || c.Len() > 0; {
		left = feed(c, left)
		p, wait, _ := c.Try(t.Context())
		sum.Delivered += p.Delivered
		sum.Buried += p.Buried
		sum.Bytes += p.Bytes
		time.Sleep(wait)
	}
	slices.Sort(bad)
	slices.Sort(r.buried)
	if err := missing(without(ids, bad...), r.taken); err != nil || !slices.Equal(bad, r.buried) {
		t.Fatalf("seed %d: %v, buried %v, want %v", seed, err, r.buried, bad)
	}
	if (sum != delivery.Progress{Delivered: len(r.taken), Buried: len(bad), Bytes: 100 * int64(len(ids))}) {
		t.Fatalf("seed %d: %+v of %d events, %d of them bad", seed, sum, len(ids), len(bad))
	}
}

// What cannot be buried is left when there is no room for more of it, and delivery goes on.
func TestCourierLeavesWhatItCannotBury(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		c := r.courier(func(id string) error {
			if strings.HasPrefix(id, "bad") {
				return beacon.ErrPermanent
			}
			return nil
		})
		c.Bury = func([]beacon.Event, []int, []error) (int, error) { return 0, errors.New("no space") }
		left := map[int]bool{}
		c.Leave = func(tag int) { left[tag] = true }
		bad := many(1500, 1500)
		for i := range bad {
			bad[i] = "bad" + bad[i]
		}
		good := many(1500, 1500)
		remain := deliver(t, c, events(append(bad, good...)...), time.Hour)
		if d := cmp.Diff(good, r.taken); d != "" {
			t.Error(d)
		}
		if len(left) == 0 || len(left)+remain != len(bad) || remain > 1000 {
			t.Errorf("%d left, %d kept", len(left), remain)
		}
	})
}
