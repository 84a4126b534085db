package main

import (
	"math/bits"
	"slices"
)

// codeLengths returns the lengths of a Huffman code for symbols that occur so often, none
// longer than limit.
func codeLengths(counts []int, limit int) []int {
	type node struct{ count, left, right int }
	var nodes []node
	var leaves []int // symbols
	for s, n := range counts {
		if n > 0 {
			leaves = append(leaves, s)
		}
	}
	for s := 0; len(leaves) < 2; s++ { // as in zlib: two codes at least
		if !slices.Contains(leaves, s) {
			leaves = append(leaves, s)
		}
	}
	slices.SortStableFunc(leaves, func(a, b int) int { return counts[a] - counts[b] })
	for _, s := range leaves {
		nodes = append(nodes, node{count: counts[s], left: -1})
	}
	// Two queues, both in order of count: of leaves and of what is joined.
	leaf, joined, n := 0, len(leaves), len(leaves)
	next := func() int {
		if leaf < n && (joined >= len(nodes) || nodes[leaf].count <= nodes[joined].count) {
			leaf++
			return leaf - 1
		}
		joined++
		return joined - 1
	}
	for len(nodes) < 2*n-1 {
		a, b := next(), next()
		nodes = append(nodes, node{nodes[a].count + nodes[b].count, a, b})
	}
	depth := make([]int, len(nodes))
	atDepth := make([]int, max(limit, len(nodes))+1)
	for i := len(nodes) - 1; i >= 0; i-- {
		if nodes[i].left < 0 {
			atDepth[depth[i]]++
			continue
		}
		depth[nodes[i].left], depth[nodes[i].right] = depth[i]+1, depth[i]+1
	}
	// What is too long goes up to the limit, and for two of it one shorter code goes down.
	for d := len(atDepth) - 1; d > limit; d-- {
		for atDepth[d] > 0 {
			up := d - 2
			for atDepth[up] == 0 {
				up--
			}
			atDepth[d] -= 2
			atDepth[d-1]++
			atDepth[up+1] += 2
			atDepth[up]--
		}
	}
	lengths := make([]int, len(counts))
	d := len(atDepth) - 1
	for _, s := range leaves { // the rarest first, with the longest
		for atDepth[d] == 0 {
			d--
		}
		lengths[s] = d
		atDepth[d]--
	}
	return lengths
}

// lengthOrder is the order in which the lengths of the codes of lengths are told.
var lengthOrder = []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// A header is what is said before a block: the lengths of its two codes.
type header struct {
	literal, dist int      // how many of them
	symbols       [][2]int // in a code of their own, with how often more
	lengths       []int    // of that
	told          int      // of lengths
}

// repeatBits are the bits that follow the symbols for what is repeated.
var repeatBits = map[int]int{16: 2, 17: 3, 18: 7}

func newHeader(literal, dist []int) (h header) {
	trim := func(list []int, least int) []int {
		n := len(list)
		for n > least && list[n-1] == 0 {
			n--
		}
		return list[:n]
	}
	literal, dist = trim(literal, 257), trim(dist, 1)
	h.literal, h.dist = len(literal), len(dist)
	counts := make([]int, 19)
	say := func(symbol, more int) {
		h.symbols = append(h.symbols, [2]int{symbol, more})
		counts[symbol]++
	}
	for _, list := range [][]int{literal, dist} {
		for i := 0; i < len(list); {
			v, n := list[i], 1
			for i+n < len(list) && list[i+n] == v {
				n++
			}
			i += n
			if v != 0 {
				say(v, 0)
				n--
			}
			for n > 0 {
				switch m := min(n, 138); {
				case n < 3:
					say(v, 0)
					n--
				case v != 0:
					m = min(n, 6)
					say(16, m-3)
					n -= m
				case n < 11:
					say(17, n-3)
					n = 0
				default:
					say(18, m-11)
					n -= m
				}
			}
		}
	}
	h.lengths = codeLengths(counts, 7)
	for h.told = len(lengthOrder); h.told > 4 && h.lengths[lengthOrder[h.told-1]] == 0; {
		h.told--
	}
	return h
}

// bits returns what it takes to say h.
func (h header) bits() int {
	total := 3 + 14 + 3*h.told
	for _, s := range h.symbols {
		total += h.lengths[s[0]] + repeatBits[s[0]]
	}
	return total
}

// codes returns the codes of those lengths, the first bit lowest.
func codes(lengths []int) []uint {
	list := make([]uint, len(lengths))
	code := uint(0)
	for n := 1; n <= 15; n++ {
		for s, length := range lengths {
			if length == n {
				list[s] = bits.Reverse(code) >> (bits.UintSize - n)
				code++
			}
		}
		code <<= 1
	}
	return list
}
