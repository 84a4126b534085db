package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

var errDown = errors.New("down")

func part(err error, failed ...int) error { return &beacon.PartialError{Failed: failed, Err: err} }

func TestFailed(t *testing.T) {
	all := []int{0, 1, 2}
	refused := fmt.Errorf("%w: no", beacon.ErrPermanent)
	later := &beacon.RetryAfterError{After: time.Minute, Err: errDown}
	cases := []struct {
		name      string
		err       error
		failed    []int
		named     bool
		permanent bool
		wait      time.Duration
		text      string
	}{
		{"nil", nil, nil, false, false, 0, "<nil>"},
		{"plain", errDown, all, false, false, 0, "down"},
		{"some", part(refused, 2, 0, 2), []int{0, 2}, true, true, 0, "permanent failure: no"},
		{"each", part(later, 0, 1, 2), all, true, false, time.Minute, "retry after 1m0s: down"},
		{"none", part(refused), all, false, true, 0, "permanent failure: no"},
		{"one that there is not", part(errDown, 1, 3), all, false, false, 0, "down"},
		{"one before the first", part(errDown, -1, 1), all, false, false, 0, "down"},
		{"wrapped", fmt.Errorf("table: %w", part(later, 1)), []int{1}, true, false, time.Minute, "table: 1 events not taken: retry after 1m0s: down"},
		{"wrapped as permanent", fmt.Errorf("%w: %w", refused, part(errDown, 1)), []int{1}, true, true, 0, "permanent failure: no: 1 events not taken: down"},
		{"in another", part(part(refused, 0), 1), []int{1}, true, true, 0, "1 events not taken: 1 events not taken: permanent failure: no"},
		{"without a reason", part(nil, 1), []int{1}, true, false, 0, "1 events not taken: <nil>"},
	}
	for _, c := range cases {
		failed, why, named := delivery.Failed(c.err, 3)
		wait, _ := beacon.RetryAfter(why)
		if d := cmp.Diff(c.failed, failed); d != "" || named != c.named || beacon.IsPermanent(why) != c.permanent || wait != c.wait || fmt.Sprint(why) != c.text {
			t.Errorf("%s: %v, named %v, permanent %v, after %v: %v", c.name, failed, named, beacon.IsPermanent(why), wait, why)
		}
		if _, found := errors.AsType[*beacon.PartialError](why); found {
			t.Errorf("%s: a part is found in %v", c.name, why)
		}
	}
	if mine := []int{2, 1}; delivery.Whole(part(errDown, mine...), 3) == nil || mine[0] != 2 {
		t.Error("the sink's own list was changed:", mine)
	}
}

func TestTally(t *testing.T) {
	refused, never := fmt.Errorf("%w: no", beacon.ErrPermanent), fmt.Errorf("%w: never", beacon.ErrPermanent)
	type piece struct {
		at  []int
		err error
	}
	cases := []struct {
		name      string
		pieces    []piece
		failed    []int // nil without a PartialError
		permanent bool
		text      string
	}{
		{"none", nil, nil, false, "<nil>"},
		{"all taken", []piece{{[]int{0, 1}, nil}, {[]int{2}, nil}}, nil, false, "<nil>"},
		{"a whole", []piece{{[]int{0, 2, 3}, refused}}, nil, true, "permanent failure: no"},
		{"a whole with a part of another call", []piece{{[]int{0, 2}, part(refused, 5)}}, nil, true, "permanent failure: no"},
		{"nothing, refused", []piece{{nil, refused}}, nil, true, "permanent failure: no"},
		{"a part", []piece{{[]int{0, 2, 3}, part(refused, 2, 1)}}, []int{2, 3}, true, "2 events not taken: permanent failure: no"},
		{"all, named", []piece{{[]int{0, 2}, part(refused, 1, 0)}}, []int{0, 2}, true, "2 events not taken: permanent failure: no"},
		{"one of one", []piece{{[]int{0, 2}, nil}, {[]int{1}, refused}}, []int{1}, true, "1 events not taken: permanent failure: no"},
		{"several in doubt", []piece{{[]int{0, 2}, refused}, {[]int{1}, nil}}, []int{0, 2}, false, "2 events not taken: refused together: permanent failure: no"},
		{"all in doubt", []piece{{[]int{0, 2}, refused}, {[]int{1}, part(never, 0)}}, nil, true, "permanent failure: no\npermanent failure: never"},
		{"kinds", []piece{{[]int{0}, refused}, {[]int{1, 2}, part(errDown, 1)}}, []int{0, 2}, false, "2 events not taken: down\nand: permanent failure: no"},
		{"twice the same", []piece{{[]int{0, 0, 1}, part(errDown, 0, 1)}}, []int{0}, false, "1 events not taken: down"},
	}
	for _, c := range cases {
		var tally delivery.Tally
		for _, p := range c.pieces {
			tally.Add(p.at, p.err)
		}
		err := tally.Err()
		var failed []int
		if p, ok := errors.AsType[*beacon.PartialError](err); ok {
			failed = p.Failed
		}
		if d := cmp.Diff(c.failed, failed); d != "" || beacon.IsPermanent(err) != c.permanent || fmt.Sprint(err) != c.text {
			t.Errorf("%s: %v, permanent %v: %v", c.name, failed, beacon.IsPermanent(err), err)
		}
	}
}

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
			if left := deliver(t, k, events(ids...), 20); left != 0 || r.calls > c.calls {
				t.Error(left, "left after", r.calls, "calls")
			}
			if d := cmp.Diff(c.buried, r.buried); d != "" {
				t.Error(d)
			}
			got := slices.Sorted(slices.Values(append(r.taken, r.buried...)))
			if d := cmp.Diff(slices.Sorted(slices.Values(ids)), got); d != "" {
				t.Error("not each once:", d)
			}
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

// What has been done is counted in the attempt in which it was, and settled in order.
func TestCourierProgress(t *testing.T) {
	var r run
	answers := []error{part(errDown, 1, 2), part(beacon.ErrPermanent, 1), nil, errDown, nil}
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
	left := events("a.0", "a.1", "b.2", "b.3", "c.4", "c.5")
	for i, step := range []struct {
		n    int
		want delivery.Progress
		errs bool
	}{
		{4, delivery.Progress{Settled: 1, Delivered: 2}, true},             // a.0, and b.3 ahead
		{3, delivery.Progress{Settled: 3, Delivered: 1, Buried: 1}, false}, // a.1; b.2 is dead; b.3
		{1, delivery.Progress{Settled: 1, Delivered: 1}, false},            // c.4
		{1, delivery.Progress{}, true},
		{1, delivery.Progress{Settled: 1, Delivered: 1}, false}, // c.5
	} {
		p, _, err := c.Try(t.Context(), left, step.n)
		if p != step.want || (err != nil) != step.errs {
			t.Errorf("attempt %d: %+v, %v, want %+v", i, p, err, step.want)
		}
		left = left[p.Settled:]
		if len(left) > 0 && c.Ahead(0) {
			t.Error("not settled in time after attempt", i)
		}
	}
	want := [][]string{{"a.0", "a.1", "b.2", "b.3"}, {"a.1", "b.2"}, {"c.4"}, {"c.5"}, {"c.5"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Poison is told from an outage by what is accepted in the same call, too.
func TestCourierNamedPoison(t *testing.T) {
	for _, down := range []bool{false, true} {
		var r run
		c := r.courier(nil)
		poison := "s0.0"
		c.Next = naming(&r, func(id string) error {
			if id == poison || down {
				return errDown
			}
			return nil
		})
		all := many(100, 3)
		left := events(all[:1]...)
		for i := range 99 { // one more each time
			left = append(left, events(all[i+1])...)
			p, _, _ := c.Try(t.Context(), left, len(left))
			left = left[p.Settled:]
		}
		if down {
			if len(left) != 100 || len(r.buried) > 0 {
				t.Error(len(left), "left of an outage; buried", r.buried)
			}
			continue
		}
		if d := cmp.Diff([]string{poison}, r.buried); d != "" || len(left) > 0 || len(r.taken) != 99 || inOrder(r.taken) != nil {
			t.Error(d, len(left), r.taken)
		}
	}
}

// An event that cannot be buried is tried again, without those that can.
func TestCourierKeepsTheNamedWhatItCannotBury(t *testing.T) {
	var r run
	c := r.courier(nil)
	c.Next = naming(&r, func(id string) error {
		if id != "c.2" {
			return beacon.ErrPermanent
		}
		return nil
	})
	bury, full := c.Bury, true
	c.Bury = func(e beacon.Event, why error) error {
		if full && e.ID == "b.1" {
			return errors.New("no space")
		}
		return bury(e, why)
	}
	evs := events("a.0", "b.1", "c.2")
	p, wait, err := c.Try(t.Context(), evs, 3)
	if (p != delivery.Progress{Settled: 1, Delivered: 1, Buried: 1}) || wait <= 0 && err == nil {
		t.Errorf("%+v, %v, %v", p, wait, err)
	}
	full = false
	if left := deliver(t, c, evs[1:], 1); left != 0 || r.calls != 2 {
		t.Error(left, "left after", r.calls, "calls")
	}
	if d := cmp.Diff([]string{"a.0", "b.1"}, r.buried); d != "" {
		t.Error(d)
	}
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
	p, _, err := c.Try(ctx, events("a.0", "a.1", "a.2"), 3)
	if (p != delivery.Progress{Settled: 1, Delivered: 2}) || err == nil || !c.Ahead(1) || len(r.buried) > 0 {
		t.Errorf("%+v, %v, buried %v", p, err, r.buried)
	}
}

// Whatever a sink says, each event is taken once, or buried if it is refused for good.
func TestCourierWithAnySink(t *testing.T) {
	for seed := range uint64(500) {
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
		taken := map[string]int{}
		var buried []string
		c := &delivery.Courier{
			Next: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if len(events) == 0 {
					t.Errorf("seed %d: a call without events", seed)
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
						taken[e.ID]++
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
			}),
			Timeout: time.Minute, Base: time.Millisecond, Limit: time.Second, MaxTries: 1000,
			Bury: func(e beacon.Event, _ error) error {
				if rng.IntN(5) == 0 {
					return errors.New("no space")
				}
				buried = append(buried, e.ID)
				return nil
			},
		}
		left := events(ids...)
		var sum delivery.Progress
		for attempt := 0; len(left) > 0; attempt++ {
			if attempt > 5000 {
				t.Fatalf("seed %d: %d left", seed, len(left))
			}
			n := min(len(left), 1+rng.IntN(20))
			p, _, _ := c.Try(t.Context(), left[:min(len(left), n+rng.IntN(10))], n)
			left = left[p.Settled:]
			sum.Settled += p.Settled
			sum.Delivered += p.Delivered
			sum.Buried += p.Buried
		}
		want := map[string]int{}
		for _, id := range ids {
			if !slices.Contains(bad, id) {
				want[id] = 1
			}
		}
		slices.Sort(bad)
		slices.Sort(buried)
		if d := cmp.Diff(want, taken) + cmp.Diff(bad, buried); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		if (sum != delivery.Progress{Settled: len(ids), Delivered: len(want), Buried: len(bad)}) {
			t.Fatalf("seed %d: %+v of %d events, %d of them bad", seed, sum, len(ids), len(bad))
		}
	}
}
