package sink_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// A wild sink does with an event what its id says: "panic", "exit" the goroutine, "hang".
type wild struct {
	release chan struct{} // ends the hanging
	tame    atomic.Int64  // others taken
}

func (w *wild) Consume(_ context.Context, events []beacon.Event) error {
	for i := range events {
		w.act(events[i].ID)
	}
	w.tame.Add(int64(len(events)))
	return nil
}

func (w *wild) act(what string) {
	switch what {
	case "panic":
		panic("wild")
	case "exit":
		runtime.Goexit()
	case "hang":
		<-w.release
	}
}

// Whatever the sink behind does in one call, other calls are taken and it can be closed.
func TestIsolation(t *testing.T) {
	for name, wrap := range wrappers {
		for _, what := range []string{"panic", "exit", "hang"} {
			t.Run(name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					next := &wild{release: make(chan struct{})}
					s := wrap(next).(sink.Sink)
					go func() {
						defer func() { _ = recover() }()
						_ = s.Consume(context.Background(), counted(what))
					}()
					time.Sleep(2 * time.Second) // with those that linger the batch has gone
					for range 3 {
						// As long as the batch in front of it may take.
						ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
						if err := s.Consume(ctx, counted("good")); err != nil {
							t.Error(err)
						}
						cancel()
					}
					close(next.release)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					// A queue never knows that it is an event that makes the sink fail, if there are no others.
					if err := s.Close(ctx); err != nil && !strings.Contains(name, "Queue") {
						t.Error(err)
					}
					if next.tame.Load() == 0 {
						t.Error("nothing was delivered")
					}
				})
			})
		}
	}
}

// What a member does that is not required never reaches the caller.
func TestTeeBestEffortIsContained(t *testing.T) {
	for _, what := range []string{"panic", "exit", "hang"} {
		synctest.Test(t, func(t *testing.T) {
			next, aside := &wild{}, &wild{release: make(chan struct{})}
			var told []error
			s := sink.Tee(sink.Required(beacon.SinkFunc(func(context.Context, []beacon.Event) error { next.tame.Add(1); return nil })),
				sink.BestEffort(aside, func(err error) { told = append(told, err) }))
			start := time.Now()
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if err := s.Consume(ctx, counted(what)); err != nil {
					t.Error(err)
				}
				cancel()
			}
			if len(told) != 20 || next.tame.Load() != 20 {
				t.Errorf("%s: told %d times, %d taken", what, len(told), next.tame.Load())
			}
			// Eight calls hang, with a second for each and another one of grace.
			if took := time.Since(start); what == "hang" && took != 16*time.Second || what != "hang" && took != 0 {
				t.Errorf("%s: took %v", what, took)
			}
			close(aside.release)
			synctest.Wait()
			if err := s.Consume(t.Context(), counted("good")); err != nil || len(told) != 20 || aside.tame.Load() == 0 {
				t.Errorf("%s: %v, told %d times: it is not tried again", what, err, len(told))
			}
		})
	}
}

// Those who only listen cannot stop what they hear of.
func TestListenersAreContained(t *testing.T) {
	for _, end := range []func(){func() { panic("boom") }, runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			next := &script{answer: func(_ context.Context, _ int, ids []string) error {
				if bad(ids[0]) {
					return errRefused
				}
				return nil
			}}
			var heard atomic.Int64
			q := sink.VolatileQueue(next, sink.QueueOptions{OnLost: func([]beacon.Event, error) { heard.Add(1); end() }})
			tee := sink.Tee(sink.Required(q), sink.BestEffort(failing(errDown), func(error) { heard.Add(1); end() }))
			for _, id := range []string{"bad", "a"} {
				if err := tee.Consume(t.Context(), counted(id)); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}
			if err := tee.Close(t.Context()); err != nil || heard.Load() != 3 {
				t.Errorf("%v, heard %d times", err, heard.Load())
			}
			if d := cmp.Diff([][]string{{"bad"}, {"a"}}, next.got()); d != "" {
				t.Error(d)
			}
		})
	}
}

// A misbehaved sink does it in Flush, Close and Healthy.
type misbehaved struct{ wild }

func (m *misbehaved) Consume(context.Context, []beacon.Event) error { return nil }
func (m *misbehaved) Flush(context.Context) error                   { m.act("exit"); return nil }
func (m *misbehaved) Healthy(context.Context) error                 { m.act("exit"); return nil }
func (m *misbehaved) Close(context.Context) error                   { m.act("hang"); return nil }

// Nobody takes the end of a goroutine for success, and Close keeps its time.
func TestMisbehavedFlushAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &misbehaved{wild{release: make(chan struct{})}}
		for name, s := range map[string]sink.Sink{
			"Tee": sink.Tee(sink.Required(next)), "ByName": sink.ByName(map[string]beacon.Sink{"a": next}, nil),
		} {
			if s.Flush(t.Context()) == nil || s.Healthy(t.Context()) == nil {
				t.Errorf("%s: nil from what never came back", name)
			}
		}
		for name, wrap := range wrappers {
			s := wrap(next).(sink.Sink)
			for _, want := range []time.Duration{3 * time.Second, time.Second} {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := s.Close(ctx)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > want {
					t.Errorf("%s: %v after %v", name, err, time.Since(start))
				}
			}
		}
		close(next.release)
	})
}

// A call of the sink behind a queue that never returns is told of, and Close keeps its time.
func TestQueueHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		next := &wild{release: make(chan struct{})}
		q := sink.VolatileQueue(next, sink.QueueOptions{Timeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := q.Consume(t.Context(), counted("hang", "a")); err != nil {
			t.Error(err)
		}
		time.Sleep(11*time.Second - time.Millisecond)
		synctest.Wait()
		if err := q.Healthy(t.Context()); err != nil || log.String() != "" {
			t.Error("too early:", err, log.String())
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if err := q.Healthy(t.Context()); err == nil || strings.Count(log.String(), "does not return") != 1 {
			t.Error("not told:", err, log.String())
		}
		time.Sleep(time.Hour)
		if err := q.Consume(t.Context(), counted("b")); err != nil || strings.Count(log.String(), "\n") != 1 {
			t.Error(err, log.String())
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(next.release)
		synctest.Wait()
		if strings.Count(log.String(), "has returned") != 1 || next.tame.Load() != 2 {
			t.Error(log.String(), next.tame.Load())
		}
	})
}

// A syncBuffer holds what is written to it, from any goroutine.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
