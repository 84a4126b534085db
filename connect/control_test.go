package connect_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// What is forgotten is never done, however far it had got; all else is, and a tag that
// comes again is another event.
func TestRelayForgets(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				down, deaf := seed%3 == 1, seed%5 == 4
				var mu sync.Mutex
				calls := map[string]int{}
				w := newWorld(t, connect.RelayOptions[int]{Parallel: 3, BatchEvents: 20, MaxTries: 2}, nil)
				w.answer = func(ids []string) error {
					mu.Lock()
					for _, id := range ids {
						calls[id]++
					}
					down := down
					mu.Unlock()
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						for _, id := range ids {
							calls[id]--
						}
					}()
					if deaf {
						time.Sleep(500 * time.Millisecond)
					} else {
						time.Sleep(10 * time.Millisecond)
					}
					if down || slices.ContainsFunc(ids, poison) {
						return errDown
					}
					return nil
				}
				const n = 300
				for i := range n {
					id := fmt.Sprintf("s%d.%d", i%40, i)
					if i%37 == 5 {
						id += "poison"
					}
					w.add(t, id, i)
				}
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				which := func(tag int) bool { return tag%3 == 0 }
				start := time.Now()
				w.relay.Forget(which)
				if took := time.Since(start); took > 1500*time.Millisecond {
					t.Error("took", took)
				}
				w.mu.Lock()
				then := maps.Clone(w.done)
				mu.Lock()
				for tag, id := range w.at {
					if which(tag) && then[tag] == 0 && calls[id] > 0 {
						t.Error(id, "is in a call")
					}
				}
				down = false
				mu.Unlock()
				w.mu.Unlock()
				for tag := range w.relay.Held() {
					if which(tag) {
						t.Error(tag, "is held")
					}
				}
				for i := range 60 { // so that poison is found
					w.add(t, fmt.Sprintf("late.%d", n+i), 3*(n+i)) // tags that would have been forgotten
					time.Sleep(time.Second)
				}
				if err := w.close(t, 10*time.Minute); err != nil {
					t.Error(err)
				}
				forgotten := 0
				for tag, id := range w.at {
					want := 1
					if tag < n && which(tag) && then[tag] == 0 {
						want = 0
						forgotten++
					}
					if w.done[tag] != want {
						t.Errorf("%s: done %d times, not %d", id, w.done[tag], want)
					}
				}
				if s := w.relay.Stats(); int(s.Forgotten) != forgotten || s.Held != 0 || s.HeldBytes != 0 {
					t.Errorf("%d forgotten, %+v", forgotten, s)
				}
			})
		})
	}
}

// A call that is deaf to its context does not hold Forget or Close up for more than a
// second, and is not reported when it returns after all.
func TestRelayDoesNotWaitForADeafCall(t *testing.T) {
	for _, end := range []string{"Forget", "Close"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, connect.RelayOptions[int]{Timeout: time.Second}, func(ids []string) error {
					if slices.ContainsFunc(ids, poison) {
						time.Sleep(time.Hour)
					}
					return nil
				})
				w.add(t, "a.0poison", 0)
				synctest.Wait()
				w.add(t, "b.1", 1)
				synctest.Wait()
				start := time.Now()
				if end == "Forget" {
					w.relay.Forget(func(int) bool { return true })
				} else if err := w.close(t, 0); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if took := time.Since(start); took > time.Second {
					t.Error("took", took)
				}
				time.Sleep(2 * time.Hour)
				if end == "Forget" {
					w.add(t, "a.2", 2)
					if err := w.close(t, time.Minute); err != nil {
						t.Error(err)
					}
				}
				if w.done[0] != 0 || w.done[1] != 1 {
					t.Error("done:", w.done)
				}
			})
		})
	}
}

// A call that hangs costs others nothing, but those of its keys, and what else it has. Keys
// that its lane had before are not its own any more, whatever became of their events.
func TestRelayGoesOnBesideACallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := time.Hour
		w := newWorld(t, connect.RelayOptions[int]{Timeout: time.Minute}, func(ids []string) error {
			if slices.ContainsFunc(ids, poison) {
				time.Sleep(hang)
				hang = 0
				return errDown
			}
			if slices.ContainsFunc(ids, func(id string) bool { return strings.HasSuffix(id, "refused") }) {
				return beacon.ErrPermanent
			}
			return nil
		})
		w.dead = func([]connect.Letter[int]) error { return errDown }
		for i := range 50 {
			id := fmt.Sprintf("s%d.%d", i, i)
			if i%3 == 0 {
				id += "refused"
			}
			w.add(t, id, 6000+i)
			synctest.Wait() // so that each of the lanes has some
		}
		time.Sleep(time.Second)
		w.add(t, "hangs.0poison", 0)
		synctest.Wait()
		for i := range 1000 {
			start := time.Now()
			w.add(t, fmt.Sprintf("s%d.%d", i%50, 1+i), 1+i)
			time.Sleep(10 * time.Millisecond)
			w.mu.Lock()
			if at := w.taken[w.at[1+i]]; at.IsZero() || at.Sub(start) > time.Second {
				t.Error(w.at[1+i], "has to wait")
			}
			w.mu.Unlock()
		}
		w.add(t, "hangs.5000", 5000)
		if w.relay.Stats().SinkHangs {
			t.Error("hangs before its time is over")
		}
		time.Sleep(time.Minute)
		if err := w.relay.Healthy(t.Context()); err == nil || !w.relay.Stats().SinkHangs {
			t.Error("healthy", err)
		}
		w.mu.Lock()
		if !w.taken["hangs.5000"].IsZero() {
			t.Error("a later one of the same key was taken beside it")
		}
		w.mu.Unlock()
		time.Sleep(2 * time.Hour)
		if w.relay.Stats().SinkHangs {
			t.Error("hangs")
		}
		w.mu.Lock()
		if w.done[5000] != 1 {
			t.Error("did not go on")
		}
		w.mu.Unlock()
		if err := w.close(t, 0); err == nil { // the sink does not take it, and nothing else comes
			t.Error("poison is settled")
		}
	})
}

// Close without time leaves what is not settled, and says how much that is; with time it
// leaves nothing. Nothing is done after it.
func TestRelayClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{}, func([]string) error { return errDown })
		for i := range 10 {
			w.add(t, fmt.Sprintf("s.%d", i), i)
		}
		start := time.Now()
		err := w.close(t, 3*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "10 events") || !strings.Contains(err.Error(), "down") {
			t.Error(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Error("took", took)
		}
		if s := w.relay.Stats(); s.Held != 10 || len(w.done) != 0 {
			t.Errorf("%+v, %v", s, w.done)
		}
		if err := w.relay.Add(t.Context(), event("s.11"), 11); !errors.Is(err, connect.ErrClosed) {
			t.Error("Add:", err)
		}
		if err := w.relay.Healthy(t.Context()); !errors.Is(err, connect.ErrClosed) {
			t.Error("Healthy:", err)
		}
		if err := w.relay.Flush(t.Context()); err == nil {
			t.Error("flushed")
		}
		if err := w.relay.Close(t.Context()); err != nil {
			t.Error("second Close:", err)
		}
		w.relay.Forget(func(int) bool { return true })
		if s := w.relay.Stats(); s.Held != 0 || s.Forgotten != 10 {
			t.Errorf("%+v", s)
		}
	})
}

// Who waits for room does not wait for Close, which flushes.
func TestRelayCloseEndsAdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{MaxEvents: 1}, func([]string) error {
			time.Sleep(10 * time.Second)
			return errDown
		})
		w.add(t, "s.0", 0)
		added := make(chan time.Time, 1)
		go func() {
			if err := w.relay.Add(t.Context(), event("s.1"), 1); !errors.Is(err, connect.ErrClosed) {
				t.Error(err)
			}
			added <- time.Now()
		}()
		synctest.Wait()
		start := time.Now()
		if err := w.close(t, time.Minute); err == nil {
			t.Error("closed")
		}
		if took := (<-added).Sub(start); took != 0 {
			t.Error("Add took", took)
		}
		time.Sleep(time.Minute) // for the call, which is deaf
	})
}

// Add waits for room as long as its context lasts, and until Close.
func TestRelayAddWaitsForRoom(t *testing.T) {
	large := event("large.1")
	large.Body = beacon.Text(strings.Repeat("x", 5000))
	for name, o := range map[string]connect.RelayOptions[int]{"events": {MaxEvents: 1}, "bytes": {MaxBytes: int64(large.Size())}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := make(chan struct{})
				w := newWorld(t, o, func([]string) error {
					<-open
					return nil
				})
				huge := large.Clone()
				huge.Body = beacon.Text(strings.Repeat("x", 50_000))
				w.at[0], w.at[1], w.at[2] = huge.ID, large.ID, large.ID
				if err := w.relay.Add(t.Context(), huge, 0); err != nil { // there is nothing else
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := w.relay.Add(ctx, large, 1); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				added := make(chan error)
				go func() { added <- w.relay.Add(context.Background(), large, 1) }()
				synctest.Wait()
				open <- struct{}{}
				if err := <-added; err != nil {
					t.Error(err)
				}
				go func() { added <- w.relay.Add(context.Background(), large, 2) }()
				synctest.Wait()
				go close(open)
				ctx, cancel = context.WithCancel(t.Context())
				cancel()
				closed := make(chan error)
				go func() { closed <- w.relay.Close(ctx) }()
				if err := <-added; err != nil && !errors.Is(err, connect.ErrClosed) {
					t.Error(err)
				}
				<-closed
				w.check(t)
			})
		})
	}
}

// Dead letters that cannot be kept are tried until they can, one that never can does not
// stand in the way of others, and nothing else waits meanwhile.
func TestRelayKeepsDeadLettersUntilTheyAreTaken(t *testing.T) {
	for name, refuse := range map[string]func(n, bad int) error{
		"whole": func(int, int) error { return errDown },
		"named": func(_, bad int) error { return &beacon.PartialError{Failed: []int{bad}, Err: errDown} },
		"panic": func(int, int) error { panic("dead") },
		"Goexit": func(int, int) error {
			runtime.Goexit()
			return nil
		},
		"nil pointer": func(int, int) error { return (*beacon.RequestError)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, connect.RelayOptions[int]{}, func(ids []string) error {
					if slices.ContainsFunc(ids, poison) {
						return beacon.ErrPermanent
					}
					return nil
				})
				never := true
				var mu sync.Mutex
				w.dead = func(letters []connect.Letter[int]) error {
					bad := slices.IndexFunc(letters, func(l connect.Letter[int]) bool { return l.Tag == 6 })
					mu.Lock()
					defer mu.Unlock()
					if !never || bad < 0 {
						return nil
					}
					return refuse(len(letters), bad)
				}
				for i := range 300 {
					id := fmt.Sprintf("s%d.%d", i, i)
					if i%3 == 0 {
						id += "poison"
					}
					w.add(t, id, i)
				}
				time.Sleep(time.Second)
				w.mu.Lock()
				if len(w.taken) != 200 {
					t.Error("taken:", len(w.taken))
				}
				w.mu.Unlock()
				time.Sleep(3 * time.Minute)
				if s := w.relay.Stats(); s.Dead != 99 || s.Held != 1 || s.DeadErrors == 0 {
					t.Errorf("%+v", s)
				}
				if err := w.relay.Healthy(t.Context()); err == nil {
					t.Error("healthy")
				}
				mu.Lock()
				never = false
				mu.Unlock()
				if err := w.close(t, time.Minute); err != nil {
					t.Error(err)
				}
				w.all(t, poison)
			})
		})
	}
}

func TestRelayHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{BatchEvents: 5}, func(ids []string) error {
			switch {
			case ids[0] == "s.0":
				return nil
			case slices.ContainsFunc(ids, poison):
				return beacon.ErrPermanent
			}
			return errDown
		})
		w.dead = func([]connect.Letter[int]) error { return errDown }
		w.add(t, "s.0", 0)
		synctest.Wait()
		w.add(t, "s.1poison", 1)
		time.Sleep(time.Second)
		for i := range 20 {
			w.add(t, fmt.Sprintf("s.%d", 2+i), 2+i)
		}
		time.Sleep(time.Minute)
		held := slices.Sorted(w.relay.Held())
		var want []int
		for i := range 21 {
			want = append(want, 1+i)
		}
		if d := cmp.Diff(want, held); d != "" {
			t.Error(d)
		}
		for range w.relay.Held() {
			break
		}
		if s := w.relay.Stats(); s.Oldest < time.Minute || s.Oldest > 62*time.Second || s.Stuck == "" {
			t.Errorf("%+v", s)
		}
		_ = w.close(t, 0)
	})
}

// Flush does not wait for the time of the next attempt, of events or of letters.
func TestRelayFlushHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		var mu sync.Mutex
		w := newWorld(t, connect.RelayOptions[int]{}, func(ids []string) error {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case slices.ContainsFunc(ids, poison):
				return beacon.ErrPermanent
			case down && slices.Contains(ids, "b.2"):
				return &beacon.RetryAfterError{After: 4 * time.Minute, Err: errDown}
			}
			return nil
		})
		w.dead = func([]connect.Letter[int]) error {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return &beacon.RetryAfterError{After: time.Minute, Err: errDown}
			}
			return nil
		}
		w.add(t, "a.1poison", 1)
		time.Sleep(time.Second)
		w.add(t, "b.2", 2)
		for i := range 20 {
			time.Sleep(time.Minute) // until it is known to be at fault itself
			w.add(t, fmt.Sprintf("c.%d", i), 3+i)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		down = false
		mu.Unlock()
		start := time.Now()
		if err := w.relay.Flush(t.Context()); err != nil || time.Since(start) > time.Second {
			t.Error(err, "after", time.Since(start))
		}
		if err := w.close(t, time.Minute); err != nil {
			t.Error(err)
		}
		w.all(t, poison)
	})
}

// The health of what is behind is told, too.
type unwell struct{ beacon.SinkFunc }

func (unwell) Healthy(context.Context) error { return errDown }

func TestRelayTellsThatTheSinkIsNotWell(t *testing.T) {
	r, err := connect.NewRelay(unwell{}, connect.RelayOptions[int]{
		Done: func([]int) {}, Dead: func(context.Context, []connect.Letter[int]) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Healthy(t.Context()); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewRelayRefusesMistakes(t *testing.T) {
	_, err := connect.NewRelay(nil, connect.RelayOptions[int]{
		Parallel: -1, MaxEvents: -1, MaxBytes: -1, BatchEvents: -1, BatchBytes: -1, Timeout: -1, MaxTries: -1,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no Sink", ".Done", ".Dead", "Parallel is -1", "MaxEvents", "MaxBytes", "BatchEvents", "BatchBytes", "Timeout is -1ns", "MaxTries"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}
