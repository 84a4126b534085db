package sink

import (
	"errors"
	"log/slog"
	"time"

	"github.com/pagebeacon/beacon"
)

// ErrFull is what a [Queue] and a [Batch] return, in a [*beacon.RetryAfterError], when
// there is no room in time.
var ErrFull = errors.New("sink: no room")

// QueueOptions bound a [Queue]. The zero value is all defaults.
type QueueOptions struct {
	// MaxEvents and MaxBytes bound what is in memory; defaults 65,536 and 64 MiB.
	// Bytes are those of [beacon.Event.Size], and 4 KiB for each request (each event,
	// if it has no Request.ID), since a small event may keep a part of its request
	// alive. Memory is at most twice that, and most often less. While more than half
	// of MaxBytes is taken, a small event that comes alone is copied out of its request,
	// and counts without the 4 KiB. A call that exceeds a bound by itself is taken when
	// the queue is empty.
	MaxEvents int
	MaxBytes  int64

	// Wait is how long Consume waits for room; default 1 s. NoWait makes it refuse
	// at once instead; the two together are a mistake.
	Wait   time.Duration
	NoWait bool

	// BatchEvents and BatchBytes bound what the sink behind gets in one call;
	// defaults 1,024 and 4 MiB. Bytes are counted as those of MaxBytes. One event
	// always fits.
	BatchEvents int
	BatchBytes  int64

	// Timeout bounds one call of the sink behind; default 30 s.
	Timeout time.Duration

	// MaxTries is how often one event may fail temporarily, each time with others
	// accepted since, until it is given up; default 10. While nothing is accepted at
	// all, nothing is given up.
	MaxTries int

	// OnLost, if set, gets the events that are lost, and why: those that the sink
	// behind refused for good or that were given up, one at a time, and those that
	// Close had no time for. It owns the slice, may be called concurrently by Close
	// and delivery, and should be quick, as both wait for it. A panic in it is
	// ignored, as is [runtime.Goexit].
	OnLost func(events []beacon.Event, err error)

	// Logger is told when a call of the sink behind does not return a second after its
	// Timeout, and when it does at last; nil for nobody.
	Logger *slog.Logger
}

// QueueStats says what became of the events of a [Queue]. At any moment
//
//	Taken = Delivered + LostPermanent + LostClosing + Pending
type QueueStats struct {
	Taken         uint64 // Consume returned nil
	Refused       uint64 // Consume returned an error: no room, or closed
	Delivered     uint64 // the sink behind has them
	LostPermanent uint64 // the sink behind refused them for good, or they were given up
	LostClosing   uint64 // Close had no time for them
	Pending       int    // in memory, on their way to the sink behind or before that
	PendingBytes  int64  // what they count; see MaxBytes
}
