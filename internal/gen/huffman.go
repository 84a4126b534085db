package main

import "slices"

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

// headerBits returns what it takes to say the lengths of both codes of a block.
func headerBits(literal, dist []int) int {
	trim := func(list []int, least int) []int {
		n := len(list)
		for n > least && list[n-1] == 0 {
			n--
		}
		return list[:n]
	}
	counts := make([]int, 19)
	total := 0
	for _, list := range [][]int{trim(literal, 257), trim(dist, 1)} {
		for i := 0; i < len(list); {
			n := 1
			for i+n < len(list) && list[i+n] == list[i] {
				n++
			}
			i += n
			if v := list[i-1]; v != 0 {
				counts[v]++
				for n--; n >= 3; n -= min(n, 6) {
					counts[16]++
					total += 2
				}
				counts[v] += n
				continue
			}
			for ; n >= 11; n -= min(n, 138) {
				counts[18]++
				total += 7
			}
			if n >= 3 {
				counts[17]++
				total, n = total+3, 0
			}
			counts[0] += n
		}
	}
	lengths := codeLengths(counts, 7)
	for i, n := range counts {
		total += n * lengths[i]
	}
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	n := len(order)
	for n > 4 && lengths[order[n-1]] == 0 {
		n--
	}
	return total + 3 + 14 + 3*n
}
