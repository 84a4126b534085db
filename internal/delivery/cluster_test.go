package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
)

// Events that are poison come one right behind the other, among 200 good ones a second.
// These do not wait for them, wherever they are in the line, as long as they are of other sessions.
func TestCourierPassesClustersOfPoison(t *testing.T) {
	const (
		callTime = 2 * time.Millisecond
		every    = 5 * time.Millisecond
		most     = 2 * time.Minute // until all poison is buried
	)
	sessions := map[string]func(kind string, n int) string{
		"none":      func(string, int) string { return "" },
		"different": func(kind string, n int) string { return fmt.Sprint(kind, n) },
		"one each":  func(kind string, _ int) string { return kind },
	}
	for _, length := range []int{10, 50} {
		for place, before := range map[string][]int{ // how many good events come at once before each run
			"front": {0}, "end": {100}, "several": {0, 3, 100},
		} {
			for of, session := range sessions {
				if of == "one each" && length > 10 {
					continue // they wait for each other, and are buried late
				}
				t.Run(fmt.Sprintf("%d/%s/%s", length, place, of), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var slowest time.Duration
						var r run
						c := r.courier(func(id string) error {
							if strings.HasPrefix(id, "poison") {
								return errors.New("deadlock detected")
							}
							return nil
						})
						inner := c.Next
						c.Next = beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
							time.Sleep(callTime)
							received := make([]time.Time, len(events))
							for i := range events {
								received[i] = events[i].Received
							}
							err := inner.Consume(ctx, events)
							for i := range events {
								if err == nil {
									slowest = max(slowest, time.Since(received[i]))
								}
							}
							return err
						})
						poison, good := 0, 0
						add := func(kind string, n int) beacon.Event {
							return beacon.Event{ID: fmt.Sprint(kind, n), Session: session(kind, n), Received: time.Now()}
						}
						var left []beacon.Event
						for _, n := range before {
							for range n {
								left = append(left, add("good", good))
								good++
							}
							for range length {
								left = append(left, add("poison", poison))
								poison++
							}
						}
						start, next := time.Now(), time.Time{}
						for sent := 0; c.Len() > 0 || sent == 0; {
							since := time.Since(start)
							if since > most {
								break
							}
							for ; len(r.buried) < poison && time.Duration(sent)*every <= since; sent++ {
								left = append(left, add("good", good))
								good++
							}
							had := len(left)
							if left = feed(c, left); next.After(time.Now()) && (had == len(left) || !c.Eager()) {
								time.Sleep(min(every, time.Until(next)))
								continue
							}
							_, wait, _ := c.Try(t.Context())
							next = time.Now().Add(wait)
							if wait == 0 && c.Len() == 0 {
								time.Sleep(every)
							}
						}
						bound := 2 * time.Second
						t.Logf("slowest %v, %d calls, %d buried", slowest, r.calls, len(r.buried))
						if len(r.taken) != good || slowest > bound {
							t.Errorf("%d of %d taken, the slowest after %v; %d left", len(r.taken), good, slowest, c.Len())
						}
						if len(r.buried) != poison || slices.ContainsFunc(r.buried, func(id string) bool { return !strings.HasPrefix(id, "poison") }) {
							t.Errorf("%d of %d buried: %v", len(r.buried), poison, r.buried)
						}
					})
				})
			}
		}
	}
}
