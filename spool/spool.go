// Package spool keeps events safe between the answer to the browser and the sink
// that may be away: a segmented write-ahead log in front of any [beacon.Sink].
//
//	events, err := spool.Open("beacons", store, spool.Options{})
//	h, err := beacon.New(beacon.Config{Sink: events})
//
// Consume returns once its events are on stable storage: a 204 then means that they
// survive the end of the process, of the kernel, and of the power. Concurrent
// requests share one sync (group commit), so this is cheap. The events go on to the
// next sink in the background, in order, and leave the disk when that has taken
// them. While it fails they wait, for days if need be; a start begins with what the
// last run left.
//
// # Guarantees
//
//   - Delivery is at least once. After a crash, events that were already delivered
//     may come again, with the same ID; what was never acknowledged may come too.
//   - Events are delivered in the order in which Consume took them. Only an event
//     that fails by itself, or that the next sink names as not taken, with a
//     [*beacon.PartialError], is set aside and passed by others: by those of its own
//     session only after a second in which it was tried again. What the next sink
//     took it does not get again, but after a restart: then all that is behind the
//     first event that was set aside comes again.
//   - What does not pass its checksum is never delivered. It is counted, logged, and
//     kept aside in a file of its own.
//   - A spool that is full, or whose disk fails or hangs, refuses. It never drops an event.
//   - An event that the next sink refuses for good, or [Options.MaxTries] times while
//     it takes others, goes to a dead-letter file and does not hold up the rest. If
//     there is no room for that it stays where it is until there is. Dead letters
//     have a bound, [Options.MaxDeadBytes], beyond which the oldest go.
//   - While the next sink takes nothing, nothing becomes a dead letter, and it is tried
//     every few seconds. Up to 1,000 events are set aside; then delivery waits for them.
//   - Events of a later version of this package, after a return to an older one, stay
//     where they are. What is delivered of their segments comes again after a restart.
//
// The next sink gets one call at a time, on a goroutine of its own, with a context that
// ends after [Options.Timeout] and carries no values of a request, which may be long over.
// A panic in it is a temporary failure, and so is [runtime.Goexit]. A call that does not
// return holds up delivery until it does; the log, Stats and Healthy tell. A wait that it
// asks for, with a [*beacon.RetryAfterError], is kept to, but for no longer than 5 minutes.
//
// # Disks that hang, and directories that go
//
// A disk may stop answering without an error, for seconds or for good. After
// [Options.DiskTimeout] those who wait for it are refused, and so is everybody else, at
// once, until it comes back. No goroutine waits for it but the spool's own, and nothing
// more is kept in memory. The events that were on their way to it may be stored, and
// delivered, all the same: whoever repeats them should keep their IDs.
//
// If the directory is removed, moved or replaced, or its lock or the current segment is,
// the spool says so within a second of the next event, or when [Spool.Healthy] is next
// asked, with [ErrLost]. What it acknowledged in that second may go with the process.
//
// # Full volumes
//
// A file called reserve keeps room for dead letters, besides [Options.MaxBytes]: 1 MiB, or
// what the largest event takes. On a volume without any room it becomes the next file of
// these, so that an event that the next sink refuses cannot keep delivery from making room.
// What it has no room for waits in memory, and is buried when there is some; where that is
// too much it is left in its segment, which stays until the next start comes to it again. No
// dead letter goes to make room.
// Without a reserve nothing is accepted.
//
// # Processors
//
// While a sync waits for the disk it holds one of the GOMAXPROCS processors of Go, until
// the runtime takes it back. With GOMAXPROCS=1, the default on a machine or in a
// container with one CPU, that is the only one, and requests wait with it. On the same
// CPU, GOMAXPROCS=2 gives about 40 % more requests a second at 256 connections.
//
// # Mistakes
//
// Functions that make a sink panic if what they get makes no sense, such as no
// sink to stand in front of or a negative number: that is a mistake in the program.
// [Open] can fail for other reasons too, and returns a mistake as an error. Zero means
// the default that each field names.
//
// See FORMAT.md for the files. The command in spool/cmd/beacon-spool lists, checks, prints and
// drains them, and brings dead letters back; so do [Read], [Replay], [Salvage] and [Purge].
// What to watch, and what to do when, is in docs/operations.md.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
	"github.com/pagebeacon/beacon/internal/histogram"
)

// deadRoom is the size of a dead-letter segment; there are few of them.
const deadRoom = 1 << 20

// A Spool is a durable [beacon.Sink]. Make one with [Open]. It is safe for concurrent use.
// It runs a few goroutines until Close.
type Spool struct {
	opts   Options
	next   beacon.Sink
	logger *slog.Logger
	fs     fsys
	unlock func() error

	// The group that is gathering, while the one before it is written.
	mu      sync.Mutex
	open    *group
	writing *group
	onWay   int64    // bytes of both, on disk
	held    int64    // memory of both, and of what is encoded
	claims  []*claim // of more, in order
	closed  bool

	// What the disk is like; also under mu.
	disk      running
	syncs     syncTimes
	failure   error     // of the last commit or sync
	tried     time.Time // when that was
	lost      error     // the directory: for good
	fullSince time.Time // zero if there is room

	// What is on disk; also under mu.
	segments    []uint64         // that hold records or may, in order
	limits      map[uint64]int64 // where to stop reading those of this run that are ended
	crashed     map[uint64]bool  // whether a run ended without ending the segment
	committed   position         // behind the last record that was taken
	settled     position         // behind the last one that was delivered or buried
	tail        tail
	used        int64               // bytes of all segments of events
	kept        map[string]int64    // sizes of the files of dead letters and of what is damaged
	later       map[uint64]position // segments with events of a later version or that were left, and the first in each
	hanging     time.Time           // since when a call of next should have returned
	number      uint64
	counts      map[uint64]int64 // of the events in the segments of this run
	head        time.Time        // when the first event in the hands of the delivery was received
	recordBytes int64            // of an event of an earlier run, about
	volume      volume
	stats       Stats
	logged      time.Time // a failure of the disk
	waiters     []waiter

	sinkTimes *histogram.Histogram // of calls of next; not under mu

	// Used by the goroutine of the commits only, until that has ended.
	log      wal
	calls    int           // in the last group
	took     time.Duration // to write it
	patience *time.Timer   // see linger
	alone    int           // groups of one call in a row
	checked  time.Time     // that the directory is there
	writeErr error         // of its last sync
	work     chan struct{} // there may be a group
	written  chan struct{} // closed when it has ended

	reserved atomic.Int64 // bytes of the reserve; 0 if there is none
	dead     wal          // used by the delivery goroutine only, until it has ended
	courier  delivery.Courier[position]
	counted  time.Time // when it last looked what is left of kept
	deadLog  deadLog
	unburied error // why what is to be buried is not

	cursor     cursor
	cursorFile file
	cursorSync time.Time

	wake     chan struct{} // there may be something to deliver
	hurry    chan struct{} // try at once what waits for its time
	draining chan struct{} // closed: deliver what goes without waiting, then end
	cancel   context.CancelFunc
	running  sync.WaitGroup
	ended    chan struct{} // closed when nothing is running
	over     chan struct{} // closed when all that Close began is done
	closeErr error         // of that; read it after over
}

var (
	_ beacon.Sink          = (*Spool)(nil)
	_ beacon.Flusher       = (*Spool)(nil)
	_ beacon.Closer        = (*Spool)(nil)
	_ beacon.HealthChecker = (*Spool)(nil)
)

// start finds out what is in the directory and sets the spool to work.
func start(fs fsys, next beacon.Sink, o Options) (*Spool, error) {
	s := &Spool{
		opts: o, next: next, logger: o.Logger, fs: fs, unlock: func() error { return nil },
		limits: map[uint64]int64{}, crashed: map[uint64]bool{}, counts: map[uint64]int64{}, volume: volume{free: fs.free()},
		kept: map[string]int64{}, later: map[uint64]position{}, hurry: make(chan struct{}, 1),
		work: make(chan struct{}, 1), written: make(chan struct{}), wake: make(chan struct{}, 1),
		draining: make(chan struct{}), ended: make(chan struct{}), over: make(chan struct{}),
		syncs: syncTimes{all: histogram.Seconds()}, sinkTimes: histogram.Seconds(),
	}
	s.log = wal{
		fs: fs, suffix: dataSuffix, sync: o.Sync.mode, room: o.SegmentBytes, ahead: o.Sync.mode == syncAlways,
		number: s.nextNumber, opened: s.opened, sealed: s.sealed, failed: s.diskFailed,
	}
	s.dead = wal{
		fs: fs, suffix: deadSuffix, sync: syncAlways, room: min(o.SegmentBytes, deadRoom, max(blockSize, o.MaxDeadBytes/4)),
		number: s.nextNumber, failed: s.diskFailed,
		opened: func(uint64) {}, sealed: func(uint64, int64) {}, reserve: s.useReserve,
	}
	s.disk.timer = time.AfterFunc(time.Hour, s.late)
	s.disk.timer.Stop()
	s.courier = delivery.Courier[position]{
		Next: next, Timeout: o.Timeout, Base: delivery.RetryBase, Limit: delivery.RetryLimit, MaxTries: o.MaxTries,
		BatchEvents: o.BatchEvents, BatchBytes: o.BatchBytes, AsideBytes: max(o.MemoryBytes, o.BatchBytes, 64<<10),
		Bury: s.bury, Leave: s.leave, Hangs: s.nextHangs, Took: s.sinkTimes.Took,
	}
	if err := s.load(); err != nil {
		if s.cursorFile != nil {
			err = errors.Join(err, s.cursorFile.Close())
		}
		return nil, fmt.Errorf("spool: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() { s.deliver(ctx) })
	go s.commits()
	go func() {
		s.running.Wait()
		close(s.ended)
	}()
	return s, nil
}

func (s *Spool) nextNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

func (s *Spool) opened(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, seq)
	s.used += headerSize
}

func (s *Spool) sealed(seq uint64, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end == 0 {
		s.used -= headerSize
		delete(s.counts, seq)
		s.segments = slices.DeleteFunc(s.segments, func(n uint64) bool { return n == seq })
		return
	}
	s.limits[seq] = end
}

// diskFailed counts and logs a failure, one a second: every request may meet it.
func (s *Spool) diskFailed(err error) {
	s.mu.Lock()
	s.stats.DiskErrors++
	quiet := time.Since(s.logged) < time.Second
	if !quiet {
		s.logged = time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		s.logger.Error("spool: disk", "error", err)
	}
}

// Flush returns nil when next has taken, and flushed, everything that was stored
// before the call, or when that is in a dead-letter file; the next attempt is made at
// once. It returns an error if ctx ended first, or next's. It may be called at any
// time: after Close it is [ErrClosed], unless everything was delivered before that.
func (s *Spool) Flush(ctx context.Context) error {
	s.mu.Lock()
	w := waiter{s.committed, make(chan struct{})}
	waits := s.settled.before(w.until)
	if waits {
		s.waiters = append(s.waiters, w)
		select {
		case s.hurry <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	if waits {
		select {
		case <-w.reached:
		case <-s.ended:
		case <-ctx.Done():
		}
		// Of several that are ready select takes any; what was settled is the truth.
		if !s.reached(w) {
			select {
			case <-s.ended:
				return ErrClosed
			default:
				return fmt.Errorf("spool: not everything is delivered: %w", ctx.Err())
			}
		}
	}
	return delivery.Guard(func() error { return beacon.Flush(ctx, s.next) })
}

// A waiter waits for the delivery to reach a position.
type waiter struct {
	until   position
	reached chan struct{}
}

// reached says whether the delivery has reached the position of a waiter, which waits
// no more.
func (s *Spool) reached(w waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters = slices.DeleteFunc(s.waiters, func(x waiter) bool { return x.reached == w.reached })
	return !s.settled.before(w.until)
}

// closeGrace is how long Close waits for what is to end because its context did.
const closeGrace = time.Second

// Close stops taking events, delivers what it can while next takes it and ctx
// lasts, releases the directory, and closes next. What is left stays on disk for the
// next Open, and is not an error.
//
// It returns at the latest a second after ctx has ended, with an error if something does
// not come back: next, or the disk. The directory is then released as soon as that does.
// A second Close waits for the end of what the first began, but not longer than its own
// context, and returns the same.
func (s *Spool) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.refuseClaims(ErrClosed)
	s.mu.Unlock()
	if first {
		select {
		case s.work <- struct{}{}:
		default:
		}
		go s.end(ctx)
	}
	select {
	case <-s.over:
	case <-ctx.Done():
		grace := time.Duration(0)
		if first {
			grace = closeGrace
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-s.over:
		case <-t.C:
		}
	}
	select {
	case <-s.over:
		return s.closeErr
	default:
		return fmt.Errorf("spool: not closed: %s: %w", s.hangs(), ctx.Err())
	}
}

// hangs says what the end waits for.
func (s *Spool) hangs() string {
	select {
	case <-s.draining:
	default:
		return "the disk does not come back"
	}
	select {
	case <-s.ended:
		return "the next sink is being closed"
	default:
		return "the next sink does not come back"
	}
}

// end is the goroutine of Close.
func (s *Spool) end(ctx context.Context) {
	defer close(s.over)
	s.closeErr = ErrClosed                   // should next end the goroutine
	defer context.AfterFunc(ctx, s.cancel)() // of delivery
	<-s.written
	close(s.draining)
	<-s.ended
	s.cancel()
	if st := s.Stats(); st.Pending > 0 {
		s.logger.Info("spool: closed with events left", "bytes", st.Pending, "events", st.PendingEvents)
	}
	err := errors.Join(s.writeErr, s.endFiles(), s.unlock())
	s.closeErr = errors.Join(err, delivery.Guard(func() error { return beacon.Close(ctx, s.next) }))
}

// endFiles leaves the directory as the next Open should find it.
func (s *Spool) endFiles() error {
	for _, w := range []*wal{&s.log, &s.dead} {
		if w.f != nil {
			w.abandon()
		}
	}
	var errs []error
	s.cursor.count++
	s.cursor.number = s.number
	_, err := s.cursorFile.WriteAt(s.cursor.append(nil), s.cursor.slot())
	errs = append(errs, err, s.cursorFile.sync()) // before what it says is gone
	if !s.settled.before(s.committed) {
		for _, seq := range s.segments {
			if _, later := s.later[seq]; !later {
				errs = append(errs, s.fs.remove(segmentName(seq, dataSuffix)))
			}
		}
	}
	errs = append(errs, s.cursorFile.Close())
	return errors.Join(errs...)
}
