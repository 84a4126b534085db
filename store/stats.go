package store

import (
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/histogram"
)

// Stats are counts since Open. Counts are of events unless they say otherwise. What is
// zero has not happened.
type Stats struct {
	Calls   uint64 `json:"calls"`   // of Consume
	Stored  uint64 `json:"stored"`  // taken: they are in the database, some of them perhaps since before
	Refused uint64 `json:"refused"` // failed for good: for what they are
	Failed  uint64 `json:"failed"`  // failed for now; those that are brought again and fail again count again

	Errors  uint64 `json:"errors"`  // calls of Consume that did not take all
	Retries uint64 `json:"retries"` // transactions that others came in the way of, and that were tried again at once
	Splits  uint64 `json:"splits"`  // transactions that were refused for what is in them, and tried again in two parts

	// Seconds is what calls of Consume took, whatever they returned.
	Seconds beacon.Histogram `json:"seconds"`

	LastStored time.Time `json:"last_stored,omitzero"` // when the database last took something
}

// counters are what Stats are made of.
type counters struct {
	calls, stored, refused, failed, errors, retries, splits atomic.Uint64

	seconds    *histogram.Histogram
	lastStored atomic.Int64
}

// Stats returns counts of what Consume did. It is safe for concurrent use, waits for
// nothing, and asks the database nothing.
func (s *Store) Stats() Stats {
	c := &s.counters
	st := Stats{
		Calls: c.calls.Load(), Stored: c.stored.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(),
		Errors: c.errors.Load(), Retries: c.retries.Load(), Splits: c.splits.Load(),
	}
	st.Seconds = beacon.Histogram(c.seconds.Now())
	if at := c.lastStored.Load(); at != 0 {
		st.LastStored = time.Unix(0, at).UTC()
	}
	return st
}

// count counts a call with n events that began at a time.
func (c *counters) count(begin time.Time, n int, f *failures) {
	c.calls.Add(1)
	c.seconds.Since(begin)
	if taken := n - len(f.failed); taken > 0 {
		c.stored.Add(uint64(taken))
		c.lastStored.Store(time.Now().UnixNano())
	}
	if f.why != nil {
		c.errors.Add(1)
		if f.temporary {
			c.failed.Add(uint64(len(f.failed)))
		} else {
			c.refused.Add(uint64(len(f.failed)))
		}
	}
}
