package spool

// Stats are counts since Open, and sizes in bytes as they are now. Counts are of events
// unless they say otherwise.
type Stats struct {
	Stored    uint64 `json:"stored"`    // taken by Consume
	Refused   uint64 `json:"refused"`   // by Consume, full or for a failure of the disk
	Delivered uint64 `json:"delivered"` // taken by the next sink
	Dead      uint64 `json:"dead"`      // put into a dead-letter file
	Later     uint64 `json:"later"`     // of a later version than this program knows: left for one that does, and not pending

	DeadDropped uint64 `json:"dead_dropped"` // dead letters that had to go; see [Options.MaxDeadBytes]
	DeadBytes   int64  `json:"dead_bytes"`   // of dead-letter files
	BadBytes    int64  `json:"bad_bytes"`    // of files with what is damaged

	SinkHangs bool `json:"sink_hangs"` // a call of the next sink does not return, although its time is over

	Damaged      uint64 `json:"damaged"` // places in files that did not pass their checksum, torn ends included
	DamagedBytes int64  `json:"damaged_bytes"`
	DiskErrors   uint64 `json:"disk_errors"` // failed operations
	SinkErrors   uint64 `json:"sink_errors"` // calls of the next sink that failed and are made again, part or whole

	Bytes   int64 `json:"bytes"`   // of events on disk, without what is only allocated
	Pending int64 `json:"pending"` // bytes of them that wait for delivery
}

// Stats returns the counts and sizes. It does not wait for the disk.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Bytes = s.used
	st.DeadBytes, st.BadBytes = s.keptBytes()
	st.SinkHangs = !s.hanging.IsZero()
	for _, seq := range s.segments {
		from, to := int64(headerSize), s.committed.offset
		if limit, ok := s.limits[seq]; ok {
			to = limit
		} else if seq != s.committed.segment {
			continue
		}
		if seq == s.settled.segment {
			from = max(from, s.settled.offset)
		}
		if seq >= s.settled.segment {
			st.Pending += max(0, to-from)
		}
	}
	return st
}
