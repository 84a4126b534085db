// Package pair compares what subjects cost on a machine that others use too.
//
// A floor and its subjects run in turn, in many slices that are so short that a
// neighbour who comes or goes meets all of a round alike. What counts is CPU time, which
// does not pass while others run, and of it the difference to the floor of the same
// round: its median, and the difference of the cheapest slices, since whatever disturbs
// a slice makes it dearer. Where these two are apart, neither is to be believed.
package pair

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// A Subject is measured.
type Subject struct {
	Name string

	// Run does n operations.
	Run func(n int) error

	// CPU is the clock of whoever does the work; by default this process.
	CPU func() (time.Duration, error)

	// Before runs before each slice; by default the garbage collector does, so that no
	// subject pays for what another left.
	Before func()
}

// Options say how long to measure.
type Options struct {
	Rounds int           // in how many each subject has a slice; default 15
	Slice  time.Duration // how much CPU time that is; default 40 ms: in less, too few collections fall
}

// A Result is what a subject took. Times are in ns of CPU for one operation. Those Over
// are what is left without the floor.
type Result struct {
	Name        string
	Min, Median float64

	Over      float64 // the median of the differences of all rounds
	OverMin   float64 // the difference of the minima
	Low, High float64 // the quartiles around Over

	// Floor by subject: 1 is as cheap as the floor, 0.5 twice as dear.
	Ratio, RatioMin float64

	Allocs, Bytes         float64 // for one operation, if this process does the work
	AllocsOver, BytesOver float64

	Slices []float64 // of each round
	overs  []float64
}

// Measure runs the floor and the subjects. The first result is that of the floor.
func Measure(o Options, floor Subject, subjects ...Subject) ([]Result, error) {
	o.Rounds, o.Slice = cmp.Or(o.Rounds, 15), cmp.Or(o.Slice, 40*time.Millisecond)
	all := append([]Subject{floor}, subjects...)
	results, each := make([]Result, len(all)), make([]int, len(all))
	for i, s := range all {
		var err error
		if each[i], err = s.calibrate(o.Slice); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		results[i].Name = s.Name
		if s.CPU == nil {
			if results[i].Allocs, results[i].Bytes, err = s.Memory(min(max(each[i]/4, 1), 2000)); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	for round := range o.Rounds {
		for i := range all { // who is first changes, and so does who comes after whom
			i = (i + round) % len(all)
			if round/len(all)%2 == 1 {
				i = len(all) - 1 - i
			}
			took, err := all[i].slice(each[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].Name, err)
			}
			results[i].Slices = append(results[i].Slices, float64(took)/float64(each[i]))
		}
	}
	for i := range results {
		results[i].compare(&results[0])
	}
	return results, nil
}

// calibrate finds how many operations are a slice.
func (s *Subject) calibrate(slice time.Duration) (int, error) {
	for n := 1; ; n *= 2 {
		took, err := s.slice(n)
		if err != nil {
			return 0, err
		}
		if took >= slice/4 || n >= 1<<26 {
			return max(1, int(float64(n)*float64(slice)/float64(max(took, 1)))), nil
		}
	}
}

func (s *Subject) slice(n int) (time.Duration, error) {
	clock := s.CPU
	if clock == nil {
		clock = CPU
	}
	if s.Before != nil {
		s.Before()
	} else {
		runtime.GC()
	}
	start, err := clock()
	if err != nil {
		return 0, err
	}
	if err := s.Run(n); err != nil {
		return 0, err
	}
	end, err := clock()
	return end - start, err
}

// Memory counts what an operation allocates: the least of a few runs of n, since the
// runtime's own goroutines allocate now and then, and without the collector, which empties
// pools when it likes.
func (s *Subject) Memory(n int) (allocs, bytes float64, err error) {
	if err := s.Run(1); err != nil { // what the first fills, the others find
		return 0, 0, err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	allocs, bytes = math.Inf(1), math.Inf(1)
	for range 3 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if err := s.Run(n); err != nil {
			return 0, 0, err
		}
		runtime.ReadMemStats(&after)
		allocs = min(allocs, float64(after.Mallocs-before.Mallocs)/float64(n))
		bytes = min(bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
	}
	return math.Floor(allocs + 0.1), math.Round(bytes), nil
}

func (r *Result) compare(floor *Result) {
	var ratio []float64
	for i, ns := range r.Slices {
		r.overs = append(r.overs, ns-floor.Slices[i])
		ratio = append(ratio, floor.Slices[i]/ns)
	}
	r.Min, r.Median = slices.Min(r.Slices), quantile(r.Slices, 0.5)
	r.Over, r.Low, r.High = quantile(r.overs, 0.5), quantile(r.overs, 0.25), quantile(r.overs, 0.75)
	floorMin := slices.Min(floor.Slices)
	r.OverMin = r.Min - floorMin
	r.Ratio, r.RatioMin = quantile(ratio, 0.5), floorMin/r.Min
	r.AllocsOver, r.BytesOver = r.Allocs-floor.Allocs, r.Bytes-floor.Bytes
}

// Part is what r takes over the floor, as a part of all that another takes: the median
// of the rounds, and by the minima.
func (r *Result) Part(of Result) (median, least float64) {
	parts := make([]float64, len(r.overs))
	for i, over := range r.overs {
		parts[i] = over / of.Slices[i]
	}
	return quantile(parts, 0.5), r.OverMin / of.Min
}

// quantile is that of all values, between the two next to it.
func quantile(values []float64, q float64) float64 {
	v := slices.Sorted(slices.Values(values))
	at := q * float64(len(v)-1)
	low := int(at)
	high := min(low+1, len(v)-1)
	return v[low] + (v[high]-v[low])*(at-float64(low))
}

// Fit is the slope of the line through all points, by least squares of what they are off
// it as a part of themselves, so that the large do not decide alone.
func Fit(x, y []float64) float64 {
	var s, sx, sy, sxx, sxy float64
	for i := range x {
		w := 1 / max(x[i]*x[i], 1)
		s += w
		sx, sy = sx+w*x[i], sy+w*y[i]
		sxx, sxy = sxx+w*x[i]*x[i], sxy+w*x[i]*y[i]
	}
	return (s*sxy - sx*sy) / (s*sxx - sx*sx)
}
