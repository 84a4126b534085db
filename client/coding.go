package client

import (
	"strconv"
	"strings"
)

// codings are those that the files are served in, the smallest first.
var codings = [...]struct{ name, ending string }{{"br", ".br"}, {"gzip", ".gz"}, {"identity", ""}}

const plain = len(codings) - 1

// negotiate chooses one of them by the lines of Accept-Encoding (RFC 9110, section
// 12.5.3): the one that the client likes best, and of several the smallest. ok is false
// if it takes none of them.
func negotiate(lines []string) (coding int, ok bool) {
	const unsaid, last = -1, 1 // weights are from 2 to 2,000 otherwise, or 0
	weights := [len(codings)]int{unsaid, unsaid, unsaid}
	others := unsaid
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, params, _ := strings.Cut(element, ";")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "x-gzip" {
			name = "gzip"
		}
		weight := int(2_000 * quality(params))
		if name == "*" {
			others = max(others, weight)
		}
		for i, c := range codings {
			if name == c.name {
				weights[i] = max(weights[i], weight)
			}
		}
	}
	for i := range codings {
		switch {
		case weights[i] != unsaid:
		case others != unsaid:
			weights[i] = others
		case i == plain: // which everyone takes that does not say otherwise
			weights[i] = last
		}
		if weights[i] > weights[coding] {
			coding = i
		}
	}
	return coding, weights[coding] > 0
}

// quality returns the weight among the parameters of an element, from 0 to 1. One that
// cannot be read is 0: what is meant to be taken says so.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(strings.Trim(param, " \t"), "=")
		if strings.EqualFold(strings.TrimRight(key, " \t"), "q") {
			q, err := strconv.ParseFloat(strings.Trim(value, " \t"), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
