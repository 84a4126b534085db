package load

import (
	"math/bits"
	"time"
)

// fine is how many buckets there are between a power of two and the next, so a
// latency is known to within 1.6 %.
const fine = 64

// A Latency counts how long answers took. The zero value is empty.
type Latency struct {
	counts [(64 - 6) * fine]uint32
	n      int
}

// Add counts an answer that took d.
func (l *Latency) Add(d time.Duration) {
	l.counts[bucket(uint64(max(d, 0)))]++
	l.n++
}

// Quantile returns what that part of the answers took at most, to within the
// width of a bucket; 0 if there are none.
func (l *Latency) Quantile(part float64) time.Duration {
	rank := int(part * float64(l.n-1))
	for b, n := range l.counts {
		if rank -= int(n); rank < 0 && n > 0 {
			return time.Duration(upper(b))
		}
	}
	return 0
}

// bucket is the one that counts v.
func bucket(v uint64) int {
	if v < fine {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(fine)
	return shift*fine + int(v>>shift)
}

// upper is the largest value that a bucket counts.
func upper(b int) uint64 {
	shift := max(b/fine-1, 0)
	return uint64(b-shift*fine+1)<<shift - 1
}
