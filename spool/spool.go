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
//     that keeps failing by itself may be passed by others.
//   - What does not pass its checksum is never delivered. It is counted, logged, and
//     kept aside in a file of its own.
//   - A spool that is full, or whose disk fails, refuses. It never drops an event.
//   - An event that the next sink refuses for good, or [Options.MaxTries] times while
//     it takes others, goes to a dead-letter file and does not hold up the rest.
//
// See FORMAT.md for the files. The command in spool/cmd/beacon-spool lists, checks and
// prints them.
package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

var (
	// ErrFull is why Consume refuses events: [Options.MaxBytes] are in use.
	ErrFull = errors.New("spool: full")
	// ErrClosed is why Consume refuses events after Close.
	ErrClosed = errors.New("spool: closed")
	// ErrLocked is why Open fails: another process, or this one, has the directory open.
	ErrLocked = errors.New("spool: directory is in use")
)

// Sync says when events are forced to stable storage. See [Always], [Never] and
// [Interval].
type Sync time.Duration

const (
	// Always syncs before Consume returns. A power cut loses nothing that was
	// acknowledged, given a disk that does not lie.
	Always Sync = 0

	// Never leaves it to the operating system. The end of the process loses
	// nothing, but a power cut or a kernel crash loses what was taken in the last
	// half minute or so.
	Never Sync = -1
)

// Interval syncs every d. The end of the process loses nothing, but a power cut or
// a kernel crash loses what was taken in the last d, and the duration of one sync.
func Interval(d time.Duration) Sync { return Sync(d) }

// Options are the settings of a spool. The zero value of each is its default.
type Options struct {
	// Sync is when events are forced to stable storage; default [Always].
	Sync Sync

	// SegmentBytes is the size of one file, which is allocated in advance; default
	// 64 MiB, or a quarter of MaxBytes if that is less. A segment is deleted when
	// all of it was delivered.
	SegmentBytes int64

	// MaxBytes bounds what the spool takes on disk, dead letters and damaged parts
	// included, give or take a segment; default 1 GiB. Beyond it Consume refuses
	// with [ErrFull], in a [beacon.RetryAfterError].
	MaxBytes int64

	// BatchEvents and BatchBytes bound what the next sink gets in one call, as events
	// and as bytes on disk; defaults 1,000 and 1 MiB. One event always fits.
	BatchEvents int
	BatchBytes  int64

	// MemoryBytes bounds the events that wait in memory for their delivery, by
	// their bytes on disk; default 8 MiB. Those beyond are read back from disk.
	MemoryBytes int64

	// MaxTries is how often the next sink may fail with one event while it takes
	// others; then the event is a dead letter; default 10. While it takes nothing
	// that may be tried, which is the next event of each session, it is taken to
	// be away, and tried for ever.
	MaxTries int

	// Timeout is of one call of the next sink; default 30 s.
	Timeout time.Duration

	// Logger gets what needs an operator: failures of the disk and of the next sink,
	// damage, dead letters. By default nothing is logged.
	Logger *slog.Logger
}

// Waits between attempts to deliver, see [delivery.Backoff].
const (
	retryBase  = 50 * time.Millisecond
	retryLimit = 5 * time.Second
)

// retryAfter is what a client is told when the spool cannot take its events.
const retryAfter = 5 * time.Second

// deadRoom is the size of a dead-letter segment; there are few of them.
const deadRoom = 1 << 20

func (o Options) withDefaults() (Options, error) {
	if o.SegmentBytes < 0 || o.MaxBytes < 0 || o.BatchEvents < 0 || o.BatchBytes < 0 || o.MemoryBytes < 0 ||
		o.MaxTries < 0 || o.Timeout < 0 || o.Sync < Never {
		return o, errors.New("spool: an option is negative")
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, min(64<<20, o.MaxBytes/4))
	o.BatchEvents = cmp.Or(o.BatchEvents, 1000)
	o.BatchBytes = cmp.Or(o.BatchBytes, 1<<20)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 8<<20)
	o.MaxTries = cmp.Or(o.MaxTries, 10)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	if o.SegmentBytes > o.MaxBytes/2 { // or the current segment alone could fill the spool
		return o, fmt.Errorf("spool: SegmentBytes %d is more than half of MaxBytes %d", o.SegmentBytes, o.MaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// A Spool is a durable [beacon.Sink]. It is safe for concurrent use. It runs one or two
// goroutines until Close.
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
	buried  int // by the current attempt

	cursor     cursor
	cursorFile file
	cursorSync time.Time

	wake     chan struct{} // there may be something to deliver
	draining chan struct{} // closed: deliver what goes without waiting, then end
	cancel   context.CancelFunc
	running  sync.WaitGroup
	ended    chan struct{}
	closing  sync.Mutex
}

var (
	_ beacon.Sink          = (*Spool)(nil)
	_ beacon.Flusher       = (*Spool)(nil)
	_ beacon.Closer        = (*Spool)(nil)
	_ beacon.HealthChecker = (*Spool)(nil)
)

// A group is the events of concurrent calls that share a write and a sync.
type group struct {
	buf   []byte
	calls [][]beacon.Event // what each call brought; it is the spool's now
	ends  []int            // in buf, behind each event
	want  int              // calls that the leader waits for
	full  chan struct{}    // closed when they are there
	err   error
	done  chan struct{}
}

// Open opens the spool in a directory, which it makes if need be, and begins to
// deliver what is in it to next. The directory must be on a local file system and
// belong to this spool alone. The error is [ErrLocked] if it is in use.
func Open(dir string, next beacon.Sink, o Options) (*Spool, error) {
	if next == nil {
		return nil, errors.New("spool: next is nil")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	l, err := lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s, err := start(dirFS(dir), next, o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.unlock = l.Close
	return s, nil
}

// makeDir makes a directory that is still there after a power cut.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var parents []string // of what is missing
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
			break // there, or MkdirAll will say what is wrong
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(p); err != nil {
			return err
		}
	}
	return nil
}

// start finds out what is in the directory and sets the spool to work.
func start(fs fsys, next beacon.Sink, o Options) (*Spool, error) {
	s := &Spool{
		opts: o, next: next, logger: o.Logger, fs: fs, unlock: func() error { return nil },
		limits: map[uint64]int64{}, wake: make(chan struct{}, 1),
		draining: make(chan struct{}), ended: make(chan struct{}),
	}
	s.log = wal{
		fs: fs, suffix: dataSuffix, sync: o.Sync, room: o.SegmentBytes,
		number: s.nextNumber, opened: s.opened, sealed: s.sealed, failed: s.diskFailed,
	}
	s.dead = wal{
		fs: fs, suffix: deadSuffix, sync: Always, room: min(o.SegmentBytes, deadRoom),
		number: s.nextNumber, failed: s.diskFailed,
		opened: func(uint64) {}, sealed: func(uint64, int64) {},
	}
	s.courier = delivery.Courier{
		Next: next, Timeout: o.Timeout, Base: retryBase, Limit: retryLimit, MaxTries: o.MaxTries, Bury: s.bury,
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
	if o.Sync > 0 {
		s.running.Go(s.syncEvery)
	}
	go func() {
		s.running.Wait()
		close(s.ended)
	}()
	return s, nil
}

// load reads the directory and the cursor.
func (s *Spool) load() error {
	entries, err := s.fs.list()
	if err != nil {
		return err
	}
	if s.cursorFile, err = s.fs.openRW(cursorName); err != nil {
		return err
	}
	var damaged bool
	if s.cursor, damaged, err = readCursor(s.cursorFile); err != nil {
		return err
	}
	if damaged {
		s.logger.Error("spool: the cursor is damaged; events may be delivered again")
		s.stats.Damaged++
	}
	s.settled = s.cursor.at
	s.number = s.settled.segment
	for _, e := range entries {
		seq, suffix, ok := parseName(e.name)
		if !ok {
			continue
		}
		s.number = max(s.number, seq)
		if suffix != dataSuffix {
			s.used += e.size
			continue
		}
		if seq < s.settled.segment { // delivered, and then the crash undid its removal
			if err := s.fs.remove(e.name); err != nil {
				return err
			}
			continue
		}
		size, err := s.trim(e.name, e.size)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		s.segments = append(s.segments, seq)
		s.limits[seq] = size
		s.used += size
	}
	slices.Sort(s.segments)
	s.committed = s.settled
	if n := len(s.segments); n > 0 {
		last := s.segments[n-1]
		s.committed = position{last, s.limits[last]}
	}
	s.tail.read = s.settled
	return nil
}

// trim cuts off what a segment of a run that crashed has allocated but not
// written, and returns the size of the rest: the zeros take space that new events
// need. It leaves alone a version that it does not know.
func (s *Spool) trim(name string, size int64) (int64, error) {
	f, err := s.fs.openRW(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var header [headerSize]byte
	if n, err := f.ReadAt(header[:], 0); n == headerSize {
		if err := checkHeader(header[:], 0); errors.Is(err, errVersion) {
			return 0, err
		}
	} else if err != nil && !errors.Is(err, io.EOF) {
		return size, nil // the reader will deal with it
	}
	end := size
	buf := make([]byte, min(size, scanWindow))
	for end > headerSize { // which may itself end with zeros
		b := buf[:min(end-headerSize, int64(len(buf)))]
		if _, err := f.ReadAt(b, end-int64(len(b))); err != nil {
			return size, nil
		}
		rest := bytes.TrimRight(b, "\x00")
		end -= int64(len(b) - len(rest))
		if len(rest) > 0 {
			break
		}
	}
	if end == size {
		return size, nil
	}
	return end, f.Truncate(end)
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

// Consume stores the events and returns when they are safe, as [Options.Sync] has
// it. They are then delivered however long that takes. An error means that they
// were not taken.
//
// It does not look at the context: its events are on their way to the disk from the
// start, and to give up waiting for them would only turn what was stored into an
// error.
func (s *Spool) Consume(_ context.Context, events []beacon.Event) error {
	if len(events) == 0 {
		return nil
	}
	buf := buffers.Get().(*buffer)
	defer buf.release()
	if err := buf.encode(events); err != nil {
		return err
	}
	g, leads, err := s.join(buf, events)
	if err != nil {
		return err
	}
	if leads {
		s.write(g)
	} else {
		<-g.done
	}
	return g.err
}

// join adds the events to the group that is gathering. Who starts a group leads it.
func (s *Spool) join(buf *buffer, events []beacon.Event) (g *group, leads bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, ErrClosed
	}
	gathered := int64(len(buf.bytes))
	if s.open != nil {
		gathered += int64(len(s.open.buf))
	}
	if s.used+gathered > s.opts.MaxBytes {
		s.stats.Refused += uint64(len(events))
		return nil, false, &beacon.RetryAfterError{After: retryAfter, Err: ErrFull}
	}
	g, leads = s.open, s.open == nil
	if leads {
		g = &group{buf: s.spare, done: make(chan struct{})}
		s.spare, s.open = nil, g
	}
	start := len(g.buf)
	g.buf = append(g.buf, buf.bytes...)
	g.calls = append(g.calls, events)
	for _, end := range buf.ends {
		g.ends = append(g.ends, start+end)
	}
	if len(g.calls) == g.want {
		close(g.full)
	}
	return g, leads, nil
}

// write is done by the leader of a group: it waits until the group before is
// written, which is when this one gathers, and writes it.
func (s *Spool) write(g *group) {
	s.commit.Lock()
	s.linger(g)
	s.mu.Lock()
	s.open = nil
	s.mu.Unlock()

	begun := time.Now()
	start, end, err := s.log.append(g.buf)
	s.calls, s.took = len(g.calls), time.Since(begun)

	s.mu.Lock()
	s.failure = err
	if err == nil {
		s.used += int64(len(g.buf))
		s.stats.Stored += uint64(len(g.ends))
		s.tail.add(g, s.committed, start, s.opts.MemoryBytes)
		s.committed = end
	} else {
		s.stats.Refused += uint64(len(g.ends))
		s.failed = time.Now()
		g.err = &beacon.RetryAfterError{After: retryAfter, Err: fmt.Errorf("spool: %w", err)}
	}
	if cap(g.buf) <= 1<<20 {
		s.spare = g.buf[:0]
	}
	s.mu.Unlock()
	s.commit.Unlock()
	close(g.done)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// maxLinger bounds what lingering adds to the time of a call.
const maxLinger = 5 * time.Millisecond

// linger waits for as many calls as the last group had, for at most the time that a
// sync takes. The callers that were released together come back one by one, and the
// first of them would otherwise pay for a sync of its own, which costs far more
// than this. A caller that is alone does not wait.
func (s *Spool) linger(g *group) {
	if s.opts.Sync != Always || s.calls < 2 {
		return
	}
	s.mu.Lock()
	if len(g.calls) >= s.calls {
		s.mu.Unlock()
		return
	}
	g.want, g.full = s.calls, make(chan struct{})
	s.mu.Unlock()
	t := time.NewTimer(min(8*s.took, maxLinger))
	defer t.Stop()
	select {
	case <-g.full:
	case <-t.C:
	}
}

// syncEvery is the goroutine of the mode [Interval].
func (s *Spool) syncEvery() {
	tick := time.NewTicker(time.Duration(s.opts.Sync))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.draining:
			return
		}
		s.commit.Lock()
		err := s.log.flushOrAbandon()
		s.commit.Unlock()
		if err != nil {
			s.mu.Lock()
			s.failure, s.failed = err, time.Now()
			s.mu.Unlock()
		}
	}
}

// A buffer holds the records of one call.
type buffer struct {
	bytes []byte
	ends  []int
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) release() {
	if cap(b.bytes) <= 64<<10 { // one large event should not stay for ever
		b.bytes, b.ends = b.bytes[:0], b.ends[:0]
		buffers.Put(b)
	}
}

func (b *buffer) encode(events []beacon.Event) error {
	for i := range events {
		start := len(b.bytes)
		var err error
		if b.bytes, err = events[i].AppendJSON(openFrame(b.bytes)); err == nil {
			err = closeFrame(b.bytes, start)
		}
		if err != nil {
			return fmt.Errorf("spool: event %q: %w: %w", events[i].ID, beacon.ErrPermanent, err)
		}
		b.ends = append(b.ends, len(b.bytes))
	}
	return nil
}

// Flush returns when next has taken, and flushed, everything that was stored
// before the call.
func (s *Spool) Flush(ctx context.Context) error {
	s.mu.Lock()
	w := waiter{s.committed, make(chan struct{})}
	if s.settled.before(w.until) {
		s.waiters = append(s.waiters, w)
	} else {
		close(w.reached)
	}
	s.mu.Unlock()
	select {
	case <-w.reached:
		return delivery.Flush(ctx, s.next)
	case <-s.ended:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("spool: not everything is delivered: %w", ctx.Err())
	}
}

// A waiter waits for the delivery to reach a position.
type waiter struct {
	until   position
	reached chan struct{}
}

// Close stops taking events, delivers what it can while next takes it and ctx
// lasts, and closes next. What is left stays on disk for the next Open, and is not
// an error.
func (s *Spool) Close(ctx context.Context) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	s.mu.Lock()
	done, g := s.closed, s.open
	s.closed = true
	s.mu.Unlock()
	if done {
		return nil
	}
	if g != nil {
		<-g.done
	}
	s.commit.Lock() // the leader of the last group is gone
	err := s.log.flushOrAbandon()
	s.commit.Unlock()

	close(s.draining)
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.cancel()
		select {
		case <-s.ended:
		case <-time.After(time.Second):
			return errors.Join(err, fmt.Errorf("spool: the next sink does not come back: %w", ctx.Err()))
		}
	}
	s.cancel()
	return errors.Join(err, s.endFiles(), delivery.Close(ctx, s.next), s.unlock())
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
	if s.log.f != nil {
		return nil
	}
	return s.log.create(0)
}

// Stats are counts since Open, and sizes as they are now. Counts are of events
// unless they say otherwise.
type Stats struct {
	Stored    uint64 `json:"stored"`    // taken by Consume
	Refused   uint64 `json:"refused"`   // by Consume, full or for a failure of the disk
	Delivered uint64 `json:"delivered"` // taken by the next sink
	Dead      uint64 `json:"dead"`      // put into a dead-letter file

	Damaged      uint64 `json:"damaged"` // places in files that did not pass their checksum, torn ends included
	DamagedBytes int64  `json:"damaged_bytes"`
	DiskErrors   uint64 `json:"disk_errors"`
	SinkErrors   uint64 `json:"sink_errors"` // failed calls of the next sink

	Bytes   int64 `json:"bytes"`   // on disk, without what is only allocated
	Pending int64 `json:"pending"` // bytes of them that wait for delivery
}

// Stats returns the counts and sizes.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Bytes = s.used
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
