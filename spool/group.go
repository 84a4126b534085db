package spool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
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

// Consume stores the events and returns when they are safe, as [Options.Sync] has
// it. They are then delivered however long that takes. An error means that they
// were not taken, and is temporary: a [*beacon.RetryAfterError] with [ErrFull] or what
// the disk said, or [ErrClosed]. The exception are events without a JSON form, such as
// of a time after the year 9999, which are refused for good: the error is a
// [*beacon.PartialError] if there are others, which are taken.
//
// Concurrent calls share a write and a sync. Among many, a call may wait up to 5 ms
// for others to join it.
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
	events, formless := buf.encode(events)
	if len(events) == 0 {
		return formless
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
	if g.err != nil {
		return g.err
	}
	return formless
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

// How long a group waits for more calls: a few times what a sync takes, since that
// is what waiting saves, and never so long that anybody would notice.
const (
	lingerSyncs = 8
	maxLinger   = 5 * time.Millisecond
)

// linger waits for as many calls as the last group had. Callers that were released
// together come back one by one, and the first of them would otherwise pay for a
// sync of its own. A caller that is alone does not wait.
func (s *Spool) linger(g *group) {
	if s.opts.Sync.mode != syncAlways || s.calls < 2 {
		return
	}
	s.mu.Lock()
	if len(g.calls) >= s.calls {
		s.mu.Unlock()
		return
	}
	g.want, g.full = s.calls, make(chan struct{})
	s.mu.Unlock()
	t := time.NewTimer(min(lingerSyncs*s.took, maxLinger))
	defer t.Stop()
	select {
	case <-g.full:
	case <-t.C:
	}
}

// syncEvery is the goroutine of the mode [Interval].
func (s *Spool) syncEvery() {
	tick := time.NewTicker(s.opts.Sync.every)
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

// encode appends the records of events, which it owns, and returns the events that have
// one. The error is about the others.
func (b *buffer) encode(events []beacon.Event) ([]beacon.Event, error) {
	var failed []int
	var why error
	kept := 0
	for i := range events {
		start := len(b.bytes)
		record, err := events[i].AppendJSON(openFrame(b.bytes))
		if err == nil {
			err = closeFrame(record, start)
		}
		if err != nil {
			failed = append(failed, i)
			if why == nil {
				why = fmt.Errorf("spool: event %q: %w: %w", events[i].ID, beacon.ErrPermanent, err)
			}
			continue
		}
		b.bytes = record
		b.ends = append(b.ends, len(b.bytes))
		if kept != i {
			events[kept] = events[i]
		}
		kept++
	}
	if failed == nil {
		return events, nil
	}
	if len(events) > 1 {
		why = &beacon.PartialError{Failed: failed, Err: why}
	}
	clear(events[kept:])
	return events[:kept], why
}
