// Package histogram counts how long things take and how large they are, in buckets that
// are fixed, so that the histograms of many processes can be added up.
package histogram

import (
	"sync/atomic"
	"time"
)

// A Histogram counts sizes or durations. Make one with [Seconds] or [Bytes]. It is safe for
// concurrent use, and nothing waits for anything: counting is two atomic additions.
type Histogram struct {
	scale  *scale
	counts []atomic.Uint64 // one more than there are bounds, for what is above all of them
	sum    atomic.Int64    // in whole units
}

// A scale is where the buckets end, in whole units, and how many of these make a base unit.
// What is added up is whole, since there is no atomic addition of floats.
type scale struct {
	bounds []int64
	base   float64
}

// inBase returns n units in base units. It divides, which gives the float that a person
// would write, 0.0025, as a product with 1e-9 would not.
func (s *scale) inBase(n int64) float64 { return float64(n) / s.base }

var (
	// From a sync of a good disk, or a call into memory, to what is given up on: 1, 2.5, 5
	// of each decade, as most of what reads them has it.
	seconds = scale{base: 1e9, bounds: []int64{
		100e3, 250e3, 500e3, // 0.1 ms
		1e6, 2500e3, 5e6,
		10e6, 25e6, 50e6,
		100e6, 250e6, 500e6,
		1e9, 2500e6, 5e9,
		10e9, 30e9,
	}}

	// From a ping to the largest body that anybody lets in: browsers allow 64 KiB for what
	// is sent while a page ends, and a beacon of a page view has some hundred bytes.
	bytes = scale{base: 1, bounds: []int64{
		64, 128, 256, 512,
		1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10,
		256 << 10, 1 << 20, 4 << 20, 16 << 20,
	}}
)

// Seconds returns a Histogram of durations, from 0.1 ms to 30 s.
func Seconds() *Histogram { return of(&seconds) }

// Bytes returns a Histogram of sizes, from 64 bytes to 16 MiB.
func Bytes() *Histogram { return of(&bytes) }

func of(s *scale) *Histogram {
	return &Histogram{scale: s, counts: make([]atomic.Uint64, len(s.bounds)+1)}
}

// Since counts the time from start to now.
func (h *Histogram) Since(start time.Time) { h.Took(time.Since(start)) }

// Took counts a duration, in a Histogram of seconds.
func (h *Histogram) Took(d time.Duration) { h.add(int64(d)) }

// Size counts a number of bytes, in a Histogram of bytes.
func (h *Histogram) Size(n int) { h.add(int64(n)) }

func (h *Histogram) add(n int64) {
	n = max(n, 0) // a clock of a virtual machine may go back
	i, bounds := 0, h.scale.bounds
	for i < len(bounds) && n > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(n)
}

// A Snapshot is a Histogram at some time, and the caller's. It has the fields of
// beacon.Histogram and converts to it; that type cannot be used here, below it.
type Snapshot struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Now returns what was counted until now. What is being counted meanwhile may be in
// Counts and not yet in Sum.
func (h *Histogram) Now() Snapshot {
	s := Snapshot{Bounds: make([]float64, len(h.scale.bounds)), Counts: make([]uint64, len(h.counts))}
	for i, b := range h.scale.bounds {
		s.Bounds[i] = h.scale.inBase(b)
	}
	s.Sum = h.scale.inBase(h.sum.Load())
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}
