package limit

import (
	"cmp"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// Stats counts requests since [New].
type Stats struct {
	Admitted uint64 `json:"admitted"` // passed, and were charged to a network

	// Beyond the limit, by what there was too much of: refused, or passed in a dry run.
	LimitedEvents uint64 `json:"limited_events"`
	LimitedBytes  uint64 `json:"limited_bytes"`

	// Unkeyed passed because their peer is nobody's network; see the package comment.
	Unkeyed uint64 `json:"unkeyed"`

	Networks int    `json:"networks"` // that are remembered; a /48 with its /64 counts as two
	Evicted  uint64 `json:"evicted"`  // networks forgotten before their buckets were full again
}

// Stats returns the counts.
func (l *Limiter) Stats() Stats {
	st := Stats{Unkeyed: l.unkeyed.Load()}
	for i := range l.table.shards {
		s := &l.table.shards[i]
		s.Lock()
		st.Admitted += s.admitted
		st.LimitedEvents += s.limitedEvents
		st.LimitedBytes += s.limitedBytes
		st.Networks += s.networks
		st.Evicted += s.evicted
		s.Unlock()
	}
	return st
}

// A Network is one that was limited.
//
// It is the address of a person, or of a few: personal data in many places. It is for an
// operator to look at, and not to be kept.
type Network struct {
	Prefix netip.Prefix `json:"prefix"` // IPv4 /32, IPv6 /64, or /48 for all of its /64 together

	Limited uint64 `json:"limited"` // requests, for as long as it has been remembered

	// Agents is about how many different User-Agents these had: how many share the
	// network, if they tell the truth. It is right to about a tenth, and at most 266.
	Agents int `json:"agents"`

	Wait time.Duration `json:"wait"` // until it may send again; zero if it may, JSON has nanoseconds
}

// Top returns the n networks of which most requests were limited, most first. It looks at
// all that are remembered, which takes about a millisecond.
func (l *Limiter) Top(n int) []Network {
	t := &l.table
	now := time.Since(t.start)
	var top []Network
	for i := range t.places {
		s := &t.shards[i%shards]
		s.Lock()
		for _, a := range &t.places[i] {
			if a.limited > 0 {
				wait := max(a.full[0]-t.bounds[0].burst, a.full[1]-t.bounds[1].burst) - now + 1
				top = append(top, Network{a.id.prefix(), a.limited, distinct(a.agents), max(wait, 0)})
			}
		}
		s.Unlock()
	}
	slices.SortFunc(top, func(a, b Network) int {
		return cmp.Or(cmp.Compare(b.Limited, a.Limited), a.Prefix.Compare(b.Prefix))
	})
	return slices.Clip(top[:min(max(n, 0), len(top))])
}

// distinct estimates how many different things set the bits of a set at random (linear
// counting; Whang, Vander-Zanden and Taylor, 1990).
func distinct(set uint64) int {
	const size = 64
	zeros := max(size-bits.OnesCount64(set), 1)
	return int(math.Round(size * math.Log(size/float64(zeros))))
}
