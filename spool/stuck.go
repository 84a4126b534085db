package spool

import (
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// maxStuck is how much of an error's text Stats shows, in bytes before
// it is escaped.
const maxStuck = 256

// notes keeps what an attempt to deliver led to, for Stats. The error is that of the next
// sink, or of the disk that the events are read from, or dead letters written to.
func (s *Spool) notes(err error, delivered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if delivered > 0 {
		s.stats.LastDelivery = now
	}
	if err == nil || delivered > 0 {
		s.stats.Stuck, s.stats.StuckSince = "", time.Time{}
		return
	}
	if s.stats.StuckSince.IsZero() {
		s.stats.StuckSince = now
	}
	text := err.Error() // which may hold what a client wrote
	s.stats.Stuck = wire.Printable(text[:min(len(text), maxStuck)])
}
