package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// A choosy store takes a while for each call, and refuses the ones that hold a bad event
// as a whole, with an error that names none.
type choosy struct {
	takes time.Duration // a call
	why   error
	names bool // the bad events, after all

	mu            sync.Mutex
	calls, stored int
}

func bad(id string) bool { return strings.HasPrefix(id, "bad") }

func (c *choosy) Consume(_ context.Context, events []beacon.Event) error {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	var failed []int
	for i := range events {
		if bad(events[i].ID) {
			failed = append(failed, i)
		}
	}
	switch {
	case failed != nil && !c.names:
		return c.why
	case failed != nil:
		c.stored += len(events) - len(failed)
		return &beacon.PartialError{Failed: failed, Err: c.why}
	}
	c.stored += len(events)
	return nil
}

// A load is what callers send, each an event at a time and the next one when it has its
// answer.
type load struct {
	callers, calls int           // calls of each
	every          time.Duration // pause after each
	bad            float64       // share of bad events
}

// A toll is what became of a load.
type toll struct {
	good    int           // events that were taken
	lost    int           // good ones that were not
	passed  int           // bad ones that were
	took    time.Duration // all
	slowest time.Duration // answer to a good one
}

func (l load) run(s beacon.Sink) (sum toll) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	start := time.Now()
	for caller := range l.callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(caller)))
			time.Sleep(time.Duration(r.Int64N(int64(l.every + 1))))
			for call := range l.calls {
				id := fmt.Sprintf("good.%d.%d", caller, call)
				if r.Float64() < l.bad {
					id = "bad" + id
				}
				at := time.Now()
				err := s.Consume(context.Background(), counted(id))
				mu.Lock()
				switch {
				case bad(id) && err == nil:
					sum.passed++
				case bad(id):
				case err == nil:
					sum.good++
					sum.slowest = max(sum.slowest, time.Since(at))
				default:
					sum.lost++
				}
				mu.Unlock()
				time.Sleep(l.every)
			}
		})
	}
	wg.Wait()
	sum.took = time.Since(start)
	return sum
}

func (t toll) rate() float64 { return float64(t.good) / t.took.Seconds() }

// One bad event costs its neighbours nothing: they are taken, soon, and at half the rate
// or more that there is without it.
func TestBatchRefusals(t *testing.T) {
	const callTakes = 2 * time.Millisecond
	full := load{callers: 128, calls: 100}
	calm := load{callers: 200, calls: 10, every: time.Second}
	errPlain := errors.New("deadlock detected")
	cases := []struct {
		name  string
		load  load
		bad   float64
		why   error
		names bool

		calls   float64 // at most, for each good event
		share   float64 // of the clean rate, at least
		slowest time.Duration
	}{
		{"permanent, 0.1 %", full, 0.001, errRefused, false, 0.04, 0.8, 50 * time.Millisecond},
		{"permanent, 1 %", full, 0.01, errRefused, false, 0.25, 0.5, 100 * time.Millisecond},
		{"permanent, 10 %", full, 0.1, errRefused, false, 1.2, 0.1, time.Second},
		{"permanent and named, 10 %", full, 0.1, errRefused, true, 0.02, 0.8, 50 * time.Millisecond},
		{"plain, 0.5 %", full, 0.005, errPlain, false, 0.2, 0.5, 100 * time.Millisecond},
		{"plain, 1 %", full, 0.01, errPlain, false, 0.3, 0.4, 100 * time.Millisecond},
		{"plain, 10 %", full, 0.1, errPlain, false, 1.2, 0.1, time.Second},
		{"permanent, 1 % of full batches", load{callers: 2048, calls: 5}, 0.01, errRefused, false, 0.25, 0.05, time.Second},
		{"plain and named, 10 %", full, 0.1, errPlain, true, 0.02, 0.8, 50 * time.Millisecond},
		{"plain, 10 in 200 a second", calm, 0.05, errPlain, false, 2, 0.8, 100 * time.Millisecond},
	}
	run := func(t *testing.T, l load, store *choosy) (sum toll) {
		synctest.Test(t, func(t *testing.T) { sum = l.run(sink.Batch(store, sink.BatchOptions{})) })
		return sum
	}
	clean := map[load]toll{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, ok := clean[c.load]; !ok {
				clean[c.load] = run(t, c.load, &choosy{takes: callTakes})
			}
			clean := clean[c.load]
			c.load.bad = c.bad
			store := &choosy{takes: callTakes, why: c.why, names: c.names}
			got := run(t, c.load, store)
			calls, share := float64(store.calls)/float64(got.good), got.rate()/clean.rate()
			t.Logf("%.3f calls for each good event, %.0f/s of %.0f/s (%.2f), slowest %v, lost %d", calls, got.rate(), clean.rate(), share, got.slowest, got.lost)
			if got.passed > 0 || store.stored != got.good {
				t.Errorf("%d bad ones passed; %d stored, %d taken", got.passed, store.stored, got.good)
			}
			// Where eight bad ones in a row are tried alone, the store seems to be away.
			if most := got.good / 200; got.lost > 0 && (c.bad < 0.1 || got.lost > most) {
				t.Errorf("%d good events lost", got.lost)
			}
			if calls > c.calls || share < c.share || got.slowest > c.slowest {
				t.Errorf("want at most %v calls, at least %v of the rate, at most %v", c.calls, c.share, c.slowest)
			}
		})
	}
}

// A store that is away gets no more than the batches, but for the two calls that found
// out; and once it is back one bad event is told from the others again.
func TestBatchOfAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &choosy{takes: time.Second, why: errDown}
		away := true
		next := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			if away {
				events[0].ID = "bad"
			}
			return store.Consume(ctx, events)
		})
		s := sink.Batch(next, sink.BatchOptions{})
		round := func() string {
			store.calls = 0
			ids := [][]string{{"gate"}}
			for i := range 20 {
				ids = append(ids, []string{fmt.Sprint(i)})
			}
			ids[7][0] = "bad"
			failed := 0
			for _, err := range calls(s, ids...)() {
				if err != nil {
					failed++
				}
			}
			if 14 <= store.calls && store.calls <= 16 {
				// The gate, all, the first; the second, the last two and four of the others;
				// of these one's four, and perhaps some more, if it fails before another is taken.
				return fmt.Sprintf("%d failed, few calls", failed)
			}
			return fmt.Sprintf("%d failed, %d calls", failed, store.calls)
		}
		got := []string{round(), round(), round()}
		away = false
		got = append(got, round(), round())
		want := []string{
			"21 failed, 6 calls", // the gate, the others, and four of them alone
			"21 failed, 4 calls", // two of them, which makes eight with the gates
			"21 failed, 2 calls",
			"1 failed, few calls",
			"1 failed, few calls",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// Whoever has one bad event in every batch does not make a store that is back seem away.
func TestBatchLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &choosy{why: errDown}
		s := sink.Batch(store, sink.BatchOptions{Linger: time.Second})
		for range 8 {
			if err := s.Consume(t.Context(), counted("bad")); err == nil {
				t.Error("a bad one was taken")
			}
		}
		var taken []bool
		for range 20 {
			taken = append(taken, calls(s, []string{"good"}, []string{"bad"})()[0] == nil)
		}
		if first := slices.Index(taken, true); first != 7 || slices.Contains(taken[first:], false) {
			t.Error(taken)
		}
	})
}

// What says nothing about one event is no reason to try others: a delay that is asked for,
// and a time-out.
func TestBatchNotTriedApart(t *testing.T) {
	for name, answer := range map[string]func(ctx context.Context) error{
		"retry after": func(context.Context) error { return &beacon.RetryAfterError{After: time.Minute, Err: errDown} },
		"429":         func(context.Context) error { return &beacon.RequestError{Status: 429, RetryAfter: time.Minute} },
		"timeout":     func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		synctest.Test(t, func(t *testing.T) {
			next := &script{answer: func(ctx context.Context, n int, _ []string) error {
				if n == 0 {
					time.Sleep(time.Second)
					return nil
				}
				return answer(ctx)
			}}
			errs := calls(sink.Batch(next, sink.BatchOptions{}), []string{"gate"}, []string{"a"}, []string{"b"}, []string{"c"})()
			for _, err := range errs[1:] {
				if err == nil || beacon.IsPermanent(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if d := cmp.Diff([][]string{{"gate"}, {"a", "b", "c"}}, next.got()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		})
	}
}

// Nobody is refused for good for another's event, and all of what is bad costs less than
// two calls of the store each.
func TestBatchOfBadEvents(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 128, 200} {
		synctest.Test(t, func(t *testing.T) {
			alone := map[string]bool{}
			made := 0
			var mu sync.Mutex
			s := sink.Batch(beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				mu.Lock()
				made++
				if len(events) == 1 {
					alone[events[0].ID] = true
				}
				mu.Unlock()
				return errRefused
			}), sink.BatchOptions{Linger: time.Second})
			ids := make([][]string, n)
			for i := range ids {
				ids[i] = []string{fmt.Sprint(i)}
			}
			for i, err := range calls(s, ids...)() {
				if !beacon.IsPermanent(err) || !alone[ids[i][0]] {
					t.Errorf("of %d, %d: %v, alone %v", n, i, err, alone[ids[i][0]])
				}
			}
			if made >= 2*n && n > 1 || len(alone) != n {
				t.Errorf("%d calls for %d, %d alone", made, n, len(alone))
			}
		})
	}
}

// It is measured in wall time: the store's call takes 2 ms, or what the machine makes of it.
func BenchmarkBatchRefusals(b *testing.B) {
	for _, share := range []float64{0, 0.001, 0.01, 0.1} {
		for name, why := range map[string]error{"permanent": errRefused, "plain": errDown} {
			b.Run(fmt.Sprintf("%s/%v", name, share), func(b *testing.B) {
				var sum toll
				store := &choosy{takes: 2 * time.Millisecond, why: why}
				for b.Loop() {
					sum = load{callers: 128, calls: 100, bad: share}.run(sink.Batch(store, sink.BatchOptions{}))
				}
				b.ReportMetric(sum.rate(), "good/s")
				b.ReportMetric(float64(store.calls)/float64(store.stored), "calls/good")
			})
		}
	}
}
