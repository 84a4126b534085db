package limit

import (
	"math"
	"time"
)

const (
	// maxBurst is how long a bucket may take to fill, so that times do not overflow.
	maxBurst = 24 * time.Hour

	// maxDebt is how much more than empty a bucket can be, as the time that it takes to
	// pay it off. It is so long that nobody gains by having more than that forgiven, and
	// bounds for how long one visitor can keep an office from being heard.
	maxDebt = time.Hour

	// wideFactor is how many times the limit of a /64 a /48 has.
	wideFactor = 16

	// fill is how long a bucket takes to fill by default.
	fill = time.Minute
)

// A rate is a number of things a second. Everything is reckoned in time: a thing costs
// the time in which another one comes, and a bucket holds a time's worth. So one clock
// reading is all that a bucket has to keep (the generic cell rate algorithm, ITU-T I.371).
type rate struct {
	each  float64       // nanoseconds
	burst time.Duration // how long a bucket takes to fill
}

func newRate(perSecond, burst int) rate {
	r := rate{each: float64(time.Second) / float64(perSecond), burst: fill}
	if burst > 0 {
		r.burst = time.Duration(min(float64(burst)*r.each, math.MaxInt64/2))
	}
	return r
}

// time is what n things cost: at most the largest debt, since no more could be charged.
func (r rate) time(n int64) time.Duration {
	return time.Duration(min(float64(n)*r.each, float64(maxDebt)))
}

// bound returns the bounds of a bucket, whose debt is at most debt, or as much as its
// burst if that is zero.
func (r rate) bound(debt time.Duration) bound {
	if debt == 0 {
		debt = r.burst
	}
	// A burst of less than a nanosecond is no limit, and not the strictest one.
	burst := max(r.burst, 1)
	return bound{burst: burst, most: burst + debt}
}

// A bound is how far a bucket can be from full, in time.
type bound struct {
	burst time.Duration // it is empty, and nothing passes
	most  time.Duration // its debt does not grow
}

// A cost is what something takes out of the two buckets of a network: events and bytes.
type cost [2]time.Duration
