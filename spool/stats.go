package spool

import (
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/histogram"
)

// Stats are counts since Open, and sizes in bytes and times as they are now. Counts are of
// events unless they say otherwise. What is zero has not happened, or is not the case.
type Stats struct {
	Stored    uint64 `json:"stored"`    // taken by Consume
	Refused   uint64 `json:"refused"`   // by Consume; those of a stalled disk may be stored, and counted as that, all the same
	Delivered uint64 `json:"delivered"` // taken by the next sink
	Dead      uint64 `json:"dead"`      // put into a dead-letter file
	Later     uint64 `json:"later"`     // of a later version than this program knows: left for one that does, and not pending

	Left uint64 `json:"left"` // to be put into a dead-letter file for which there was no room: left for the next start, and not pending

	DeadDropped uint64 `json:"dead_dropped"` // dead letters that had to go; see [Options.MaxDeadBytes]
	DeadBytes   int64  `json:"dead_bytes"`   // of dead-letter files
	BadBytes    int64  `json:"bad_bytes"`    // of files with what is damaged

	SinkHangs bool `json:"sink_hangs"` // a call of the next sink does not return, although its time is over

	Damaged      uint64 `json:"damaged"` // places in files that did not pass their checksum
	DamagedBytes int64  `json:"damaged_bytes"`
	Torn         uint64 `json:"torn"`        // ends of files that a crash left in the middle of a write: of events that nobody was promised
	DiskErrors   uint64 `json:"disk_errors"` // failed operations
	SinkErrors   uint64 `json:"sink_errors"` // calls of the next sink that failed and are made again, part or whole

	Bytes    int64 `json:"bytes"`     // of events on disk, without what is only allocated
	MaxBytes int64 `json:"max_bytes"` // [Options.MaxBytes], or what that is by default
	Pending  int64 `json:"pending"`   // bytes of Bytes that wait for delivery

	// PendingEvents are the events that wait for delivery. Of files of which a part
	// was delivered, or that an earlier run wrote, they are estimated by their bytes.
	PendingEvents int64 `json:"pending_events"`

	// Oldest is how long ago the event that is next to be delivered was received: how
	// far behind delivery is.
	Oldest time.Duration `json:"oldest_ns"`

	LastDelivery time.Time `json:"last_delivery,omitzero"` // when the next sink last took something

	// Stuck is why nothing was delivered in the last attempt, if nothing was, and
	// StuckSince when that began. It is the beginning of the error of the next sink, or
	// of the disk that events are read from and dead letters written to, with control
	// characters escaped.
	Stuck      string    `json:"stuck,omitzero"`
	StuckSince time.Time `json:"stuck_since,omitzero"`

	LastSync time.Time     `json:"last_sync,omitzero"` // when the disk last did what it was to
	Syncing  time.Duration `json:"syncing_ns"`         // for how long the disk has been at it; from [Options.DiskTimeout] on it hangs
	SyncP50  time.Duration `json:"sync_p50_ns"`        // what half of the last 256 writes with their syncs took at most
	SyncP99  time.Duration `json:"sync_p99_ns"`        // what 99 % of them took at most

	SyncSeconds beacon.Histogram `json:"sync_seconds"` // what all writes with their syncs took
	SinkSeconds beacon.Histogram `json:"sink_seconds"` // what calls of the next sink took, whatever they returned

	// Free is what the volume has left for this user, as of a few seconds ago; -1
	// where that is not known, which is everywhere but on Linux.
	Free int64 `json:"free"`
}

// Stats returns the counts and sizes. It does not wait for the disk.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	st := s.stats
	st.Bytes, st.MaxBytes = s.used, s.opts.MaxBytes
	st.DeadBytes, st.BadBytes = s.keptBytes()
	st.SinkHangs = !s.hanging.IsZero()
	st.Pending, st.PendingEvents = s.pending()
	if head := s.oldest(); st.Pending > 0 && !head.IsZero() {
		st.Oldest = max(0, now.Sub(head))
	}
	if !s.disk.since.IsZero() {
		st.Syncing = now.Sub(s.disk.since)
	}
	st.LastSync = s.syncs.last
	st.SyncP50, st.SyncP99 = s.syncs.percentiles()
	st.SyncSeconds, st.SinkSeconds = beacon.Histogram(s.syncs.all.Now()), beacon.Histogram(s.sinkTimes.Now())
	st.Free = s.volume.free
	if !s.closed && !s.volume.asking && now.Sub(s.volume.asked) >= freeEvery {
		s.volume.asking, s.volume.asked = true, now
		go s.askFree()
	}
	return st
}

// pending returns how many bytes and events wait for delivery. It is called under mu.
func (s *Spool) pending() (bytes, events int64) {
	estimated := int64(0)
	for _, seq := range s.segments {
		from, to := int64(headerSize), s.committed.offset
		if limit, ok := s.limits[seq]; ok {
			to = limit
		} else if seq != s.committed.segment {
			continue
		}
		all := to - from
		if seq == s.settled.segment {
			from = max(from, s.settled.offset)
		}
		if seq < s.settled.segment || from >= to {
			continue
		}
		bytes += to - from
		if n, ok := s.counts[seq]; ok {
			events += (n*(to-from) + all - 1) / all
		} else {
			estimated += to - from
		}
	}
	if estimated > 0 {
		events += max(1, estimated/s.recordBytes)
	}
	return bytes, events
}

// holds notes when the first of the events in the hands of the delivery was received.
func (s *Spool) holds(oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = oldest
}

// oldest returns when the event that is to be delivered next was received. It is called
// under mu.
func (s *Spool) oldest() time.Time {
	if s.head.IsZero() && len(s.tail.chunks) > 0 { // not yet in the hands of the delivery
		return s.tail.chunks[0].calls[0][0].Received
	}
	return s.head
}

// syncTimes remembers how long the disk took.
type syncTimes struct {
	last time.Time
	took [256]time.Duration // a ring
	n    int                // how many there were
	all  *histogram.Histogram
}

func (t *syncTimes) add(at time.Time, took time.Duration) {
	t.last = at
	t.took[t.n%len(t.took)] = took
	t.n++
	t.all.Took(took)
}

func (t *syncTimes) percentiles() (p50, p99 time.Duration) {
	n := min(t.n, len(t.took))
	if n == 0 {
		return 0, 0
	}
	sorted := t.took
	slices.Sort(sorted[:n])
	return sorted[(n-1)/2], sorted[(n*99+99)/100-1]
}

// freeEvery is how old the free space may be that Stats returns.
const freeEvery = 2 * time.Second

// A volume is what is known of the file system.
type volume struct {
	free   int64
	asked  time.Time
	asking bool
}

// askFree asks the file system, which may hang, and so is not asked by Stats itself.
func (s *Spool) askFree() {
	free := s.fs.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.volume.free, s.volume.asking = free, false
}
