package sink_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

func TestDedup(t *testing.T) {
	down := errors.New("down")
	cases := []struct {
		name  string
		o     sink.DedupOptions
		steps []any // []string: consume, error: fail from now on, nil: work from now on, time.Duration: sleep
		want  [][]string
	}{
		{"one call after another", sink.DedupOptions{}, []any{[]string{"a", "b"}, []string{"b", "c", "a"}, []string{"a", "c"}},
			[][]string{{"a", "b"}, {"c"}}},
		{"in one call", sink.DedupOptions{}, []any{[]string{"a", "b", "a", "c", "b"}}, [][]string{{"a", "b", "c"}}},
		{"without an id", sink.DedupOptions{}, []any{[]string{"", "a", ""}, []string{"", "a"}}, [][]string{{"", "a", ""}, {""}}},
		{"not before it is taken", sink.DedupOptions{}, []any{down, []string{"a"}, []string{"a"}, nil, []string{"a", "b"}, []string{"a", "b"}},
			[][]string{{"a"}, {"a"}, {"a", "b"}}},
		{"the oldest make room", sink.DedupOptions{MaxIDs: 3}, []any{[]string{"a", "b"}, []string{"c", "d"}, []string{"b", "c", "d"}, []string{"a"}, []string{"b"}},
			[][]string{{"a", "b"}, {"c", "d"}, {"a"}, {"b"}}},
		{"the window", sink.DedupOptions{}, []any{[]string{"a"}, 23 * time.Hour, []string{"a", "b"}, time.Hour, []string{"a", "b"}},
			[][]string{{"a"}, {"b"}, {"a"}}},
		{"a ring that went round before the window", sink.DedupOptions{MaxIDs: 2, Window: time.Minute},
			[]any{[]string{"a", "b", "c"}, time.Minute, []string{"c"}, []string{"d"}, []string{"e"}, []string{"c", "d", "e"}},
			[][]string{{"a", "b", "c"}, {"c"}, {"d"}, {"e"}, {"c"}}},
		{"no events", sink.DedupOptions{}, []any{[]string{}}, [][]string{{}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fail error
				next := &script{answer: func(context.Context, int, []string) error { return fail }}
				s := sink.Dedup(next, c.o)
				for _, step := range c.steps {
					switch x := step.(type) {
					case []string:
						if err := s.Consume(t.Context(), counted(x...)); err != fail {
							t.Errorf("%v: %v", x, err)
						}
					case error:
						fail = x
					case nil:
						fail = nil
					case time.Duration:
						time.Sleep(x)
					}
				}
				if d := cmp.Diff(c.want, next.got()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// A twin waits for the one that is on its way, and goes itself if that failed.
func TestDedupInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(_ context.Context, n int, _ []string) error {
			time.Sleep(time.Second)
			if n == 0 {
				return errors.New("down")
			}
			return nil
		}}
		s := sink.Dedup(next, sink.DedupOptions{})
		start := time.Now()
		all := calls(s, []string{"a", "b"}, []string{"c", "b", "a"}, []string{"a"}, []string{"c"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Consume(ctx, counted("a")); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if errs := fmt.Sprint(all()); errs != "[down <nil> <nil> <nil>]" || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", errs, time.Since(start))
		}
		arrived := map[string]int{}
		for _, call := range next.got()[1:] {
			for _, id := range call {
				arrived[id]++
			}
		}
		if d := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, arrived); d != "" {
			t.Error(d)
		}
	})
}

// Two calls with the same ids in another order do not wait for each other: each
// delivers what it claimed before it waits.
func TestDedupCrosswise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }}
		s := sink.Dedup(next, sink.DedupOptions{})
		errs := calls(s, []string{"a"}, []string{"b"}, []string{"a", "c", "b"}, []string{"b", "c", "a"}, []string{"c", "a", "b", "d"})()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"a"}, {"b"}, {"c"}, {"d"}}, next.got()); d != "" {
			t.Error(d)
		}
	})
}

// After a panic, or the end of the goroutine, nothing is claimed and nothing seen.
func TestDedupPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(){func() { panic("boom") }, runtime.Goexit} {
			ended := false
			next := &script{answer: func(context.Context, int, []string) error {
				if !ended {
					ended = true
					end()
				}
				return nil
			}}
			s := sink.Dedup(next, sink.DedupOptions{})
			go func() {
				defer func() { _ = recover() }()
				_ = s.Consume(context.Background(), counted("a"))
			}()
			synctest.Wait()
			if err := s.Consume(t.Context(), counted("a")); err != nil || len(next.got()) != 2 {
				t.Error(err, next.got())
			}
		}
	})
}

// requestsOf makes n requests of so many events each, with ids that the client chose, or
// that the handler made.
func requestsOf(name string, n, events int, chosen bool) [][]beacon.Event {
	all := make([][]beacon.Event, n)
	for r := range all {
		all[r] = make([]beacon.Event, events)
		request := fmt.Sprintf("0193f3a0-%s-%d", name, r)
		for i := range all[r] {
			id := fmt.Sprintf("%s.%d", request, i)
			if chosen {
				id = "view:" + id
			}
			all[r][i] = beacon.Event{ID: id, Request: beacon.Request{ID: request}}
		}
	}
	return all
}

// Few requests do not flush what many have brought, however many events they hold.
func TestDedupFlush(t *testing.T) {
	visitors := map[string]func() [][]beacon.Event{
		"small requests": func() [][]beacon.Event { return requestsOf("small", 125, 1, true) },
		"a large one":    func() [][]beacon.Event { return requestsOf("large", 1, 80, true) },
		"without ids":    func() [][]beacon.Event { return requestsOf("without", 50, 1, false) },
	}
	cases := []struct {
		name             string
		requests, events int // of the stranger
		chosen           bool
		want             map[string]int // ids that are remembered, of the visitors'
	}{
		{"nobody", 0, 0, false, map[string]int{"small requests": 125, "a large one": 80, "without ids": 50}},
		{"bodies of 1,000 events", 5, 1000, true, map[string]int{"small requests": 125, "a large one": 16, "without ids": 50}},
		{"no ids", 2500, 1, false, map[string]int{"small requests": 125, "a large one": 80, "without ids": 0}},
		{"batches without ids", 5, 1000, false, map[string]int{"small requests": 125, "a large one": 80, "without ids": 0}},
		{"small ones", 37, 16, true, map[string]int{"small requests": 125, "a large one": 80, "without ids": 50}},
		{"very many small ones", 125, 16, true, map[string]int{"small requests": 0, "a large one": 64, "without ids": 50}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]int{}
			for name := range visitors { // each against a memory of its own, as asking fills it
				var r beacontest.Recorder
				s := sink.Dedup(&r, sink.DedupOptions{MaxIDs: 1 << 10})
				send := func(requests [][]beacon.Event) {
					for _, events := range requests {
						if err := s.Consume(t.Context(), events); err != nil {
							t.Fatal(err)
						}
					}
				}
				for _, requests := range visitors {
					send(requests())
				}
				send(requestsOf("stranger", c.requests, c.events, c.chosen))
				r.Reset()
				twins := visitors[name]()
				for _, events := range twins {
					got[name] += len(events)
				}
				send(twins)
				got[name] -= len(r.Events())
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// It remembers in bounded memory: what the doc comment of MaxIDs says.
func TestDedupMemory(t *testing.T) {
	const n, most = 1 << 15, 100
	s := sink.Dedup(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), sink.DedupOptions{MaxIDs: n})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 3 * n {
		if err := s.Consume(t.Context(), counted(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / n
	t.Logf("%.1f bytes per id", per)
	if per < 10 || per > most {
		t.Errorf("%.1f bytes per id, want at most %d", per, most)
	}
	runtime.KeepAlive(s)
}

func BenchmarkDedup(b *testing.B) {
	s := sink.Dedup(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), sink.DedupOptions{})
	const size = 16
	events := make([]beacon.Event, size)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range events {
			n++
			events[i].ID = "0193f3a0-0000-7000-8000-" + fmt.Sprint(n)
		}
		_ = s.Consume(context.Background(), events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
}
