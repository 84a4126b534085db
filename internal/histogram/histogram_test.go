package histogram_test

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon/internal/histogram"
)

// A bucket has what is at most its bound, and the last one what is above all of them.
func TestBuckets(t *testing.T) {
	h := histogram.Seconds()
	bounds := h.Now().Bounds
	want := make([]uint64, len(bounds)+1)
	sum := 0.0
	for i, b := range bounds {
		d := time.Duration(math.Round(b * 1e9))
		h.Took(d)
		h.Took(d + 1)
		want[i]++
		want[i+1]++
		sum += 2 * b
	}
	h.Took(-time.Second)
	want[0]++
	got := h.Now()
	if d := cmp.Diff(want, got.Counts); d != "" {
		t.Error(d)
	}
	if math.Abs(got.Sum-sum) > 1e-6 {
		t.Errorf("sum is %v, want %v", got.Sum, sum)
	}

	h = histogram.Bytes()
	for _, n := range []int{0, 64, 65, 64 << 10, 64<<10 + 1, 1 << 30} {
		h.Size(n)
	}
	got = h.Now()
	named := map[float64]uint64{}
	for i, n := range got.Counts {
		if n > 0 {
			named[append(got.Bounds, math.Inf(1))[i]] = n
		}
	}
	if d := cmp.Diff(map[float64]uint64{64: 2, 128: 1, 64 << 10: 1, 256 << 10: 1, math.Inf(1): 1}, named); d != "" {
		t.Error(d)
	}
	if got.Sum != 0+64+65+64<<10+64<<10+1+1<<30 {
		t.Errorf("sum is %v", got.Sum)
	}
}

// Bounds are ascending, and numbers that a person would write: they are the label values
// of buckets, by which rules and dashboards find them.
func TestBounds(t *testing.T) {
	for _, h := range []*histogram.Histogram{histogram.Seconds(), histogram.Bytes()} {
		bounds := h.Now().Bounds
		if !slices.IsSorted(bounds) || len(slices.Compact(slices.Clone(bounds))) != len(bounds) {
			t.Errorf("%v do not ascend", bounds)
		}
		for _, b := range bounds {
			if text := strconv.FormatFloat(b, 'f', -1, 64); len(text) > 8 {
				t.Errorf("a bound is %s", text)
			}
		}
	}
}

// What a snapshot holds is the caller's: changing it changes no other.
func TestSnapshotIsOnesOwn(t *testing.T) {
	h := histogram.Seconds()
	s := h.Now()
	s.Bounds[0], s.Counts[0] = -1, 100
	if d := cmp.Diff(histogram.Seconds().Now(), h.Now()); d != "" {
		t.Error(d)
	}
}

func TestConcurrent(t *testing.T) {
	h := histogram.Bytes()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				h.Size(100)
				h.Now()
			}
		})
	}
	wg.Wait()
	if got := h.Now(); got.Counts[1] != 8000 || got.Sum != 800_000 {
		t.Errorf("%+v", got)
	}
}

func TestAllocatesNothing(t *testing.T) {
	h := histogram.Seconds()
	if n := testing.AllocsPerRun(100, func() { h.Since(time.Now()); h.Took(time.Hour) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	h := histogram.Seconds()
	b.ReportAllocs()
	for b.Loop() {
		h.Took(20 * time.Millisecond)
	}
}
