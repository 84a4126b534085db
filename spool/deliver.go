package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pagebeacon/beacon/internal/delivery"
)

// deliver is the goroutine that brings the events to the next sink.
func (s *Spool) deliver(ctx context.Context) {
	b := &backlog{s: s}
	defer b.closeFile()
	defer func() { s.deadLog.tell(s) }()
	report := reporter{s: s}
	for tries := 0; ; {
		s.courier.Crowd(s.crowded())
		wait, err := time.Duration(0), b.fill()
		s.holds(s.courier.Oldest())
		if err != nil {
			s.diskFailed(err)
			s.notes(err, 0)
			wait = delivery.Backoff(delivery.RetryBase, delivery.RetryLimit, tries)
			tries++
		} else {
			tries = 0
		}
		if s.courier.Len() > 0 {
			p, again, err := s.courier.Try(ctx)
			s.delivered(p.Delivered)
			b.settle()
			report.outcome(err, p.Delivered)
			wait = max(wait, again)
		} else if err == nil {
			b.settle() // past what holds no events
			s.notes(nil, 0)
			if !s.idle(ctx) {
				return
			}
		}
		if ctx.Err() != nil || wait > 0 && !s.pause(ctx, wait) {
			return
		}
	}
}

// idle waits for something to deliver; false means that there will be nothing.
func (s *Spool) idle(ctx context.Context) bool {
	select {
	case <-s.wake:
		return true
	default:
	}
	select {
	case <-s.wake:
		return true
	case <-s.hurry:
		return true
	case <-s.lookAgain():
		s.deadLog.tell(s)
		s.recount()
		return true
	case <-s.draining:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tail.read.before(s.committed)
	case <-ctx.Done():
		return false
	}
}

// lookAgain returns when to look for files that somebody has removed, if there are any.
func (s *Spool) lookAgain() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return nil
	}
	return time.After(recountIdle)
}

// pause waits before the next attempt; false means that there should be none.
func (s *Spool) pause(ctx context.Context, d time.Duration) bool {
	var more <-chan struct{}
	if s.courier.Eager() {
		more = s.wake
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-more:
	case <-s.hurry:
		s.courier.Hurry()
	case <-s.draining:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

func (s *Spool) delivered(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Delivered += uint64(n)
}

// crowded says whether events that are set aside keep so many files that there may soon be
// no room for new ones.
func (s *Spool) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled.segment < s.tail.read.segment && s.used > s.opts.MaxBytes/2
}

// advance notes what is settled: everything before that position, and of what was read
// behind it all but some in the segments of keep. It removes the segments that hold
// nothing else.
func (s *Spool) advance(read, settled position, keep []uint64) {
	s.mu.Lock()
	if !s.settled.before(settled) && len(s.limits) == 0 {
		s.mu.Unlock()
		return
	}
	s.settled = settled
	if at, ok := s.firstLater(); ok && at.before(settled) {
		settled = at
	}
	done := s.takeSettled(read, keep)
	waiters := s.waiters[:0]
	for _, w := range s.waiters {
		if s.settled.before(w.until) {
			waiters = append(waiters, w)
		} else {
			close(w.reached)
		}
	}
	s.waiters = waiters
	number := s.number
	s.mu.Unlock()

	s.moveCursor(settled, number, len(done) > 0)
	for _, seq := range done {
		if err := s.fs.remove(segmentName(seq, dataSuffix)); err != nil {
			s.diskFailed(err)
		}
	}
}

// takeSettled takes the segments of the list that lie before read, and in which nothing is
// left. The lock is held.
func (s *Spool) takeSettled(read position, keep []uint64) (done []uint64) {
	s.segments = slices.DeleteFunc(s.segments, func(seq uint64) bool {
		limit, ended := s.limits[seq] // not while it is being written to
		_, later := s.later[seq]
		if !ended || later || read.before(position{seq, limit}) || slices.Contains(keep, seq) {
			return false
		}
		done = append(done, seq)
		s.used -= limit
		delete(s.limits, seq)
		delete(s.counts, seq)
		return true
	})
	return done
}

// cursorEvery is how often the cursor is synced. All that a stale one costs is that
// events are delivered again.
const cursorEvery = time.Second

func (s *Spool) moveCursor(at position, number uint64, sync bool) {
	if s.cursor.at == at && !sync {
		return
	}
	s.cursor.count++
	s.cursor.at, s.cursor.number = at, number
	_, err := s.cursorFile.WriteAt(s.cursor.append(nil), s.cursor.slot())
	if err == nil && s.opts.Sync.mode != syncNever && (sync || time.Since(s.cursorSync) >= cursorEvery) {
		err = s.cursorFile.sync()
		s.cursorSync = time.Now()
	}
	if err != nil {
		s.diskFailed(fmt.Errorf("cursor: %w", err))
	}
}

// A reporter logs failures to deliver, the first of a row and then one a minute.
type reporter struct {
	s      *Spool
	last   time.Time
	failed int
}

func (r *reporter) outcome(err error, delivered int) {
	stuck := err
	if stuck == nil {
		stuck = r.s.unburied
	}
	r.s.notes(stuck, delivered)
	switch {
	case err != nil:
		r.failed++
		r.s.mu.Lock()
		r.s.stats.SinkErrors++
		r.s.mu.Unlock()
		if time.Since(r.last) >= time.Minute {
			r.last = time.Now()
			r.s.logger.Error("spool: not delivered", "error", delivery.Printable(err.Error()), "failures", r.failed)
		}
	case delivered > 0 && r.failed > 0:
		r.s.logger.Info("spool: delivered again", "failures", r.failed)
		r.failed, r.last = 0, time.Time{}
	}
}

var errSinkHangs = errors.New("spool: the next sink does not return")

// nextHangs notes that a call of the next sink has not returned although its context is
// over, or that it has now.
func (s *Spool) nextHangs(hangs bool) {
	s.mu.Lock()
	since := s.hanging
	s.hanging = time.Time{}
	if hangs {
		s.hanging = time.Now()
	}
	s.mu.Unlock()
	if hangs {
		s.logger.Error("spool: the next sink does not return, and is given nothing else", "timeout", s.opts.Timeout)
	} else {
		s.logger.Info("spool: the next sink has returned", "late", time.Since(since))
	}
}
