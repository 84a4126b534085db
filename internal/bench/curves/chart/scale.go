package chart

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A scale puts values of an axis onto pixels.
type scale struct {
	log      bool
	min, max float64
	from, to float64 // pixels of min and max
	ticks    []float64
}

// newScale makes room for all values. It ends at a tick, or at the largest value if it is
// to be tight.
func newScale(a Axis, tight bool, values []float64, from, to float64) scale {
	s := scale{log: a.Log, from: from, to: to}
	if a.Log {
		s.min, s.max, s.ticks = logTicks(values)
	} else {
		s.max, s.ticks = linearTicks(values)
		if tight && len(values) > 0 {
			s.max = slices.Max(values)
			s.ticks = slices.DeleteFunc(s.ticks, func(t float64) bool { return t > s.max })
		}
	}
	if a.Ticks != nil {
		s.ticks = a.Ticks
		first, last := a.Ticks[0], a.Ticks[len(a.Ticks)-1]
		s.min, s.max = first, last
		for _, v := range values {
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
	}
	return s
}

// at is the pixel of a value.
func (s scale) at(v float64) float64 {
	share := (v - s.min) / (s.max - s.min)
	if s.log {
		share = math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return s.from + share*(s.to-s.from)
}

// linearTicks returns four to eight round numbers from zero to what is not below any value.
func linearTicks(values []float64) (top float64, ticks []float64) {
	for _, v := range values {
		top = max(top, v)
	}
	if top <= 0 {
		top = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(top))) // of which top is 1 to 10
	for _, part := range []float64{5, 4, 2, 1, 0.5} {
		if n := math.Ceil(top / step * part); n >= 4 && n <= 8 {
			step /= part
			break
		}
	}
	n := int(math.Ceil(top/step - 1e-9))
	for i := range n + 1 {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks[n], ticks
}

// logTicks returns 1, 2 and 5 times powers of ten, or powers alone where these are many,
// from what is not above any value to what is not below any. Values are positive.
func logTicks(values []float64) (bottom, top float64, ticks []float64) {
	bottom, top = math.Inf(1), 0
	for _, v := range values {
		bottom, top = min(bottom, v), max(top, v)
	}
	steps := []float64{1, 2, 5}
	if top/bottom > 1000 {
		steps = steps[:1]
	}
	var all []float64
	for e := math.Floor(math.Log10(bottom)); e <= math.Ceil(math.Log10(top)); e++ {
		for _, s := range steps {
			all = append(all, s*math.Pow(10, e))
		}
	}
	first, last := 0, len(all)-1
	for first < last-1 && all[first+1] <= bottom*(1+1e-9) {
		first++
	}
	for last > first+1 && all[last-1] >= top*(1-1e-9) {
		last--
	}
	return all[first], all[last], all[first : last+1]
}

// Number writes a number as the docs do: 4,096 and 0.25.
func Number(v float64) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	if math.Abs(v) < 1000 { // four digits, without what is left of a sum of fractions
		s = strconv.FormatFloat(math.Abs(v), 'g', 4, 64)
	}
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if v < 0 {
		whole = "−" + whole
	}
	return whole
}

// apart moves positions, which are in order, so that no two are nearer than gap and none
// is outside of top and bottom, if there is room for that.
func apart(at []float64, gap, top, bottom float64) []float64 {
	moved := make([]float64, len(at))
	for i, y := range at {
		moved[i] = max(y, top)
		if i > 0 {
			moved[i] = max(moved[i], moved[i-1]+gap)
		}
	}
	for i := len(moved) - 1; i >= 0; i-- {
		moved[i] = min(moved[i], bottom-float64(len(moved)-1-i)*gap)
	}
	return moved
}
