// Package spool keeps events safe between the answer to the browser and the sink
// that may be away: a segmented write-ahead log in front of any [beacon.Sink].
//
//	events, err := spool.Open("/var/lib/app/beacons", store, spool.Options{})
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
//     that keeps failing by itself, or that the next sink names as not taken, with a
//     [*beacon.PartialError], may be passed by others. What the next sink took of
//     such a call it does not get again, but after a restart.
//   - What does not pass its checksum is never delivered. It is counted, logged, and
//     kept aside in a file of its own.
//   - A spool that is full, or whose disk fails, refuses. It never drops an event.
//   - An event that the next sink refuses for good, or [Options.MaxTries] times while
//     it takes others, goes to a dead-letter file and does not hold up the rest.
//
// The next sink gets a context that ends after [Options.Timeout] and carries no values of
// a request, which may be long over. A panic in it is a temporary failure.
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
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

var (
	// ErrFull is why Consume refuses events, and Healthy says no: [Options.MaxBytes]
	// are in use. Consume returns it in a [*beacon.RetryAfterError].
	ErrFull = errors.New("spool: full")

	// ErrClosed is what Consume, Healthy and Flush return after Close. It is
	// temporary: the process that comes next may take the events.
	ErrClosed = errors.New("spool: closed")

	// ErrLocked is why Open fails: another process, or this one, has the directory
	// open.
	ErrLocked = errors.New("spool: directory is in use")
)

// retryAfter is what a client is told when the spool cannot take its events.
const retryAfter = 5 * time.Second

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
	closed  bool
	spare   []byte // the buffer of a group that was written
	failure error  // why the last commit failed
	failed  time.Time

	// What is on disk; also under mu.
	segments  []uint64         // that hold records or may, in order
	limits    map[uint64]int64 // where to stop reading those of this run that are ended
	committed position         // behind the last record that was taken
	settled   position         // behind the last one that was delivered or buried
	tail      tail
	used      int64 // bytes of all files
	number    uint64
	stats     Stats
	logged    time.Time // a failure of the disk
	waiters   []waiter

	commit  sync.Mutex // held while a group is written; taken before mu
	log     wal
	calls   int           // in the last group
	took    time.Duration // to write it
	dead    wal           // used by the delivery goroutine only, until it has ended
	courier delivery.Courier

	cursor     cursor
	cursorFile file
	cursorSync time.Time

	wake     chan struct{} // there may be something to deliver
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
		limits: map[uint64]int64{}, wake: make(chan struct{}, 1),
		draining: make(chan struct{}), ended: make(chan struct{}), over: make(chan struct{}),
	}
	s.log = wal{
		fs: fs, suffix: dataSuffix, sync: o.Sync.mode, room: o.SegmentBytes,
		number: s.nextNumber, opened: s.opened, sealed: s.sealed, failed: s.diskFailed,
	}
	s.dead = wal{
		fs: fs, suffix: deadSuffix, sync: syncAlways, room: min(o.SegmentBytes, deadRoom),
		number: s.nextNumber, failed: s.diskFailed,
		opened: func(uint64) {}, sealed: func(uint64, int64) {},
	}
	s.courier = delivery.Courier{
		Next: next, Timeout: o.Timeout, Base: delivery.RetryBase, Limit: delivery.RetryLimit, MaxTries: o.MaxTries, Bury: s.bury,
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
	if o.Sync.mode == syncInterval {
		s.running.Go(s.syncEvery)
	}
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
// before the call, or when that is in a dead-letter file; it does not hasten the next
// attempt. It returns an error if ctx ended first, or next's. It may be called at any
// time: after Close it is [ErrClosed], unless everything was delivered before that.
func (s *Spool) Flush(ctx context.Context) error {
	s.mu.Lock()
	w := waiter{s.committed, make(chan struct{})}
	waits := s.settled.before(w.until)
	if waits {
		s.waiters = append(s.waiters, w)
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
	return beacon.Flush(ctx, s.next)
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
	first, last := !s.closed, s.open
	s.closed = true
	s.mu.Unlock()
	if first {
		go s.end(ctx, last)
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

// end is the goroutine of Close. last is the group that was gathering.
func (s *Spool) end(ctx context.Context, last *group) {
	defer close(s.over)
	s.closeErr = ErrClosed                   // should next end the goroutine
	defer context.AfterFunc(ctx, s.cancel)() // of delivery
	if last != nil {
		<-last.done
	}
	s.commit.Lock() // the leader of the last group is gone
	err := s.log.flushOrAbandon()
	s.commit.Unlock()

	close(s.draining)
	<-s.ended
	s.cancel()
	err = errors.Join(err, s.endFiles(), s.unlock())
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
	if !s.settled.before(s.committed) {
		for _, seq := range s.segments {
			errs = append(errs, s.fs.remove(segmentName(seq, dataSuffix)))
		}
	}
	errs = append(errs, s.cursorFile.sync(), s.cursorFile.Close())
	return errors.Join(errs...)
}

// Healthy returns nil if the spool can take events, and otherwise [ErrFull],
// [ErrClosed], or what the disk said. After a failure of the disk it tries again,
// at most once a second, so that a host that gets no events because of it can
// recover. That the next sink fails is no reason: that is what a spool is for.
func (s *Spool) Healthy(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.used+min(64<<10, s.opts.MaxBytes/16) > s.opts.MaxBytes:
		return ErrFull
	case s.failure == nil || time.Since(s.failed) < time.Second:
		return s.failure
	}
	s.failed = time.Now()
	s.mu.Unlock()
	err := s.probe()
	s.mu.Lock()
	s.failure = err
	return err
}

// probe makes a segment, if there is none to write to.
func (s *Spool) probe() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	closed := s.closed // since: then nobody would end it
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if s.log.f != nil {
		return nil
	}
	return s.log.create(0)
}
