package spool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// odd returns events whose header of n bytes takes six times that as JSON.
func odd(session string, count, n int) []beacon.Event {
	agent := strings.Repeat("\x01", n)
	events := make([]beacon.Event, count)
	for i := range events {
		events[i] = beacon.Event{ID: fmt.Sprintf("%s-%d", session, i), Session: session, Body: beacon.Empty{}}
		events[i].Request.UserAgent = agent
	}
	return events
}

// peaks watches what a spool reserves, at each write.
func peaks(s *Spool, fs *memFS, each time.Duration) (held *int64) {
	held = new(int64)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.hang = func(o *op) {
		if o.kind == opWrite && strings.HasSuffix(o.name, dataSuffix) {
			h, _ := s.memory()
			*held = max(*held, h)
			time.Sleep(each)
		}
	}
	return held
}

// What waits for a slow disk is bounded. The others wait for their turn, for as long as
// their contexts last.
func TestMemoryOfWhatWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		o := mustOptions(Options{MemoryBytes: 1 << 20, MaxBytes: 1 << 28})
		s, err := start(fs, new(taker), o)
		if err != nil {
			t.Fatal(err)
		}
		held := peaks(s, fs, 100*time.Millisecond)
		var mu sync.Mutex
		took, refused := 0, 0
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				ctx := t.Context()
				if i%4 == 3 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 150*time.Millisecond)
					defer cancel()
				}
				err := s.Consume(ctx, []beacon.Event{{ID: fmt.Sprint(i), Body: beacon.Text(strings.Repeat("x", 256<<10))}})
				mu.Lock()
				defer mu.Unlock()
				switch _, retry := errors.AsType[*beacon.RetryAfterError](err); {
				case err == nil:
					took++
				case retry && errors.Is(err, context.DeadlineExceeded) && i%4 == 3:
					refused++
				default:
					t.Error(err)
				}
			})
			synctest.Wait() // so that it is their turn in this order
		}
		wg.Wait()
		if took < 48 || refused == 0 {
			t.Error(took, "taken,", refused, "refused")
		}
		// The buffers are part of what is reserved, the estimate is a little too low.
		if *held > o.MemoryBytes+o.MemoryBytes/16 || *held < o.MemoryBytes/2 {
			t.Error("held", *held)
		}
		if left, onWay := s.memory(); left != 0 || onWay != 0 || len(s.claims) != 0 {
			t.Error("left over:", left, onWay, len(s.claims))
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A call that is larger than the memory is stored, in parts that are not, and one event
// that is has the memory for itself.
func TestCallLargerThanTheMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []beacon.Event
		most   int64
	}{
		{"many", odd("a", 60, 8<<10), 3 << 20},
		{"one", odd("a", 1, 512<<10), 4 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := newMemFS(nil)
				var next taker
				s, err := start(fs, &next, mustOptions(Options{MemoryBytes: 64 << 10}))
				if err != nil {
					t.Fatal(err)
				}
				held := peaks(s, fs, time.Millisecond)
				want := allOf(c.events)
				other := make(chan error, 1)
				go func() { other <- s.Consume(t.Context(), one("other")) }()
				synctest.Wait()
				if err := errors.Join(s.Consume(t.Context(), c.events), <-other, s.Flush(t.Context())); err != nil {
					t.Fatal(err)
				}
				got := next.taken()
				if d := cmp.Diff(append([]string{"other"}, want...), got); d != "" {
					t.Error(d)
				}
				if *held > c.most {
					t.Error("held", *held)
				}
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func allOf(events []beacon.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// A large call makes few copies of itself, and keeps none.
func TestMemoryOfALargeCall(t *testing.T) {
	s := mustOpen(t, t.TempDir(), beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }))
	events := odd("a", 1000, 8<<10) // 48 MB as JSON
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.Consume(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 160<<20 {
		t.Errorf("%d MiB made for a call of 48 MB", made>>20)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 12<<20 {
		t.Errorf("%d MiB kept", kept>>20)
	}
	if err := s.Close(ctxEnded()); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A call that could not even be stored in an empty spool never will be.
func TestCallLargerThanTheSpool(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []beacon.Event
		good   bool
	}{
		{"fits", odd("a", 1, 10_000), true},
		{"one event", odd("a", 1, 20_000), false},
		{"all together", odd("a", 60, 300), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := newMemFS(nil)
			s, err := start(fs, new(taker), mustOptions(Options{MaxBytes: 100_000}))
			if err != nil {
				t.Fatal(err)
			}
			err = s.Consume(t.Context(), c.events)
			if c.good && err != nil || !c.good && !beacon.IsPermanent(err) {
				t.Error(err)
			}
			if st := s.Stats(); !c.good && (st.Stored != 0 || int(st.Refused) != len(c.events)) {
				t.Errorf("%+v", st)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Of a large call that could be stored in part only, the error names the rest.
func TestLargeCallStoredInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		var next taker
		s, err := start(fs, &next, mustOptions(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		writes := 0
		fs.mu.Lock()
		fs.hook = func(o *op) error {
			if o.kind == opWrite && strings.HasSuffix(o.name, dataSuffix) && len(o.data) > headerSize {
				writes++
			}
			return when(writes > 3 && strings.HasSuffix(o.name, dataSuffix) && (o.kind == opWrite || o.kind == opCreate), errNoSpace)
		}
		fs.mu.Unlock()
		events := odd("a", 100, 8<<10)
		events[5].Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // has no JSON form
		want := allOf(events)
		err = s.Consume(t.Context(), events)
		part, ok := errors.AsType[*beacon.PartialError](err)
		if !ok || beacon.IsPermanent(err) || !errors.Is(err, errNoSpace) {
			t.Fatal(err)
		}
		if _, ok := beacon.RetryAfter(err); !ok {
			t.Error("says no wait:", err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		failed := map[int]bool{}
		for _, i := range part.Failed {
			failed[i] = true
		}
		var taken []string
		for i, id := range want {
			if !failed[i] {
				taken = append(taken, id)
			}
		}
		if d := cmp.Diff(taken, next.taken()); d != "" || len(taken) < 20 || !failed[5] || !failed[99] {
			t.Error(d, len(taken))
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The events that are kept for their delivery weigh what they take in memory, not what
// they are on disk.
func TestTailWeighsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 100_000
		fs := newMemFS(nil)
		s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }),
			mustOptions(Options{MemoryBytes: bound, BatchEvents: 1, BatchBytes: 1}))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := s.Consume(t.Context(), one(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		weight, events := 0, 0
		for _, c := range s.tail.chunks {
			for _, call := range c.calls {
				for _, e := range call {
					weight, events = weight+e.Size(), events+1
				}
			}
		}
		s.mu.Unlock()
		if weight > bound || weight < bound/2 || events == 1000 {
			t.Errorf("%d bytes of %d events", weight, events)
		}
		if err := s.Close(ctxEnded()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Who waits for memory is sent away when the disk hangs or the spool is closed, and is not
// held up by a larger call that gives up.
func TestWhoWaitsForMemory(t *testing.T) {
	open := func(t *testing.T) (s *Spool, release func(), call func(ctx context.Context, id string, bytes int) <-chan error) {
		fs := newMemFS(nil)
		s, err := start(fs, new(taker), mustOptions(Options{MemoryBytes: 100_000}))
		if err != nil {
			t.Fatal(err)
		}
		release = hang(fs, opWrite)
		return s, release, func(ctx context.Context, id string, bytes int) <-chan error {
			done := make(chan error, 1)
			go func() {
				done <- s.Consume(ctx, []beacon.Event{{ID: id, Body: beacon.Text(strings.Repeat("x", bytes))}})
			}()
			synctest.Wait()
			return done
		}
	}
	t.Run("the disk hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, release, call := open(t)
			call(t.Context(), "written", 90_000)
			waiting := call(t.Context(), "waiting", 90_000)
			begun := time.Now()
			if err := <-waiting; !errors.Is(err, ErrStalled) || time.Since(begun) != diskTimeout {
				t.Error(err, time.Since(begun))
			}
			release()
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("the spool is closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, release, call := open(t)
			call(t.Context(), "written", 90_000)
			waiting := call(t.Context(), "waiting", 90_000)
			closed := make(chan error, 1)
			go func() { closed <- s.Close(t.Context()) }()
			begun := time.Now()
			if err := <-waiting; err != ErrClosed || time.Since(begun) > 0 {
				t.Error(err, time.Since(begun))
			}
			release()
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a larger one gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, release, call := open(t)
			written := call(t.Context(), "written", 50_000)
			ctx, cancel := context.WithCancel(t.Context())
			large, small := call(ctx, "large", 90_000), call(t.Context(), "small", 10_000)
			if _, onWay := s.memory(); onWay > 51_000 {
				t.Error("the small one has passed the large one")
			}
			cancel()
			if err := <-large; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			synctest.Wait()
			if _, onWay := s.memory(); onWay < 60_000 {
				t.Error("the small one still waits")
			}
			release()
			if err := errors.Join(<-written, <-small, s.Close(t.Context())); err != nil {
				t.Error(err)
			}
		})
	})
}
