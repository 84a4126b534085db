package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// A group is the events of concurrent calls that share a write and a sync.
type group struct {
	parts  [][]byte         // records, in the order of the calls
	size   int64            // of all parts
	weight int64            // reserved for it
	calls  [][]beacon.Event // what each call brought; it is the spool's now
	ends   []int            // behind each event, counted over all parts

	largest int64 // of the records

	block int           // of the last part, how much is for records of further calls; 0 if it is a call's own
	want  int           // calls that the writer waits for
	full  chan struct{} // closed when they are there

	answered bool
	err      error         // of the answer
	news     chan struct{} // closed by the answer, or when that takes long: see giveLeave
	late     chan struct{} // in the second case made before, and closed by the answer
}

// Consume stores the events and returns when they are safe, as [Options.Sync] has
// it. They are then delivered however long that takes.
//
// An error means that events were not taken. It is temporary, a [*beacon.RetryAfterError]
// with [ErrFull], [ErrStalled], [ErrLost] or what the disk said, or it is [ErrClosed].
// For good are refused events without a JSON form, such as of a time after the year 9999,
// and a call that is larger than [Options.MaxBytes]. Where that is true for some of the
// events only, or a large call was stored in part before the disk failed, the error is a
// [*beacon.PartialError].
//
// Concurrent calls share a write and a sync. Among many, a call may wait up to 5 ms
// for others to join it.
//
// The context ends the wait for memory, see [Options.MemoryBytes], and the wait for a disk
// that takes longer than some hundredth of a second. The events may be stored all the
// same then, as when the disk stalls, and delivered: whoever repeats them should keep
// their IDs. While the disk is well the context is not looked at: to give up waiting would
// only turn what was stored into an error.
func (s *Spool) Consume(ctx context.Context, events []beacon.Event) error {
	if s.tooLarge(events) {
		return s.refused(len(events), fmt.Errorf("spool: %w: the call is larger than MaxBytes", beacon.ErrPermanent))
	}
	var formless failures
	for first := 0; first < len(events); {
		n, err := s.consumePart(ctx, events[first:], first, &formless)
		if err != nil {
			return formless.with(first, len(events), err)
		}
		first += n
	}
	return formless.error(len(events))
}

// partBytes is about how much of a call is encoded and stored at once. What the rest of it
// takes when it is encoded nobody knows: often as much as in memory, sometimes twelve
// times that.
const partBytes = 1 << 20

// consumePart stores as many of the events as make a part and returns how many these are.
// An error is about all of them that have a JSON form.
func (s *Spool) consumePart(ctx context.Context, events []beacon.Event, first int, formless *failures) (n int, err error) {
	var claimed int64
	for n < len(events) && (n == 0 || claimed < partBytes) {
		claimed += int64(events[n].Size())
		n++
	}
	if err := s.claim(ctx, claimed); err != nil {
		return 0, s.refused(len(events), err)
	}
	buf := newBuffer(claimed)
	n = buf.encode(events[:n:n], first, formless)
	weight := max(claimed, int64(len(buf.bytes)))
	if weight > claimed {
		s.release(claimed - weight) // more than thought, without a wait: it is there already
	}
	if len(buf.events) == 0 {
		s.release(weight)
		buf.release()
		return n, nil
	}
	g, err := s.join(buf, weight)
	if err != nil {
		s.release(weight)
		buf.release()
		return 0, s.refused(len(events), err)
	}
	if err := g.wait(ctx); err != nil {
		return 0, s.refused(len(events), err)
	}
	return n, nil
}

// refused counts events that Consume does not take, and says so when the spool becomes
// full.
func (s *Spool) refused(n int, err error) error {
	if err == ErrClosed {
		return err
	}
	s.mu.Lock()
	s.stats.Refused += uint64(n)
	begins := s.fullSince.IsZero() && errors.Is(err, ErrFull)
	if begins {
		s.fullSince = time.Now()
	}
	used := s.used
	s.mu.Unlock()
	if begins {
		s.logger.Error("spool: full", "bytes", used, "max", s.opts.MaxBytes)
	}
	return err
}

// join adds the records to the group that is gathering. It gives the buffer back, or keeps
// it, unless it returns an error.
func (s *Spool) join(buf *buffer, weight int64) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unable(); err != nil {
		return nil, err
	}
	if err := s.checkRoom(len(buf.bytes)); err != nil {
		return nil, err
	}
	s.onWay += int64(len(buf.bytes))
	g := s.gathering()
	g.add(buf, weight)
	if len(g.calls) == g.want {
		close(g.full)
	}
	buf.release()
	return g, nil
}

// gathering returns the group that gathers, under mu.
func (s *Spool) gathering() *group {
	if s.open == nil {
		s.open = &group{news: make(chan struct{})}
		if s.disk.slow {
			s.open.giveLeave()
		}
		select {
		case s.work <- struct{}{}:
		default:
		}
	}
	return s.open
}

// add takes over the records and events of a call.
func (g *group) add(buf *buffer, weight int64) {
	last := 0
	for _, end := range buf.ends {
		g.ends = append(g.ends, int(g.size)+end)
		g.largest = max(g.largest, int64(end-last))
		last = end
	}
	n := len(buf.bytes)
	if n > blockBytes {
		g.parts, g.block = append(g.parts, buf.bytes), 0
		buf.bytes = nil
	} else {
		if g.block < n {
			g.parts, g.block = append(g.parts, blocks.Get().(*[blockBytes]byte)[:0]), blockBytes
		}
		last := &g.parts[len(g.parts)-1]
		*last = append(*last, buf.bytes...)
		g.block -= n
	}
	g.calls = append(g.calls, buf.events)
	g.size += int64(n)
	g.weight += weight
}

// letGo gives the memory of the records back.
func (g *group) letGo() {
	for _, p := range g.parts {
		if cap(p) == blockBytes {
			blocks.Put((*[blockBytes]byte)(p[:blockBytes]))
		}
	}
	g.parts = nil
}

// wait waits for the answer. What a context says is asked for only when that takes long:
// that of a handler makes itself a timer when somebody asks.
func (g *group) wait(ctx context.Context) error {
	<-g.news
	if g.late == nil {
		return g.err
	}
	select {
	case <-g.late:
		return g.err
	case <-ctx.Done():
		return retry(fmt.Errorf("spool: the disk is slow; the events may be stored all the same: %w", context.Cause(ctx)))
	}
}

// giveLeave lets those who wait give up when their contexts end. The caller holds the
// spool's mu.
func (g *group) giveLeave() {
	if g != nil && !g.answered && g.late == nil {
		g.late = make(chan struct{})
		close(g.news)
	}
}

// answer tells those who wait, once. The caller holds the spool's mu.
func (g *group) answer(err error) {
	if g.answered {
		return
	}
	g.answered, g.err = true, err
	if g.late != nil {
		close(g.late)
	} else {
		close(g.news)
	}
}

func retry(err error) error { return &beacon.RetryAfterError{After: retryAfter, Err: err} }

// A buffer holds the records of one part of a call.
type buffer struct {
	bytes  []byte
	ends   []int
	events []beacon.Event
}

// blockBytes is what calls with few bytes share in a group, and the largest buffer that is
// kept for the next call. One large event should not stay for ever.
const blockBytes = 64 << 10

var (
	buffers = sync.Pool{New: func() any { return new(buffer) }}
	blocks  = sync.Pool{New: func() any { return new([blockBytes]byte) }}
)

func newBuffer(claimed int64) *buffer {
	if claimed > blockBytes {
		return &buffer{bytes: make([]byte, 0, claimed)}
	}
	return buffers.Get().(*buffer)
}

func (b *buffer) release() {
	b.events = nil
	if b.bytes != nil && cap(b.bytes) <= blockBytes {
		b.bytes, b.ends = b.bytes[:0], b.ends[:0]
		buffers.Put(b)
	}
}

// encode appends the records of events, until they are enough for a part, and returns
// how many it has done. It keeps those that have a JSON form, in the slice that it was
// given.
func (b *buffer) encode(events []beacon.Event, first int, formless *failures) (n int) {
	kept := 0
	for i := range events {
		if len(b.bytes) >= partBytes {
			break
		}
		n++
		start := len(b.bytes)
		record, err := appendRecord(b.bytes, &events[i])
		if err != nil {
			formless.add(first+i, fmt.Errorf("spool: event %q: %w: %w", events[i].ID, beacon.ErrPermanent, err))
			b.bytes = b.bytes[:start]
			continue
		}
		b.bytes = record
		b.ends = append(b.ends, len(b.bytes))
		if kept != i {
			events[kept] = events[i]
		}
		kept++
	}
	clear(events[kept:n])
	b.events = events[:kept:kept]
	return n
}

func appendRecord(b []byte, e *beacon.Event) ([]byte, error) {
	start := len(b)
	record, err := e.AppendJSON(openFrame(b))
	if err == nil {
		err = closeFrame(record, start)
	}
	return record, err
}

// failures are the events of a call that have no JSON form.
type failures struct {
	failed []int
	why    error // of the first of them
}

func (f *failures) add(i int, err error) {
	f.failed = append(f.failed, i)
	if f.why == nil {
		f.why = err
	}
}

// error is what Consume returns when the others of n events were stored.
func (f *failures) error(n int) error {
	if len(f.failed) == 0 || n == 1 {
		return f.why
	}
	return &beacon.PartialError{Failed: f.failed, Err: f.why}
}

// with is what Consume returns when nothing of its n events was stored from first on.
func (f *failures) with(first, n int, err error) error {
	if first == 0 {
		return err
	}
	rest := make([]int, 0, n-first)
	for i := first; i < n; i++ {
		rest = append(rest, i)
	}
	return beacon.JoinErrors(f.error(n), &beacon.PartialError{Failed: rest, Err: err})
}
