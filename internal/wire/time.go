package wire

import (
	"math"
	"strconv"
	"time"
)

// Millis is the time of an ECMAScript Date, whose range it must be in; that also
// keeps out NaN and Inf.
func Millis(ms float64) (time.Time, bool) {
	if !(math.Abs(ms) <= 8.64e15) {
		return time.Time{}, false
	}
	whole, frac := math.Modf(ms)
	return time.UnixMilli(int64(whole)).Add(time.Duration(frac * float64(time.Millisecond))).UTC(), true
}

// ParseTime reads milliseconds since the epoch, or RFC 3339.
func ParseTime(s string) (time.Time, bool) {
	if ms, err := strconv.ParseFloat(s, 64); err == nil {
		return Millis(ms)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
}

// MillisDuration is a number of milliseconds as a Duration, if it fits one.
func MillisDuration(ms float64) (time.Duration, bool) {
	ns := ms * float64(time.Millisecond)
	if !(math.Abs(ns) < math.MaxInt64) {
		return 0, false
	}
	return time.Duration(ns), true
}

// ParseDuration reads a number of milliseconds, or text such as "1.5s".
func ParseDuration(s string) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(s, 64); err == nil {
		return MillisDuration(ms)
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// Year10000 is where times begin, in milliseconds since the epoch, that RFC 3339 cannot
// write, nor therefore the JSON form of an event.
const Year10000 = 253402300800_000

// ClientTime is a time on a client's clock, or zero if it did not give one.
func ClientTime(ms float64) time.Time {
	if !(0 < ms && ms < Year10000) {
		return time.Time{}
	}
	t, _ := Millis(ms)
	return t
}

// InSeconds says whether a time is what a time of this century becomes if its seconds
// are taken for milliseconds, which is a date in the early seventies.
func InSeconds(t time.Time) bool {
	ms := t.UnixMilli()
	return 946_684_800 <= ms && ms < 4_102_444_800
}
