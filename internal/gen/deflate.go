package main

import "math/bits"

// deflater counts what gzip -9 makes of a script, much faster than by asking it, and in
// bits, of which the search sees the smallest gain. It finds the same matches as zlib's
// lazy evaluation at level 9 and counts one block with codes of its own.
type deflater struct {
	head    [1 << 15]int32
	prev    []int32
	literal [286]int
	dist    [30]int

	keep   bool
	tokens []token // if they are to be kept
}

// A token is a byte, or a match if it has a distance.
type token struct{ value, dist int }

// The limits of zlib's level 9.
const (
	minMatch = 3
	maxMatch = 258
	goodLen  = 32
	chain    = 4096
	tooFar   = 4096
	maxDist  = 32768 - maxMatch - minMatch - 1
)

// extra bits of length and distance codes
var (
	lengthCode [maxMatch + 1]int
	lengthBits [286]int
	lengthBase [286]int
	distBits   [30]int
)

func init() {
	code, length := 257, 3
	for ; code < 285; code++ {
		extra := 0
		if code >= 265 {
			extra = (code - 261) / 4
		}
		lengthBits[code], lengthBase[code] = extra, length
		for range 1 << extra {
			if length <= maxMatch {
				lengthCode[length] = code
			}
			length++
		}
	}
	lengthCode[maxMatch], lengthBase[285] = 285, maxMatch
	for code := range distBits {
		distBits[code] = max(0, code/2-1)
	}
}

// distCode returns the code of a distance.
func distCode(d int) int {
	if d--; d < 4 {
		return d
	}
	n := bits.Len(uint(d)) - 1
	return 2*n + d>>(n-1)&1
}

// size returns the bits that b takes.
func (d *deflater) size(b []byte) int {
	clear(d.head[:])
	clear(d.literal[:])
	clear(d.dist[:])
	if cap(d.prev) < len(b) {
		d.prev = make([]int32, 2*len(b))
	}
	d.prev = d.prev[:len(b)]
	total := 0
	single := func(c byte) {
		d.literal[c]++
		if d.keep {
			d.tokens = append(d.tokens, token{value: int(c)})
		}
	}
	match := func(length, dist int) {
		if d.keep {
			d.tokens = append(d.tokens, token{length, dist})
		}
		l, c := lengthCode[length], distCode(dist)
		d.literal[l]++
		d.dist[c]++
		total += lengthBits[l] + distBits[c]
	}
	prevLen, prevDist, waiting := minMatch-1, 0, false
	for i := 0; i < len(b); i++ {
		length, dist := minMatch-1, 0
		if at := d.insert(b, i); at >= 0 && prevLen < maxMatch {
			length, dist = d.longest(b, i, at, prevLen)
			if length == minMatch && dist > tooFar {
				length = minMatch - 1
			}
		}
		if prevLen >= minMatch && length <= prevLen {
			match(prevLen, prevDist)
			for end := i - 1 + prevLen; i < end-1; {
				i++
				d.insert(b, i)
			}
			prevLen, waiting = minMatch-1, false
			continue
		}
		if waiting {
			single(b[i-1])
		}
		waiting, prevLen, prevDist = true, length, dist
	}
	if waiting {
		single(b[len(b)-1])
	}
	d.literal[256]++
	ll, dl := codeLengths(d.literal[:], 15), codeLengths(d.dist[:], 15)
	for i, n := range d.literal {
		total += n * ll[i]
	}
	for i, n := range d.dist {
		total += n * dl[i]
	}
	return total + newHeader(ll, dl).bits()
}

// insert remembers what stands at i, and returns where the like stood last, or -1.
func (d *deflater) insert(b []byte, i int) int {
	if i+minMatch > len(b) {
		return -1
	}
	h := (int(b[i])<<10 ^ int(b[i+1])<<5 ^ int(b[i+2])) & (1<<15 - 1)
	at := d.head[h] - 1
	d.prev[i] = at
	d.head[h] = int32(i) + 1
	return int(at)
}

// longest returns the longest match for i that is longer than best.
func (d *deflater) longest(b []byte, i, at, best int) (length, dist int) {
	left, length := chain, best
	if best >= goodLen {
		left /= 4
	}
	most := min(maxMatch, len(b)-i)
	for ; at >= max(0, i-maxDist) && left > 0 && length < most; left-- {
		if b[at+length] == b[i+length] && b[at] == b[i] && b[at+1] == b[i+1] {
			n := 2
			for n < most && b[at+n] == b[i+n] {
				n++
			}
			if n > length {
				length, dist = n, i-at
			}
		}
		at = int(d.prev[at])
	}
	return length, dist
}
