package sink_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// A flaky sink fails one call in rate, in all the ways there are, some of them
// after it has stored part of the events or all, or names those that it has not. It
// refuses one event in poison for good, always the same, with those beside it or by name.
type flaky struct {
	rate, poison int

	mu    sync.Mutex
	times map[string]int  // how often each event was stored
	after map[string]bool // stored by a call that failed
}

func (f *flaky) poisonous(id string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return f.poison > 0 && h.Sum32()%uint32(f.poison) == 0
}

func (f *flaky) Consume(_ context.Context, events []beacon.Event) error {
	time.Sleep(rand.N(3 * time.Millisecond))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.times == nil {
		f.times, f.after = map[string]int{}, map[string]bool{}
	}
	fails, names := rand.IntN(f.rate) == 0, rand.IntN(2) == 0
	var failed, refused []int
	store := events
	if fails {
		store = events[:rand.IntN(len(events)+1)]
	}
	for i := range events {
		if f.poisonous(events[i].ID) {
			refused = append(refused, i)
		}
		if i >= len(store) {
			failed = append(failed, i)
		}
	}
	if refused != nil && !names {
		return fmt.Errorf("%w: poison", beacon.ErrPermanent)
	}
	if refused != nil {
		fails, failed, store = false, refused, events
	}
	names = names && failed != nil
	for i := range store {
		if names && slices.Contains(failed, i) {
			continue
		}
		f.times[store[i].ID]++
		if fails && !names {
			f.after[store[i].ID] = true
		}
	}
	for i := range events {
		events[i].ID = "changed by its owner"
	}
	switch {
	case refused != nil:
		return &beacon.PartialError{Failed: refused, Err: fmt.Errorf("%w: poison", beacon.ErrPermanent)}
	case !fails:
		return nil
	case names:
		return &beacon.PartialError{Failed: failed, Err: errors.New("flaky")}
	}
	switch rand.IntN(4) {
	case 0:
		panic("flaky")
	case 1:
		return &beacon.RetryAfterError{After: time.Millisecond, Err: errors.New("flaky")}
	case 2:
		return &beacon.RequestError{Status: 429, Reason: "flaky"}
	}
	return errors.New("flaky")
}

// TestCompositions sends events through sinks that stand in each other's way, to
// others that fail. What was answered with nil is stored, and what is stored twice
// was stored by a call that failed, or sent again.
func TestCompositions(t *testing.T) {
	none := func(error) {}
	batch := sink.BatchOptions{MaxEvents: 30}
	retry := sink.RetryOptions{Budget: 1 << 20, MaxElapsed: time.Minute}
	compositions := map[string]func(a, b beacon.Sink) sink.Sink{
		"Tee(Batch(Retry(Dedup)), Queue)": func(a, b beacon.Sink) sink.Sink {
			return sink.Tee(
				sink.Required(sink.Batch(sink.Retry(sink.Dedup(a, sink.DedupOptions{}), retry), batch)),
				sink.BestEffort(sink.VolatileQueue(b, sink.QueueOptions{}), none))
		},
		"Dedup(Retry(Batch(Tee)))": func(a, b beacon.Sink) sink.Sink {
			return sink.Dedup(sink.Retry(sink.Batch(sink.Tee(sink.Required(a), sink.BestEffort(b, none)), batch), retry), sink.DedupOptions{})
		},
		"Retry(Dedup(Batch(Filter)))": func(a, _ beacon.Sink) sink.Sink {
			return sink.Retry(sink.Dedup(sink.Batch(sink.Filter(a, func(beacon.Event) bool { return true }), batch), sink.DedupOptions{}), retry)
		},
		"Batch/linger(Dedup(Retry))": func(a, _ beacon.Sink) sink.Sink {
			return sink.Batch(sink.Dedup(sink.Retry(a, retry), sink.DedupOptions{}), sink.BatchOptions{Linger: 5 * time.Millisecond, MaxEvents: 9})
		},
		"Queue(Dedup(Batch))": func(a, _ beacon.Sink) sink.Sink {
			return sink.VolatileQueue(sink.Dedup(sink.Batch(a, batch), sink.DedupOptions{}), sink.QueueOptions{BatchEvents: 9})
		},
		"Dedup(ByName(Retry(Split(Batch)), a))": func(a, _ beacon.Sink) sink.Sink {
			self := func(e beacon.Event) []beacon.Event { return []beacon.Event{e} }
			return sink.Dedup(sink.ByName(map[string]beacon.Sink{"1": sink.Retry(sink.Split(sink.Batch(a, batch), self), retry)}, a), sink.DedupOptions{})
		},
		"Dedup(Batch(ByName))": func(a, _ beacon.Sink) sink.Sink {
			return sink.Dedup(sink.Batch(sink.ByName(map[string]beacon.Sink{"1": beacon.SinkFunc(a.Consume)}, a), batch), sink.DedupOptions{})
		},
		"Queue(Dedup(ByName))": func(a, _ beacon.Sink) sink.Sink {
			return sink.VolatileQueue(sink.Dedup(sink.ByName(map[string]beacon.Sink{"1": beacon.SinkFunc(a.Consume)}, a), sink.DedupOptions{}), sink.QueueOptions{BatchEvents: 9})
		},
		"Sample(Tee(Dedup, Dedup))": func(a, b beacon.Sink) sink.Sink {
			return sink.Sample(sink.Tee(sink.Required(sink.Dedup(a, sink.DedupOptions{})), sink.BestEffort(sink.Dedup(b, sink.DedupOptions{}), none)), 1)
		},
	}
	for name, compose := range compositions {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &flaky{rate: 4, poison: 50}, &flaky{rate: 2, poison: 50}
				s := compose(a, b)
				var mu sync.Mutex
				taken := map[string]int{} // by calls that got nil
				sent := map[string]int{}
				send := func(ids []string) (left []string) {
					var err error
					defer func() {
						if p := recover(); p != nil {
							err = fmt.Errorf("panic: %v", p)
						}
						part, named := errors.AsType[*beacon.PartialError](err)
						mu.Lock()
						defer mu.Unlock()
						for i, id := range ids {
							sent[id]++
							if err == nil || named && !slices.Contains(part.Failed, i) {
								taken[id]++
							} else {
								left = append(left, id)
							}
						}
					}()
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					events := counted(ids...)
					for i, id := range ids {
						events[i].Name = id[len(id)-1:]
					}
					err = s.Consume(ctx, events)
					return nil
				}
				var wg sync.WaitGroup
				for caller := range 24 {
					wg.Go(func() {
						for call := range 20 {
							// Two callers send the same ids at the same time, in another order.
							one, two := fmt.Sprintf("%d.%d.1", caller/2, call), fmt.Sprintf("%d.%d.2", caller/2, call)
							if caller%2 == 1 {
								one, two = two, one
							}
							left := []string{one, two}
							for n := 0; n < 10 && len(left) > 0; n++ {
								left = send(left)
								time.Sleep(rand.N(5 * time.Millisecond))
							}
						}
					})
				}
				wg.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := s.Close(ctx); err != nil {
					t.Error(err)
				}
				_, queue := s.(*sink.Queue)
				for id := range sent {
					switch stored := a.times[id]; {
					case taken[id] > 0 && stored == 0 && !(queue && a.poisonous(id)):
						t.Errorf("%s was answered with nil and is not stored", id)
					case stored > 1 && !a.after[id]:
						t.Errorf("%s is stored %d times without a reason", id, stored)
					}
				}
				if len(taken) < 200 || len(a.after) == 0 {
					t.Errorf("%d taken, %d stored by calls that failed", len(taken), len(a.after))
				}
			})
		})
	}
}
