package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// noBytes leaves out what events take.
var noBytes = cmpopts.IgnoreFields(sink.QueueStats{}, "PendingBytes")

// A lossLog is an OnLost that remembers.
type lossLog struct {
	mu   sync.Mutex
	lost []string // "id: error"
}

func (l *lossLog) add(events []beacon.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, fmt.Sprintf("%v: %v", ids(events), err))
}

func TestQueueAnswersBeforeItDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Minute); return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{BatchEvents: 2})
		start := time.Now()
		for _, id := range []string{"a", "b", "c", "d"} {
			if err := q.Consume(t.Context(), counted(id)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if time.Since(start) != 0 {
			t.Error("it waited for next")
		}
		if d := cmp.Diff(sink.QueueStats{Taken: 4, Pending: 4}, q.Stats(), noBytes); d != "" {
			t.Error(d)
		}
		if q.Stats().PendingBytes < 4*100 {
			t.Error(q.Stats().PendingBytes)
		}
		if err := q.Flush(t.Context()); err != nil || time.Since(start) != 3*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if d := cmp.Diff([][]string{{"a"}, {"b", "c"}, {"d"}}, next.got()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(sink.QueueStats{Taken: 4, Delivered: 4}, q.Stats()); d != "" {
			t.Error(d)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueBatchesByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{BatchBytes: 10_700})
		big := strings.Repeat("x", 1000)
		for _, id := range []string{"a", big, big, "b"} {
			if err := q.Consume(t.Context(), counted(id)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"a"}, {big}, {big, "b"}}, next.got()); d != "" {
			t.Error(d)
		}
	})
}

// The ring grows while it does not begin at its beginning.
func TestQueueRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		next := &script{answer: func(context.Context, int, []string) error { <-gate; return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{BatchEvents: 1})
		take := func(ids ...string) {
			if err := q.Consume(t.Context(), counted(ids...)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		big := strings.Repeat("b", 1000)
		take("a")
		take(big) // the ring holds two
		gate <- struct{}{}
		synctest.Wait()
		take("c", "d")
		gate <- struct{}{}
		synctest.Wait()
		if bytes := q.Stats().PendingBytes; bytes < 2*100 || bytes > 10_000 { // of c and d
			t.Error(bytes)
		}
		close(gate)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"a"}, {big}, {"c"}, {"d"}}, next.got()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(sink.QueueStats{Taken: 4, Delivered: 4}, q.Stats()); d != "" {
			t.Error(d)
		}
	})
}

func TestQueueFull(t *testing.T) {
	two := int64(unsafe.Sizeof(beacon.Event{})) * 5 / 2 // with what else they take
	for name, o := range map[string]sink.QueueOptions{"events": {MaxEvents: 2}, "bytes": {MaxBytes: two}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				next := &script{answer: func(context.Context, int, []string) error { <-gate; return nil }}
				q := sink.VolatileQueue(next, o)
				// What exceeds the bounds by itself is taken while there is nothing else.
				if err := q.Consume(t.Context(), counted("a", "b", "c")); err != nil {
					t.Fatal(err)
				}
				if err := q.Healthy(t.Context()); err != sink.ErrFull {
					t.Error("Healthy:", err)
				}
				start := time.Now()
				err := q.Consume(t.Context(), counted("d", "e"))
				ra, ok := errors.AsType[*beacon.RetryAfterError](err)
				if !ok || ra.After != 5*time.Second || !errors.Is(err, sink.ErrFull) || time.Since(start) != time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				if err := q.Consume(ctx, counted("f")); err != context.DeadlineExceeded {
					t.Error(err)
				}
				if d := cmp.Diff(sink.QueueStats{Taken: 3, Refused: 3, Pending: 3}, q.Stats(), noBytes); d != "" {
					t.Error(d)
				}
				time.AfterFunc(time.Second/2, func() { close(gate) })
				if err := q.Consume(t.Context(), counted("g")); err != nil { // there is room in time
					t.Error(err)
				}
				if err := q.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if d := cmp.Diff([][]string{{"a", "b", "c"}, {"g"}}, next.got()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// Small events do not take up the room that they might pin: when it gets narrow they are
// copied out of their requests.
func TestQueueHoldsManySmallEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := &script{answer: func(context.Context, int, []string) error { <-release; return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{MaxBytes: 1 << 20, NoWait: true})
		body := []byte(`{"a":1}`)
		taken := 0
		for q.Consume(t.Context(), []beacon.Event{{ID: "a", Body: beacon.JSON(body)}}) == nil {
			taken++
		}
		if s := q.Stats(); taken < 1000 || s.Pending != taken || s.PendingBytes > 1<<20 {
			t.Errorf("%d taken, %+v", taken, s)
		}
		close(release)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// One that is not to wait does not, and takes what there is room for.
func TestQueueNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Minute); return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{MaxEvents: 2, NoWait: true})
		start := time.Now()
		for _, c := range []struct {
			id   string
			full bool
		}{{"a", false}, {"b", false}, {"c", true}} {
			err := q.Consume(t.Context(), counted(c.id))
			if wait, _ := beacon.RetryAfter(err); errors.Is(err, sink.ErrFull) != c.full || c.full && wait != 5*time.Second {
				t.Errorf("%s: %v", c.id, err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Error("it waited for", waited)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(sink.QueueStats{Taken: 2, Refused: 1, Delivered: 2}, q.Stats()); d != "" {
			t.Error(d)
		}
	})
}

func TestQueueCloseWakesThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Minute); return nil }}
		q := sink.VolatileQueue(next, sink.QueueOptions{MaxEvents: 1, Wait: time.Hour})
		if err := q.Consume(t.Context(), counted("a")); err != nil {
			t.Error(err)
		}
		start := time.Now()
		waiting := make(chan error, 1)
		go func() {
			waiting <- q.Consume(context.Background(), counted("b"))
			if time.Since(start) != 0 {
				t.Error("it waited for", time.Since(start))
			}
		}()
		synctest.Wait()
		if err := q.Close(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := <-waiting; err != sink.ErrClosed {
			t.Error(err)
		}
	})
}

func TestQueueLosesWhatIsRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(_ context.Context, n int, ids []string) error {
			if n == 0 {
				time.Sleep(time.Second)
			}
			if slices.Contains(ids, "bad") {
				return fmt.Errorf("%w: bad", beacon.ErrPermanent)
			}
			return nil
		}}
		var lost lossLog
		q := sink.VolatileQueue(next, sink.QueueOptions{OnLost: func(events []beacon.Event, err error) {
			lost.add(events, err)
			panic("which is ignored")
		}})
		all := calls(q, []string{"gate"}, []string{"a", "bad", "b"})
		if err := q.Flush(t.Context()); err == nil || err.Error() != "sink: queue: 1 events lost" {
			t.Error(err)
		}
		if err := errors.Join(all()...); err != nil {
			t.Error(err)
		}
		if err := q.Flush(t.Context()); err != nil {
			t.Error("told twice:", err)
		}
		if d := cmp.Diff([]string{"[bad]: permanent failure: bad"}, lost.lost); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(sink.QueueStats{Taken: 4, Delivered: 3, LostPermanent: 1}, q.Stats()); d != "" {
			t.Error(d)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// In an outage nothing is given up, and Flush does not wait for the next attempt.
func TestQueueOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		next := &script{answer: func(context.Context, int, []string) error {
			if down != nil {
				panic(down) // which is the same
			}
			return nil
		}}
		q := sink.VolatileQueue(next, sink.QueueOptions{})
		if err := q.Consume(t.Context(), counted("a", "b")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(next.got()); n < 3600/5 || n > 3600 {
			t.Errorf("%d attempts in an hour", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := q.Flush(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 events not delivered") || !strings.Contains(err.Error(), "down") {
			t.Error(err)
		}
		synctest.Wait()
		down = nil
		start := time.Now()
		if err := q.Flush(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueCloseRunsOutOfTime(t *testing.T) {
	cases := []struct {
		name   string
		answer func(ctx context.Context, n int, _ []string) error
		took   time.Duration
		err    string
		lost   []string
		stats  sink.QueueStats // at the end
	}{
		{
			"next heeds its context",
			func(ctx context.Context, _ int, _ []string) error { <-ctx.Done(); return ctx.Err() }, time.Second,
			"sink: queue: 3 events not delivered: context deadline exceeded\ncannot close",
			[]string{"[a b c]: sink: queue: 3 events not delivered: context deadline exceeded"},
			sink.QueueStats{Taken: 3, LostClosing: 3},
		},
		{
			"next fails",
			func(context.Context, int, []string) error { return errors.New("down") }, time.Second,
			"sink: queue: 3 events not delivered: context deadline exceeded; last attempt: down\ncannot close",
			[]string{"[a b c]: sink: queue: 3 events not delivered: context deadline exceeded; last attempt: down"},
			sink.QueueStats{Taken: 3, LostClosing: 3},
		},
		{
			"next hangs, and delivers at last",
			func(context.Context, int, []string) error { time.Sleep(time.Hour); return nil }, 2 * time.Second,
			"sink: queue: 3 events not delivered: context deadline exceeded\ncannot close",
			[]string{"[c]: sink: queue: 1 events not delivered: context deadline exceeded"},
			sink.QueueStats{Taken: 3, Delivered: 2, LostClosing: 1},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: c.answer, closeErr: errors.New("cannot close")}
				var lost lossLog
				q := sink.VolatileQueue(next, sink.QueueOptions{OnLost: lost.add})
				if err := errors.Join(calls(q, []string{"a", "b"}, []string{"c"})()...); err != nil {
					t.Error(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if err := q.Close(ctx); err == nil || err.Error() != c.err || next.closed != 1 {
					t.Errorf("Close: %v, closed %d times", err, next.closed)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				time.Sleep(2 * time.Hour)
				if d := cmp.Diff(c.lost, lost.lost); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff(c.stats, q.Stats()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// Poison costs its neighbours less than a second, and is given up in the end.
func TestQueuePoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var slowest time.Duration
		next := &script{answer: func(_ context.Context, _ int, ids []string) error {
			time.Sleep(2 * time.Millisecond)
			if slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "poison") }) {
				return errDown
			}
			for _, id := range ids {
				var n int
				if _, err := fmt.Sscanf(id, "good%d", &n); err != nil {
					t.Error(err)
				}
				slowest = max(slowest, time.Since(start)-time.Duration(n)*5*time.Millisecond)
			}
			return nil
		}}
		q := sink.VolatileQueue(next, sink.QueueOptions{})
		poison := 0
		for n := range 12000 { // 200 a second
			id := fmt.Sprintf("good%d", n)
			if n < 4000 && n%20 == 10 {
				poison++
				id = fmt.Sprintf("poison%d", n)
			}
			if err := q.Consume(t.Context(), counted(id)); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if st := q.Stats(); slowest > time.Second || int(st.LostPermanent) != poison || int(st.Delivered) != 12000-poison {
			t.Errorf("slowest %v, %d of poison, %+v", slowest, poison, st)
		}
	})
}

// Whatever happens, every event is accounted for once, at any moment.
func TestQueueAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{rate: 3, poison: 40}
		q := sink.VolatileQueue(f, sink.QueueOptions{MaxEvents: 50, BatchEvents: 7, Wait: 10 * time.Millisecond})
		var offered int
		var wg sync.WaitGroup
		for caller := range 8 {
			for i := range 100 {
				offered += 1 + i%3
			}
			wg.Go(func() {
				for i := range 100 {
					n := 1 + i%3
					id := make([]string, n)
					for j := range id {
						id[j] = fmt.Sprintf("%d.%d.%d%s", caller, i, j, strings.Repeat("x", i))
					}
					_ = q.Consume(context.Background(), counted(id...))
					s := q.Stats()
					if s.Taken != s.Delivered+s.LostPermanent+s.LostClosing+uint64(s.Pending) || s.Pending > 50 || s.PendingBytes < 0 {
						t.Errorf("%+v", s)
					}
				}
			})
		}
		wg.Wait()
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		s := q.Stats()
		f.mu.Lock()
		defer f.mu.Unlock()
		if s.Taken+s.Refused != uint64(offered) || s.Delivered != uint64(len(f.times)) || s.Taken != s.Delivered+s.LostPermanent ||
			s.LostPermanent == 0 || s.Refused == 0 || s.PendingBytes != 0 {
			t.Errorf("%+v, offered %d, arrived %d", s, offered, len(f.times))
		}
	})
}

func BenchmarkVolatileQueue(b *testing.B) {
	next := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			q := sink.VolatileQueue(next, sink.QueueOptions{Wait: time.Minute})
			events := make([]beacon.Event, size)
			for i := range events {
				events[i] = beacon.Event{ID: "0193f3a0-0000-7000-8000-000000000000", Body: beacon.Text("hello")}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Consume(context.Background(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
			if err := q.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
