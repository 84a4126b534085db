package connect

import (
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// SinkStats says what became of the events that a connector's Sink was given. Counts are of
// events since it was made.
type SinkStats struct {
	Events   uint64 `json:"events"`    // the log has them
	Refused  uint64 `json:"refused"`   // not taken for now; whoever is in front tries again
	Dead     uint64 `json:"dead"`      // refused for good: too large, or such that the log has no place for them
	InFlight int64  `json:"in_flight"` // on their way to the log now
}

// RelayStats says what became of the events of a [Relay]. Counts are of events since it
// was made, unless they say otherwise. At any moment
//
//	Added = Delivered + Dead + Forgotten + Held
type RelayStats struct {
	Added     uint64 `json:"added"`     // Add returned nil
	Delivered uint64 `json:"delivered"` // next has taken them, and Done was told
	Dead      uint64 `json:"dead"`      // Dead has taken them, and Done was told
	Forgotten uint64 `json:"forgotten"` // Forget let go of them

	Held      int   `json:"held"`       // in memory, not settled
	MaxHeld   int   `json:"max_held"`   // RelayOptions.MaxEvents, or what that is by default
	HeldBytes int64 `json:"held_bytes"` // what they count
	MaxBytes  int64 `json:"max_bytes"`  // RelayOptions.MaxBytes, or what that is by default

	// Oldest is how long ago the first of the events that are held was received: how far
	// behind delivery is, of what was read from the log.
	Oldest time.Duration `json:"oldest_ns"`

	SinkErrors uint64 `json:"sink_errors"` // calls of next that failed, in part or as a whole
	DeadErrors uint64 `json:"dead_errors"` // calls of Dead that failed
	SinkHangs  bool   `json:"sink_hangs"`  // a call of next or Dead does not return, although its time is over

	LastDelivery time.Time `json:"last_delivery,omitzero"` // when next last took something

	// Stuck is why next took nothing since it last failed, if it did not and something is
	// held, and StuckSince when that began. It is the beginning of the error, with control characters escaped.
	Stuck      string    `json:"stuck,omitzero"`
	StuckSince time.Time `json:"stuck_since,omitzero"`

	SinkSeconds beacon.Histogram `json:"sink_seconds"` // what calls of next took, whatever they returned
}

// ConsumerStats says what became of the messages that a connector's consumer read.
type ConsumerStats struct {
	RelayStats
	Received    uint64 `json:"received"`    // messages
	Redelivered uint64 `json:"redelivered"` // of these, what the log says it has sent before
	Undecodable uint64 `json:"undecodable"` // of these, what is no event; they are where dead letters are
	Lag         int64  `json:"lag"`         // messages in the log that are not settled; -1 while that is not known
}

// Stats returns what became of the events so far. It never waits for next.
func (r *Relay[T]) Stats() RelayStats {
	r.mu.Lock()
	s := r.stats
	s.Held, s.HeldBytes = r.held-r.gone, r.bytes
	var oldest time.Time
	for i := range r.slots {
		sl := &r.slots[i]
		if sl.state != unused && !sl.gone && (oldest.IsZero() || sl.received.Before(oldest)) {
			oldest = sl.received
		}
	}
	s.SinkHangs = r.hanging > 0
	why := r.failure
	r.mu.Unlock()
	s.MaxHeld, s.MaxBytes = r.o.MaxEvents, r.o.MaxBytes
	if !oldest.IsZero() {
		s.Oldest = max(0, time.Since(oldest))
	}
	if why != nil {
		s.Stuck = delivery.Printable(why.Error())
	}
	s.SinkSeconds = beacon.Histogram(r.took.Now())
	return s
}
