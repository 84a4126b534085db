package sink_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

var (
	errDown    = errors.New("down")
	errRefused = fmt.Errorf("%w: no", beacon.ErrPermanent)
)

// naming is an answer of a script that takes a call but for the events it names: those
// whose id ends with a digit, which is how often they fail; 9 is for ever.
func naming(why error) func(context.Context, int, []string) error {
	times := map[string]int{}
	return func(_ context.Context, _ int, ids []string) error {
		var failed []int
		for i, id := range ids {
			times[id]++
			if last := id[len(id)-1]; last == '9' || '0' <= last && last < '9' && int(last-'0') >= times[id] {
				failed = append(failed, i)
			}
		}
		if failed == nil {
			return nil
		}
		return &beacon.PartialError{Failed: failed, Err: why}
	}
}

// says is what an error says: "permanent 1 3: text" for a permanent one that names the
// events at 1 and 3.
func says(err error) string {
	if err == nil {
		return ""
	}
	kind := "temporary"
	if beacon.IsPermanent(err) {
		kind = "permanent"
	}
	text := err
	if part, ok := errors.AsType[*beacon.PartialError](err); ok {
		kind += " " + strings.Trim(fmt.Sprint(part.Failed), "[]")
		text = part.Err
	}
	return kind + ": " + text.Error()
}

func TestPartialFailures(t *testing.T) {
	keep := func(e beacon.Event) bool { return !strings.HasPrefix(e.ID, "-") }
	filter := func(next beacon.Sink) sink.Sink { return sink.Filter(next, keep) }
	dedup := func(next beacon.Sink) sink.Sink { return sink.Dedup(next, sink.DedupOptions{}) }
	retry := func(next beacon.Sink) sink.Sink { return sink.Retry(next, sink.RetryOptions{}) }
	cases := []struct {
		name  string
		wrap  func(next beacon.Sink) sink.Sink
		why   error // of those that next does not take
		calls [][]string
		says  []string // by call
		got   [][]string
	}{
		{"Filter", filter, errRefused, [][]string{{"a", "-", "b1", "c", "-", "d1"}, {"b1", "d1"}},
			[]string{"permanent 2 5: permanent failure: no", ""}, [][]string{{"a", "b1", "c", "d1"}, {"b1", "d1"}}},
		{"Filter that keeps all", filter, errDown, [][]string{{"a", "b1"}}, []string{"temporary 1: down"}, [][]string{{"a", "b1"}}},
		{"Filter, and all are named", filter, errDown, [][]string{{"-", "b1", "c1"}}, []string{"temporary 1 2: down"}, [][]string{{"b1", "c1"}}},
		{"Dedup", dedup, errDown, [][]string{{"a", "b1", "c2", "a", "b1", "d"}, {"a", "b1", "c2", "d", "e"}, {"c2"}},
			[]string{"temporary 1 2 4: down", "temporary 2: down", ""},
			[][]string{{"a", "b1", "c2", "d"}, {"b1", "c2", "e"}, {"c2"}}},
		{"Retry", retry, errDown, [][]string{{"a", "b1", "c", "d3", "e1"}}, []string{""},
			[][]string{{"a", "b1", "c", "d3", "e1"}, {"b1", "d3", "e1"}, {"d3"}, {"d3"}}},
		{"Retry of what is refused for good", retry, errRefused, [][]string{{"a", "b9", "c"}}, []string{"permanent 1: permanent failure: no"},
			[][]string{{"a", "b9", "c"}}},
		{"Retry in vain", func(next beacon.Sink) sink.Sink { return sink.Retry(next, sink.RetryOptions{Budget: 4}) }, errDown,
			[][]string{{"a", "b9", "c1", "d9"}}, []string{"temporary 1 3: down"}, [][]string{{"a", "b9", "c1", "d9"}, {"b9", "c1", "d9"}, {"b9", "d9"}}},
		{"Tee", func(next beacon.Sink) sink.Sink {
			return sink.Tee(sink.Required(next), sink.Required(&script{answer: naming(errRefused)}))
		}, errDown, [][]string{{"a", "b1", "c"}}, []string{"temporary 1: down\nand: permanent failure: no"}, [][]string{{"a", "b1", "c"}}},
		{"Tee, and a member names what there is not", func(next beacon.Sink) sink.Sink {
			return sink.Tee(sink.Required(next), sink.Required(failing(&beacon.PartialError{Failed: []int{3}, Err: errDown})))
		}, errDown, [][]string{{"a", "b1", "c"}}, []string{"temporary: down\ndown"}, [][]string{{"a", "b1", "c"}}},
		{"all of them", func(next beacon.Sink) sink.Sink { return dedup(filter(retry(sink.Tee(sink.Required(next))))) }, errDown,
			[][]string{{"a", "-", "b1", "-", "d9", "a", "-"}, {"a", "b1", "d9"}},
			[]string{"temporary 4: down", "temporary 2: down"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: naming(c.why)}
				s := c.wrap(next)
				for i, ids := range c.calls {
					err := s.Consume(t.Context(), counted(ids...))
					if d := cmp.Diff(c.says[i], says(err)); d != "" {
						t.Errorf("call %d: %s", i, d)
					}
				}
				if d := cmp.Diff(c.got, next.got()); c.got != nil && d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// Positions that only make sense in front of a sink that left events out name nothing.
func TestPartialErrorThatNamesWhatWasLeftOut(t *testing.T) {
	bad := &beacon.PartialError{Failed: []int{2}, Err: errDown}
	for name, s := range map[string]beacon.Sink{
		"Filter": sink.Filter(failing(bad), func(e beacon.Event) bool { return e.ID != "a" }),
		"Dedup":  sink.Dedup(failing(bad), sink.DedupOptions{}),
		"Split":  sink.Split(failing(bad), func(e beacon.Event) []beacon.Event { return counted("one")[:len(e.ID)-1] }),
		"ByName": sink.ByName(map[string]beacon.Sink{"": failing(bad)}, nil),
	} {
		events := counted("a", "a", "aa")
		events[0].Name = "other"
		if err := s.Consume(t.Context(), events); says(err) != "temporary: down" {
			t.Errorf("%s: %s", name, says(err))
		}
	}
}

// Of what next took before it refused the rest as a whole, nothing comes again; and the
// rest is not said to be at fault event by event.
func TestRetryDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[int]string{1: "permanent 1: permanent failure: no", 2: "temporary 1 2: refused together: permanent failure: no"} {
			next := &script{answer: func(_ context.Context, n int, _ []string) error {
				if n == 0 {
					return &beacon.PartialError{Failed: []int{2, 1}[2-left:], Err: errDown}
				}
				return errRefused
			}}
			err := sink.Retry(next, sink.RetryOptions{}).Consume(t.Context(), counted("a", "b", "c"))
			if d := cmp.Diff(want, says(err)); d != "" {
				t.Error(d)
			}
		}
	})
}

// A panic does not make it forget what was taken before.
func TestRetryPanicsAfterAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(_ context.Context, n int, _ []string) error {
			if n == 0 {
				return &beacon.PartialError{Failed: []int{1}, Err: errDown}
			}
			panic("boom")
		}}
		err := sink.Retry(next, sink.RetryOptions{}).Consume(t.Context(), counted("a", "b"))
		re, ok := errors.AsType[*beacon.RequestError](err)
		if !ok || re.Status != 500 || !strings.HasPrefix(says(err), "temporary 1: ") || len(next.got()) != 2 {
			t.Error(err, next.got())
		}
	})
}

// A caller whose events were all taken hears nothing of the others'.
func TestBatchPartialFailures(t *testing.T) {
	for _, why := range []error{errDown, errRefused} {
		synctest.Test(t, func(t *testing.T) {
			name := naming(why)
			next := &script{answer: func(ctx context.Context, n int, ids []string) error {
				if n == 0 {
					time.Sleep(time.Second)
					return nil
				}
				return name(ctx, n, ids)
			}}
			errs := calls(sink.Batch(next, sink.BatchOptions{}), []string{"gate"}, []string{"a", "b"}, []string{"c1", "d", "e9"}, []string{"f1", "g1"}, []string{"h"})()
			kind := says(why)
			want := []string{"", "", strings.Replace(kind, ":", " 0 2:", 1), kind, ""}
			var got []string
			for _, err := range errs {
				got = append(got, says(err))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if n := len(next.got()); n != 2 {
				t.Errorf("%d calls: it looked for what it was told", n)
			}
		})
	}
}

// A call that waits for the twins of its events names exactly what was not taken in the end.
func TestDedupPartialFailures(t *testing.T) {
	cases := []struct {
		name   string
		first  []string // of another call, which takes a second
		answer func(call int) error
		call   []string
		ctx    time.Duration
		says   string
		got    [][]string // by the call
	}{
		{"the twin was taken", []string{"a"}, func(int) error { return nil }, []string{"a", "b", "a"}, time.Minute, "", [][]string{{"b"}}},
		{"a part before it waits, and the twin was not taken", []string{"a"}, func(n int) error {
			return []error{errDown, &beacon.PartialError{Failed: []int{0}, Err: errRefused}, nil}[n]
		}, []string{"a", "b", "c", "b", "a"}, time.Minute, "permanent 1 3: permanent failure: no", [][]string{{"b", "c"}, {"a"}}},
		{"all before it waits, and then the twin itself", []string{"a"}, func(n int) error {
			return []error{errDown, nil, errRefused}[n]
		}, []string{"a", "b", "a", ""}, time.Minute, "permanent 0 2: permanent failure: no", [][]string{{"b", ""}, {"a"}}},
		{"no time to wait", []string{"a"}, func(int) error { return nil }, []string{"b", "a", "c"}, time.Millisecond,
			"temporary 1: context deadline exceeded", [][]string{{"b", "c"}}},
		{"a failure before it waits", []string{"a"}, func(n int) error { return []error{nil, errRefused}[n] }, []string{"a", "b", "c"}, time.Minute,
			"permanent: permanent failure: no", [][]string{{"b", "c"}}},
		{"all in vain, the others not even tried", []string{"a", "c"}, func(n int) error {
			return []error{&beacon.PartialError{Failed: []int{0}, Err: errDown}, nil, errRefused}[n]
		}, []string{"b", "a"}, time.Minute, "permanent 1: permanent failure: no", [][]string{{"b"}, {"a"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &script{answer: func(_ context.Context, n int, _ []string) error {
					if n == 0 {
						time.Sleep(time.Second)
					}
					return c.answer(n)
				}}
				s := sink.Dedup(next, sink.DedupOptions{})
				done := calls(s, c.first)
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				if d := cmp.Diff(c.says, says(s.Consume(ctx, counted(c.call...)))); d != "" {
					t.Error(d)
				}
				done()
				if d := cmp.Diff(c.got, next.got()[1:]); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// If a call gives up with some events untried, it says that they are not taken.
func TestDedupUntried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := map[string]time.Duration{"slow": time.Second, "slower": time.Minute}
		s := sink.Dedup(beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			time.Sleep(release[events[0].ID])
			if events[0].ID == "free" {
				return nil
			}
			return errRefused
		}), sink.DedupOptions{})
		done := calls(s, []string{"slow"}, []string{"slower"})
		err := s.Consume(t.Context(), counted("slow", "free", "slower"))
		// slow is refused at its second try, when slower is still on its way.
		if d := cmp.Diff("temporary 0 2: sink: not tried after this\nand: permanent failure: no", says(err)); d != "" {
			t.Error(d)
		}
		done()
	})
}

// What is best effort is nobody's business but onError's.
func TestTeeBestEffortPartialFailures(t *testing.T) {
	var told []string
	s := sink.Tee(
		sink.Required(&script{}),
		sink.BestEffort(&script{answer: naming(errRefused)}, func(err error) { told = append(told, says(err)) }),
	)
	if err := s.Consume(t.Context(), counted("a", "b1")); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"permanent 1: permanent failure: no"}, told); d != "" {
		t.Error(d)
	}
}

// What next took of a batch has left the queue, though what stood before it has not.
func TestQueuePartialFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(_ context.Context, n int, ids []string) error {
			if n == 0 {
				time.Sleep(time.Second)
				return nil
			}
			if ids[0] == "slow" {
				return &beacon.PartialError{Failed: []int{0}, Err: errDown}
			}
			return nil
		}}
		var lost lossLog
		q := sink.VolatileQueue(next, sink.QueueOptions{OnLost: lost.add})
		calls(q, []string{"gate"}, []string{"slow", "a", "b"})
		time.Sleep(time.Second)
		synctest.Wait()
		if d := cmp.Diff(sink.QueueStats{Taken: 4, Delivered: 3, Pending: 1}, q.Stats(), noBytes); d != "" {
			t.Error(d)
		}
		if bytes := q.Stats().PendingBytes; bytes > 6000 {
			t.Error(bytes, "bytes of one event")
		}
		const left = "sink: queue: 1 events not delivered"
		gaveUp := func(what string, f func(ctx context.Context) error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := f(ctx); err == nil || !strings.HasPrefix(err.Error(), left) {
				t.Errorf("%s: %v, %+v", what, err, q.Stats())
			}
		}
		// What came later and was delivered does not stand for what was not.
		gaveUp("Flush", func(ctx context.Context) error {
			time.AfterFunc(time.Second/2, func() { _ = q.Consume(context.Background(), counted("c", "d", "e")) })
			return q.Flush(ctx)
		})
		gaveUp("Close", q.Close)
		if d := cmp.Diff(sink.QueueStats{Taken: 7, Delivered: 6, LostClosing: 1}, q.Stats()); d != "" {
			t.Error(d)
		}
		if len(lost.lost) != 1 || !strings.HasPrefix(lost.lost[0], "[slow]: ") {
			t.Error(lost.lost)
		}
		times := map[string]int{}
		for _, ids := range next.got() {
			for _, id := range ids {
				times[id]++
			}
		}
		delete(times, "slow")
		if d := cmp.Diff(map[string]int{"gate": 1, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, times); d != "" {
			t.Error(d)
		}
	})
}
