package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Sync says when events are forced to stable storage: [Always], which is the zero
// value, [Never] or an [Interval].
type Sync struct {
	mode  syncMode
	every time.Duration // of syncInterval
}

type syncMode uint8

const (
	syncAlways syncMode = iota
	syncNever
	syncInterval
)

var (
	// Always syncs before Consume returns. A power cut loses nothing that was
	// acknowledged, given a disk that does not lie.
	Always = Sync{mode: syncAlways}

	// Never leaves it to the operating system. The end of the process loses
	// nothing, but a power cut or a kernel crash loses what was taken in the last
	// half minute or so.
	Never = Sync{mode: syncNever}
)

// Interval syncs every d, which has to be positive. The end of the process loses
// nothing, but a power cut or a kernel crash loses what was taken in the last d, and the
// duration of one sync.
func Interval(d time.Duration) Sync { return Sync{mode: syncInterval, every: d} }

// Options are the settings of a spool. The zero value of each is its default; what is
// negative makes Open fail.
type Options struct {
	// Sync is when events are forced to stable storage; default [Always].
	Sync Sync

	// SegmentBytes is the size of one file, which is allocated in advance; default
	// 64 MiB, or a quarter of MaxBytes if that is less. It may be at most half of
	// MaxBytes. A segment is deleted when all of it was delivered.
	SegmentBytes int64

	// MaxBytes bounds what events take on disk, give or take a segment; default
	// 1 GiB. Beyond it Consume refuses with [ErrFull].
	MaxBytes int64

	// MaxDeadBytes bounds the files with dead letters and with what is damaged, which
	// MaxBytes does not count, give or take one; default a tenth of MaxBytes. Beyond it
	// the oldest of them goes, which is logged and counted. They may be removed at any
	// time; that is noticed within some seconds.
	MaxDeadBytes int64

	// BatchEvents and BatchBytes bound what the next sink gets in one call, as events
	// and as bytes on disk; defaults 1,000 and 1 MiB. One event always fits.
	BatchEvents int
	BatchBytes  int64

	// MemoryBytes bounds the events that wait for the disk, with their encoded form,
	// and apart from these the ones that are kept for their delivery; default 8 MiB
	// each. An event counts as what it takes in memory or on disk, whichever is more.
	//
	// A call for which there is no room waits until the disk has written what came
	// before, as long as its context lasts. One that is larger than a part of 1 MiB is
	// stored in such parts, and an event that is larger than all of it when there is
	// no other. Events that are not kept are read back from disk for their delivery. As
	// much again may be taken by events that are set aside, and a batch.
	MemoryBytes int64

	// MaxTries is how often the next sink may fail with one event by itself, and take
	// another one after each time; then the event is a dead letter; default 10. The
	// tries are up to 5 seconds apart. While it takes nothing that may be tried, which
	// is the next event of each session, it is taken to be away, and tried for ever.
	//
	// Of an event that it names, with a [*beacon.PartialError], only those of the same
	// Name count as others, and it is a dead letter after ten minutes at the earliest:
	// a store that is away behind [github.com/pagebeacon/beacon/sink.ByName] loses nothing while others are there.
	MaxTries int

	// Timeout is how long the context of one call of the next sink lasts; default
	// 30 s.
	Timeout time.Duration

	// DiskTimeout is how long the disk may take to write a group of events and sync
	// it; default 1 s. From then on it hangs: Consume and Healthy refuse with
	// [ErrStalled] until it has come back.
	DiskTimeout time.Duration

	// LockWait is how long Open waits for another process that has the directory, such as
	// the one before, which is coming to its end; by default not at all. Serve nothing
	// before Open returns.
	LockWait time.Duration

	// Logger gets what needs an operator: failures of the disk and of the next sink,
	// damage, dead letters, a spool that is full, what an earlier run left and what
	// this one leaves. By default nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"SegmentBytes", o.SegmentBytes}, {"MaxBytes", o.MaxBytes}, {"MaxDeadBytes", o.MaxDeadBytes}, {"BatchEvents", int64(o.BatchEvents)}, {"BatchBytes", o.BatchBytes},
		{"MemoryBytes", o.MemoryBytes}, {"MaxTries", int64(o.MaxTries)}, {"Timeout", int64(o.Timeout)},
		{"DiskTimeout", int64(o.DiskTimeout)}, {"LockWait", int64(o.LockWait)},
	} {
		if option.value < 0 {
			errs = append(errs, fmt.Errorf("spool: Options.%s is negative: %d", option.name, option.value))
		}
	}
	if o.Sync.mode == syncInterval && o.Sync.every <= 0 {
		errs = append(errs, fmt.Errorf("spool: Interval(%v) is not positive", o.Sync.every))
	}
	if errs != nil {
		return o, errors.Join(errs...)
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.MaxDeadBytes = cmp.Or(o.MaxDeadBytes, o.MaxBytes/10)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, min(64<<20, o.MaxBytes/4))
	o.BatchEvents = cmp.Or(o.BatchEvents, 1000)
	o.BatchBytes = cmp.Or(o.BatchBytes, 1<<20)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 8<<20)
	o.MaxTries = cmp.Or(o.MaxTries, 10)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.DiskTimeout = cmp.Or(o.DiskTimeout, time.Second)
	if o.SegmentBytes > o.MaxBytes/2 { // or the current segment alone could fill the spool
		return o, fmt.Errorf("spool: SegmentBytes %d is more than half of MaxBytes %d", o.SegmentBytes, o.MaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
