package spool

import "encoding/json"

// eventVersion is the version of the JSON form of events that this program knows.
const eventVersion = 1

// later says whether a record is an event of a later version: of a program that was in
// use here before, and may be again.
func later(payload []byte) bool {
	var e struct {
		Version int `json:"v"`
	}
	return json.Unmarshal(payload, &e) == nil && e.Version > eventVersion
}

// keepForLater keeps the segment with an event of a later version for a program that
// knows it.
func (s *Spool) keepForLater(at position) {
	s.mu.Lock()
	s.stats.Later++
	_, known := s.later[at.segment]
	if !known {
		s.later[at.segment] = at
	}
	s.mu.Unlock()
	if !known {
		s.logger.Warn("spool: events of a later version stay where they are", "segment", segmentName(at.segment, dataSuffix))
	}
}

// leave leaves an event where it is that is to be a dead letter, for which there is no room:
// the next start comes to it again.
func (s *Spool) leave(at position) {
	s.mu.Lock()
	s.stats.Left++
	first, known := s.later[at.segment]
	if !known || at.before(first) {
		s.later[at.segment] = at
	}
	s.mu.Unlock()
	if !known {
		s.logger.Error("spool: no room for dead letters, which stay where they are", "segment", segmentName(at.segment, dataSuffix))
	}
}

// firstLater returns the place of the first event that is kept for a later program, or
// start. The lock is held.
func (s *Spool) firstLater() (first position, ok bool) {
	for _, at := range s.later {
		if !ok || at.before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}
