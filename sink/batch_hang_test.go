package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// A hanging sink does not return from calls with events of some name, until it is let go.
func hanging(id string, release <-chan struct{}) *script {
	return &script{answer: func(_ context.Context, _ int, ids []string) error {
		if slices.Contains(ids, id) {
			<-release
		}
		return nil
	}}
}

// A call of next that never returns costs its callers their time, and nobody else more
// than a wait.
func TestBatchHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := hanging("hang", release)
		s := sink.Batch(next, sink.BatchOptions{Timeout: 10 * time.Second})
		start := time.Now()
		hung, behind := calls(s, []string{"hang"}), calls(s, []string{"a"}, []string{"b"})
		if err := hung()[0]; err == nil || beacon.IsPermanent(err) || time.Since(start) != 11*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := errors.Join(behind()...); err != nil || time.Since(start) != 11*time.Second {
			t.Errorf("behind: %v after %v", err, time.Since(start))
		}
		if err := s.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Flush(ctx); err != context.DeadlineExceeded {
			t.Error("Flush knew what became of what hangs:", err)
		}
		close(release)
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"hang"}, {"a", "b"}}, next.got()); d != "" {
			t.Error(d)
		}
	})
}

// If all calls hang the line stands: that is said, memory is bounded, callers' contexts
// end, and it goes on by itself.
func TestBatchOfASinkThatHangsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := hanging("hang", release)
		const held = 6000 // one event of 1,000 bytes or so, and not two
		s := sink.Batch(next, sink.BatchOptions{Timeout: time.Second, MaxEvents: 1, MaxWaiting: 12 * held})
		consume := func(id string) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			return s.Consume(ctx, []beacon.Event{{ID: id, Body: beacon.Text(make([]byte, 1000))}})
		}
		errs := make(chan error, 100)
		for range 100 {
			go func() { errs <- consume("hang") }()
		}
		synctest.Wait()
		full := 0
		for len(errs) > 0 {
			err := <-errs
			if wait, _ := beacon.RetryAfter(err); !errors.Is(err, sink.ErrFull) || wait == 0 {
				t.Error(err)
			}
			full++
		}
		if full < 85 || full > 90 {
			t.Errorf("%d refused at once", full)
		}
		if err := s.Healthy(t.Context()); err != sink.ErrFull {
			t.Error("Healthy:", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(next.got()); n != 9 {
			t.Errorf("%d calls at the same time", n)
		}
		if err := s.Healthy(t.Context()); err == nil || errors.Is(err, sink.ErrFull) {
			t.Error("Healthy:", err)
		}
		if n := len(errs); n != 9 {
			t.Errorf("%d callers were told that it hangs", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(errs); n != 100-full {
			t.Errorf("%d of %d callers have an answer", n, 100-full)
		}
		close(release)
		synctest.Wait()
		if err := errors.Join(s.Healthy(t.Context()), consume("a"), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// hangsAlone refuses what is not tried apart, and then hangs for some until release.
func hangsAlone(release <-chan struct{}) *script {
	return &script{answer: func(_ context.Context, _ int, ids []string) error {
		if len(ids) > 1 {
			return errRefused
		}
		if ids[0] == "hang" {
			<-release
		}
		return nil
	}}
}

// A part that hangs does not hold up the other parts.
func TestBatchHangOfAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := hangsAlone(release)
		s := sink.Batch(next, sink.BatchOptions{Linger: time.Second})
		errs := fmt.Sprint(calls(s, []string{"a"}, []string{"b"}, []string{"hang"}, []string{"c"})())
		if errs != "[<nil> <nil> sink: the sink behind does not return <nil>]" {
			t.Error(errs)
		}
		close(release)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// When as many parts hang as are tried at a time, the others wait: that is said.
func TestBatchHangOfAllParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := hangsAlone(release)
		s := sink.Batch(next, sink.BatchOptions{Linger: time.Second, Timeout: time.Second})
		for i := range 4 {
			if err := s.Healthy(t.Context()); err != nil {
				t.Errorf("while %d hang: %v", 2*i, err)
			}
			calls(s, []string{"hang"}, []string{"hang"})()
		}
		behind := calls(s, []string{"a"}, []string{"b"})
		time.Sleep(time.Minute)
		if err := s.Healthy(t.Context()); err == nil {
			t.Error("what is tried apart waits, and it is well")
		}
		close(release)
		if err := errors.Join(append(behind(), s.Healthy(t.Context()), s.Close(t.Context()))...); err != nil {
			t.Error(err)
		}
	})
}

// Flush waits for what is tried apart, also if the batches behind were quicker.
func TestBatchFlushWaitsForWhatIsTriedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(_ context.Context, _ int, ids []string) error {
			switch {
			case len(ids) > 1:
				return errRefused
			case ids[0] == "slow":
				time.Sleep(time.Second)
			}
			return nil
		}}
		s := sink.Batch(next, sink.BatchOptions{Linger: time.Millisecond})
		all := calls(s, []string{"slow"}, []string{"a"})
		time.Sleep(time.Millisecond)
		other := calls(s, []string{"b"})
		start := time.Now()
		if err := s.Flush(t.Context()); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := errors.Join(append(all(), other()...)...); err != nil {
			t.Error(err)
		}
	})
}

// A time-out that is as long as can be is none.
func TestEndlessTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Hour); return nil }}
		for _, s := range []sink.Sink{
			sink.Batch(next, sink.BatchOptions{Timeout: math.MaxInt64}), sink.VolatileQueue(next, sink.QueueOptions{Timeout: math.MaxInt64}),
		} {
			if err := errors.Join(s.Consume(t.Context(), counted("a")), s.Healthy(t.Context()), s.Close(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
}

// A call that is larger than all that may wait is taken alone.
func TestBatchTakesWhatIsTooLargeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &script{answer: func(context.Context, int, []string) error { time.Sleep(time.Second); return nil }}
		s := sink.Batch(next, sink.BatchOptions{MaxWaiting: 100})
		errs := calls(s, []string{"a"}, []string{"b"})()
		if errs[0] != nil || !errors.Is(errs[1], sink.ErrFull) {
			t.Error(errs)
		}
		if err := s.Consume(t.Context(), counted("c")); err != nil {
			t.Error(err)
		}
	})
}
