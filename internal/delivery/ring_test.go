package delivery_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A Ring is a slice that is pushed to and popped from.
func TestRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var r delivery.Ring[int]
	var want []int
	for i := range 20_000 {
		switch n := rng.IntN(100); {
		case n < 52:
			r.Push(i)
			want = append(want, i)
		case n < 98:
			got, ok := r.Pop()
			if ok != (len(want) > 0) || ok && got != want[0] {
				t.Fatal(i, got, ok)
			}
			want = want[min(1, len(want)):]
		case n < 99:
			odd := func(e int) bool { return e%7 == 1 }
			r.Delete(func(e *int) bool { return odd(*e) })
			want = slices.DeleteFunc(want, odd)
		default:
			r.Fit(8)
		}
		if r.Len() != len(want) {
			t.Fatal(i, r.Len(), len(want))
		}
	}
	var got []int
	for e, ok := r.Pop(); ok; e, ok = r.Pop() {
		got = append(got, e)
	}
	if d := cmp.Diff(want, got); d != "" || len(want) == 0 {
		t.Error(len(want), d)
	}
}
