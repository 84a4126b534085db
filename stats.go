package beacon

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/pagebeacon/beacon/internal/histogram"
)

// Stats counts requests. Each request ends in exactly one of the counters, so
// Received is always the sum of those that follow it, up to Refused. Active and InFlight
// are as they are now.
type Stats struct {
	Received   uint64 `json:"received"`   // requests that came to an end
	Delivered  uint64 `json:"delivered"`  // taken by the Sink
	Dropped    uint64 `json:"dropped"`    // all of it dropped on purpose, see [ErrDrop]
	Preflights uint64 `json:"preflights"` // OPTIONS requests that were allowed
	Failed     uint64 `json:"failed"`     // answered 5xx: not taken by the Sink for now, or a panic

	// Refused counts what was answered 4xx, by [RequestError.Reason].
	Refused map[string]uint64 `json:"refused"`

	Events uint64 `json:"events"` // events that the Sink took
	Active int64  `json:"active"` // requests that have come and are not answered, also by what Capture wraps

	InFlight    int64 `json:"in_flight"`     // bytes in use of MaxInFlight
	MaxInFlight int64 `json:"max_in_flight"` // [Config.MaxInFlight], or what that is by default

	BodyBytes   Histogram `json:"body_bytes"`   // sizes of bodies that were read to their end, as they came; what had none is not counted
	SinkSeconds Histogram `json:"sink_seconds"` // what calls of the Sink took, whatever they returned
}

// A Histogram counts sizes in bytes, or durations in seconds, in buckets. Those of one
// field have the same Bounds in every process and at all times, so they can be added up.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // upper bounds, inclusive, ascending
	Counts []uint64  `json:"counts"` // how many were at most Bounds[i] and above Bounds[i-1]; one more, at the end, for those above all
	Sum    float64   `json:"sum"`    // of all that were counted
}

// stats is the live form of Stats.
type stats struct {
	delivered, dropped, preflights, failed, events atomic.Uint64

	bodies, sink *histogram.Histogram

	mu      sync.Mutex
	refused map[string]uint64
}

func newStats() stats {
	return stats{bodies: histogram.Bytes(), sink: histogram.Seconds(), refused: map[string]uint64{}}
}

// refuse counts a request that was not taken.
func (s *stats) refuse(status int, reason string) {
	if status >= 500 {
		s.failed.Add(1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[reason]++
}

// now returns the counts until now.
func (s *stats) now(active int64) Stats {
	s.mu.Lock()
	refused := maps.Clone(s.refused)
	s.mu.Unlock()
	out := Stats{
		Delivered:  s.delivered.Load(),
		Dropped:    s.dropped.Load(),
		Preflights: s.preflights.Load(),
		Failed:     s.failed.Load(),
		Refused:    refused,
		Events:     s.events.Load(),
		Active:     active,

		BodyBytes:   Histogram(s.bodies.Now()),
		SinkSeconds: Histogram(s.sink.Now()),
	}
	out.Received = out.Delivered + out.Dropped + out.Preflights + out.Failed
	for _, n := range refused {
		out.Received += n
	}
	return out
}
