package delivery_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// What several Couriers before one sink need.

// A Courier that has nothing but poison takes the sink for away, until it hears that another
// one got through.
func TestCourierBelievesAnother(t *testing.T) {
	for _, vouched := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var r run
			c := r.courier(func(string) error { return errDown })
			left := events(many(8, 8)...)
			for start := time.Now(); time.Since(start) < 5*time.Minute; {
				left = feed(c, left)
				if vouched {
					c.Vouch()
				}
				_, wait, _ := c.Try(t.Context())
				time.Sleep(max(wait, time.Second))
			}
			if want := map[bool]int{true: 8}[vouched]; len(r.buried) != want || c.Len() != 8-want {
				t.Errorf("vouched for %v: %v buried, %d left", vouched, r.buried, c.Len())
			}
			if vouched && r.calls > 8*20+30 {
				t.Error(r.calls, "calls")
			}
		})
	}
}

// What is settled is said once, what is dropped is not, and what is buried comes with its
// tag.
func TestCourierSaysWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r run
		c := r.courier(nil)
		c.Next = naming(&r, func(id string) error {
			if id == "a.2" || id == "b.4" {
				return errDown
			}
			if id == "e.6" {
				return beacon.ErrPermanent
			}
			return nil
		})
		bury := c.Bury
		var buried []int
		c.Bury = func(events []beacon.Event, tags []int, why []error) (int, error) {
			buried = append(buried, tags...)
			return bury(events, tags, why)
		}
		var settled []int
		c.Settled = func(tag int) { settled = append(settled, tag) }
		for i, e := range events("a.1", "a.2", "c.2", "b.4", "d.5") {
			c.Add(e, 100, 10+i)
		}
		if _, _, err := c.Try(t.Context()); err == nil {
			t.Fatal("no error")
		}
		c.Add(events("e.6")[0], 100, 15)
		if p, _, _ := c.Try(t.Context()); p.Buried != 1 || !slices.Equal(buried, []int{15}) || !slices.Contains(settled, 15) {
			t.Error(p, buried, settled)
		}
		c.Drop(func(tag int) bool { return tag == 13 })
		if d := cmp.Diff([]int{11}, slices.Collect(c.Held())); d != "" {
			t.Error(d)
		}
		slices.Sort(settled)
		if d := cmp.Diff([]int{10, 12, 14, 15}, settled); d != "" {
			t.Error(d)
		}
	})
}
