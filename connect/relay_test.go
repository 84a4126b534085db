package connect_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

var errDown = errors.New("down")

// A world is a Sink, and what a Relay in front of it was told to do and did. Tags are the
// positions at which events were added.
type world struct {
	mu      sync.Mutex
	answer  func(ids []string) error // of the Sink; it may sleep
	taken   map[string]time.Time     // when it took which ID first
	order   []string                 // all it took
	busy    map[string]int           // calls that have events of a key
	letters map[int]error
	dead    func(letters []connect.Letter[int]) error // may refuse them
	done    map[int]int
	at      map[int]string // IDs
	relay   *connect.Relay[int]
	errs    []error
}

func newWorld(t *testing.T, o connect.RelayOptions[int], answer func(ids []string) error) *world {
	t.Helper()
	w := &world{
		answer: answer, taken: map[string]time.Time{}, busy: map[string]int{},
		letters: map[int]error{}, done: map[int]int{}, at: map[int]string{},
	}
	o.Done = func(tags []int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, tag := range tags {
			w.done[tag]++
			if _, dead := w.letters[tag]; !dead && w.taken[w.at[tag]].IsZero() {
				w.errs = append(w.errs, fmt.Errorf("%s is done, and nobody has it", w.at[tag]))
			}
		}
		clear(tags) // it is not ours
	}
	o.Dead = func(_ context.Context, letters []connect.Letter[int]) (err error) {
		if w.dead != nil {
			err = w.dead(letters)
		}
		part, named := errors.AsType[*beacon.PartialError](err)
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, l := range letters {
			if err != nil && !(named && !slices.Contains(part.Failed, i)) {
				continue
			}
			if l.Why == nil || l.Event.ID != w.at[l.Tag] {
				w.errs = append(w.errs, fmt.Errorf("letter of %s (%s): %v", l.Event.ID, w.at[l.Tag], l.Why))
			}
			w.letters[l.Tag] = l.Why
		}
		return err
	}
	r, err := connect.NewRelay(beacon.SinkFunc(w.consume), o)
	if err != nil {
		t.Fatal(err)
	}
	w.relay = r
	return w
}

func (w *world) consume(_ context.Context, events []beacon.Event) error {
	var ids, keys []string
	for i := range events {
		ids = append(ids, events[i].ID)
		if key := connect.Key(&events[i]); key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		events[i] = beacon.Event{ID: "scribbled over"} // it owns them
	}
	w.mu.Lock()
	for _, key := range keys {
		if w.busy[key]++; w.busy[key] > 1 {
			w.errs = append(w.errs, fmt.Errorf("two calls have events of %s", key))
		}
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, key := range keys {
			w.busy[key]--
		}
	}()
	err := w.answer(ids)
	w.mu.Lock()
	defer w.mu.Unlock()
	part, named := errors.AsType[*beacon.PartialError](err)
	for i, id := range ids {
		if err == nil || named && !slices.Contains(part.Failed, i) {
			if w.taken[id].IsZero() {
				w.taken[id] = time.Now()
			}
			w.order = append(w.order, id)
		}
	}
	return err
}

// add adds an event "key.number", whose key may be empty.
func (w *world) add(t *testing.T, id string, tag int) {
	t.Helper()
	w.mu.Lock()
	w.at[tag] = id
	w.mu.Unlock()
	if err := w.relay.Add(t.Context(), event(id), tag); err != nil {
		t.Fatal(err)
	}
}

func event(id string) beacon.Event {
	session, _, _ := strings.Cut(id, ".")
	return beacon.Event{ID: id, Session: session, Body: beacon.Empty{}, Received: time.Now()}
}

func (w *world) close(t *testing.T, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := w.relay.Close(ctx)
	w.check(t)
	return err
}

// check looks for what must never be.
func (w *world) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range w.errs {
		t.Error(err)
	}
	for tag, n := range w.done {
		if n != 1 {
			t.Errorf("%s is done %d times", w.at[tag], n)
		}
	}
	s := w.relay.Stats()
	if s.Added != s.Delivered+s.Dead+s.Forgotten+uint64(s.Held) {
		t.Errorf("stats do not add up: %+v", s)
	}
	if int(s.Delivered+s.Dead) != len(w.done) {
		t.Errorf("%d done, stats %+v", len(w.done), s)
	}
}

// all fails the test unless every event was settled, and those of which bad says so dead.
func (w *world) all(t *testing.T, bad func(id string) bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for tag, id := range w.at {
		_, dead := w.letters[tag]
		if w.done[tag] != 1 || dead != bad(id) || dead == !w.taken[id].IsZero() {
			t.Errorf("%s: done %d times, dead %v, taken %v", id, w.done[tag], dead, w.taken[id])
		}
	}
}

func nothing(string) bool { return false }

func poison(id string) bool { return strings.Contains(id, "poison") }

// inOrder reports keys whose events were not taken in order.
func (w *world) inOrder() error {
	last := map[string]int{}
	for _, id := range w.order {
		key, number, _ := strings.Cut(id, ".")
		var n int
		fmt.Sscan(number, &n)
		if before, found := last[key]; key != "" && found && n <= before {
			return fmt.Errorf("%s after %d", id, before)
		}
		last[key] = n
	}
	return nil
}

func TestRelayDelivers(t *testing.T) {
	for _, parallel := range []int{1, 4, 16} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, connect.RelayOptions[int]{Parallel: parallel, BatchEvents: 50, MaxEvents: 500}, func([]string) error {
					time.Sleep(rand.N(10 * time.Millisecond))
					return nil
				})
				const n = 8000
				for i := range n {
					key := ""
					if k := rand.N(60); k > 0 {
						key = fmt.Sprint("s", k)
					}
					w.add(t, fmt.Sprintf("%s.%d", key, i), i)
				}
				if err := w.close(t, time.Minute); err != nil {
					t.Error(err)
				}
				w.all(t, nothing)
				if err := w.inOrder(); err != nil {
					t.Error(err)
				}
				if len(w.order) != n {
					t.Errorf("%d taken of %d", len(w.order), n)
				}
			})
		})
	}
}

// Calls are made beside each other, unless the events are of one key.
func TestRelayIsParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, most := 0, 0
		var mu sync.Mutex
		w := newWorld(t, connect.RelayOptions[int]{Parallel: 3, BatchEvents: 10}, func([]string) error {
			mu.Lock()
			calls++
			most = max(most, calls)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			calls--
			mu.Unlock()
			return nil
		})
		start := time.Now()
		for i := range 90 {
			w.add(t, fmt.Sprintf("s%d.%d", i, i), i)
		}
		if err := w.relay.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); most != 3 || took > 5*time.Second {
			t.Errorf("%d calls at a time, %v", most, took)
		}
		most = 0
		for i := range 90 {
			w.add(t, fmt.Sprintf("one.%d", i), 90+i)
		}
		if err := w.close(t, time.Minute); err != nil || most != 1 {
			t.Error(most, "calls at a time", err)
		}
	})
}

// There is nobody who sleeps while there is something to do.
func TestRelayWakesWhoIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{Parallel: 4, BatchEvents: 1}, func([]string) error {
			time.Sleep(time.Second)
			return nil
		})
		for i := range 50 {
			synctest.Wait()
			start := time.Now()
			for k := range 4 {
				w.add(t, fmt.Sprintf("s%d.%d", k, i), 4*i+k)
			}
			if err := w.relay.Flush(t.Context()); err != nil || time.Since(start) != time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		if err := w.close(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// Whatever the sink does, nothing is done that nobody has, nothing is settled twice, and
// keys are in order unless something was passed over.
func TestRelayRandomSinks(t *testing.T) {
	rounds := 20
	if os.Getenv("BEACON_FAULTS") == "full" {
		rounds = 1000
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 12))
				var mu sync.Mutex
				random := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return rng.IntN(n)
				}
				trouble := 1 + random(40) // percent
				kinds := []int{random(6), random(6)}
				calm := time.Now().Add(time.Duration(random(120)) * time.Second)
				w := newWorld(t, connect.RelayOptions[int]{
					Parallel: 1 + random(6), BatchEvents: 1 + random(100), MaxEvents: 1 + random(2000),
					MaxBytes: int64(1000 + random(1<<20)), Timeout: time.Second, MaxTries: 3,
				}, func(ids []string) error {
					time.Sleep(time.Duration(random(20)) * time.Millisecond)
					if time.Now().After(calm) || random(100) >= trouble {
						return nil
					}
					switch kinds[random(2)] {
					case 0:
						return errDown
					case 1:
						return &beacon.PartialError{Failed: []int{random(len(ids))}, Err: errDown}
					case 2:
						panic("sink")
					case 3:
						runtime.Goexit()
					case 4:
						time.Sleep(time.Duration(random(5)) * time.Second) // deaf to its context
					case 5:
						return &beacon.RetryAfterError{After: time.Second, Err: errDown}
					}
					return nil
				})
				refusals := random(2) * 30
				w.dead = func(letters []connect.Letter[int]) error {
					if random(100) < refusals {
						return &beacon.PartialError{Failed: []int{random(len(letters))}, Err: errDown}
					}
					if random(100) < refusals {
						panic("dead")
					}
					return nil
				}
				n := 500 + random(3000)
				for i := range n {
					w.add(t, fmt.Sprintf("s%d.%d", random(200), i), i)
					if random(50) == 0 {
						time.Sleep(time.Duration(random(100)) * time.Millisecond)
					}
				}
				if err := w.close(t, time.Hour); err != nil {
					t.Error(err)
				}
				w.all(t, func(id string) bool { return w.taken[id].IsZero() })
			})
		})
	}
}

// Poison of any kind goes to Dead, and what stands around it does not wait for it for long,
// not even in its own session.
func TestRelayPassesPoison(t *testing.T) {
	for kind, fail := range map[string]func() error{
		"permanent": func() error { return fmt.Errorf("%w: no", beacon.ErrPermanent) },
		"temporary": func() error { return errDown },
		"panic":     func() error { panic("poison") },
		"Goexit":    func() error { runtime.Goexit(); return nil },
	} {
		for _, parallel := range []int{1, 4} {
			t.Run(fmt.Sprint(kind, parallel), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, connect.RelayOptions[int]{Parallel: parallel}, func(ids []string) error {
						time.Sleep(2 * time.Millisecond)
						if slices.ContainsFunc(ids, poison) {
							return fail()
						}
						return nil
					})
					added := map[string]time.Time{}
					for i := range 3000 {
						id := fmt.Sprintf("s%d.%d", i%100, i)
						if i%1000 == 300 {
							id += "poison"
						}
						added[id] = time.Now()
						w.add(t, id, i)
						time.Sleep(5 * time.Millisecond)
						if i >= 2900 { // what is left of the poison is found with the help of these
							time.Sleep(time.Second)
						}
					}
					if err := w.close(t, 5*time.Minute); err != nil {
						t.Error(err)
					}
					w.all(t, poison)
					for id, at := range w.taken {
						key, _, _ := strings.Cut(id, ".")
						bound := time.Second
						if key == "s0" { // that of the poison
							bound = 2 * time.Second
						}
						if took := at.Sub(added[id]); took > bound {
							t.Errorf("%s took %v", id, took)
						}
					}
				})
			})
		}
	}
}

// What is bad is found even if next to nothing else comes, whichever lane has it.
func TestRelayFindsPoisonInAQuietLog(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, connect.RelayOptions[int]{Parallel: parallel}, func(ids []string) error {
					if slices.ContainsFunc(ids, poison) {
						return errDown
					}
					return nil
				})
				for i := range 20 { // more than may be all there is to blame
					w.add(t, fmt.Sprintf("p%d.%dpoison", i, i), i)
				}
				time.Sleep(time.Minute)
				if s := w.relay.Stats(); s.Dead != 0 || s.Held != 20 || s.StuckSince.IsZero() {
					t.Errorf("with nothing else: %+v", s)
				}
				if err := w.relay.Healthy(t.Context()); !errors.Is(err, errDown) {
					t.Error("healthy:", err)
				}
				slowest := time.Duration(0)
				for i := range 60 {
					id := fmt.Sprintf("s%d.%d", i, i)
					start := time.Now()
					w.add(t, id, 20+i)
					time.Sleep(2 * time.Second)
					w.mu.Lock()
					took := time.Since(start)
					if at := w.taken[id]; !at.IsZero() {
						took = at.Sub(start)
					}
					slowest = max(slowest, took)
					w.mu.Unlock()
				}
				if slowest > time.Second && parallel > 1 { // one lane alone takes the sink for away
					t.Error("slowest", slowest)
				}
				if s := w.relay.Stats(); s.Dead != 20 {
					t.Errorf("%+v", s)
				}
				if err := w.close(t, time.Minute); err != nil {
					t.Error(err)
				}
				w.all(t, poison)
			})
		})
	}
}

// A sink that is away for long loses nothing and condemns nothing; memory has its bound;
// when it is back all goes on at once.
func TestRelayWaitsForASinkThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		var mu sync.Mutex
		w := newWorld(t, connect.RelayOptions[int]{MaxEvents: 1000, BatchEvents: 50}, func([]string) error {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return errDown
			}
			return nil
		})
		const n = 5000
		go func() {
			for i := range n {
				if w.mu.Lock(); true {
					w.at[i] = fmt.Sprintf("s%d.%d", i%300, i)
					w.mu.Unlock()
				}
				if err := w.relay.Add(context.Background(), event(w.at[i]), i); err != nil {
					t.Error(err)
				}
			}
		}()
		time.Sleep(20 * time.Minute)
		if s := w.relay.Stats(); s.Held != 1000 || s.Dead+s.Delivered != 0 || w.relay.Healthy(t.Context()) == nil {
			t.Errorf("%+v", s)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(6 * time.Second)
		if s := w.relay.Stats(); s.Delivered != n || !s.StuckSince.IsZero() {
			t.Errorf("%+v", s)
		}
		if err := w.close(t, time.Minute); err != nil {
			t.Error(err)
		}
		w.all(t, nothing)
		if err := w.inOrder(); err != nil {
			t.Error(err)
		}
	})
}
