package connect

import "time"

// SinkStats says what became of the events that a connector's Sink was given.
type SinkStats struct {
	Events   uint64 `json:"events"`    // the log has them
	Refused  uint64 `json:"refused"`   // not taken for now; whoever is in front tries again
	Dead     uint64 `json:"dead"`      // refused for good: too large, or such that the log has no place for them
	InFlight int64  `json:"in_flight"` // events on their way to the log now
}

// RelayStats says what became of the events of a [Relay]. At any moment
//
//	Added = Delivered + Dead + Forgotten + Held
type RelayStats struct {
	Added     uint64 `json:"added"`      // Add returned nil
	Delivered uint64 `json:"delivered"`  // next has taken them, and Done was told
	Dead      uint64 `json:"dead"`       // Dead has taken them, and Done was told
	Forgotten uint64 `json:"forgotten"`  // Forget let go of them
	Held      int    `json:"held"`       // in memory, not settled
	HeldBytes int64  `json:"held_bytes"` // what they count; see RelayOptions.MaxBytes

	SinkErrors uint64    `json:"sink_errors"`    // calls of next that failed, in part or as a whole
	DeadErrors uint64    `json:"dead_errors"`    // calls of Dead that failed
	Since      time.Time `json:"since,omitzero"` // since when nothing is taken though next was called; zero while all is well
}

// ConsumerStats says what became of the messages that a connector's consumer read.
type ConsumerStats struct {
	RelayStats
	Received    uint64 `json:"received"`    // messages
	Redelivered uint64 `json:"redelivered"` // of these, what the log says it has sent before
	Undecodable uint64 `json:"undecodable"` // of these, what is no event; they are where dead letters are
	Lag         int64  `json:"lag"`         // messages in the log that are not settled; -1 while that is not known
}
