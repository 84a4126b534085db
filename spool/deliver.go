package spool

import (
	"context"
	"fmt"
	"time"

	"github.com/pagebeacon/beacon/internal/delivery"
)

// deliver is the goroutine that brings the events to the next sink.
func (s *Spool) deliver(ctx context.Context) {
	b := &backlog{s: s}
	defer b.closeFile()
	report := reporter{s: s}
	for tries := 0; ; {
		wait, err := time.Duration(0), b.fill()
		s.holds(b.events)
		if err != nil {
			s.diskFailed(err)
			s.notes(err, 0)
			wait = delivery.Backoff(delivery.RetryBase, delivery.RetryLimit, tries)
			tries++
		} else if len(b.events) > 0 {
			tries = 0
			var p delivery.Progress
			p, wait, err = s.courier.Try(ctx, b.events, b.window())
			s.delivered(p.Delivered)
			b.settle(p.Settled)
			report.outcome(err, p.Delivered)
		} else if !s.idle(ctx) {
			return
		}
		if ctx.Err() != nil || err != nil && wait > 0 && !s.pause(ctx, wait) {
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
	case <-s.draining:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tail.read.before(s.committed)
	case <-ctx.Done():
		return false
	}
}

// pause waits before the next attempt; false means that there should be none.
func (s *Spool) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.draining:
		return false
	case <-ctx.Done():
		return false
	}
}

func (s *Spool) delivered(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Delivered += uint64(n)
}

// advance notes that everything before at is settled, and removes the segments
// that are.
func (s *Spool) advance(at position) {
	s.mu.Lock()
	if !s.settled.before(at) {
		s.mu.Unlock()
		return
	}
	s.settled = at
	var done []uint64
	for len(s.segments) > 0 {
		seq := s.segments[0]
		limit, ended := s.limits[seq] // not while it is being written to
		if !ended || at.before(position{seq, limit}) {
			break
		}
		done = append(done, seq)
		s.used -= limit
		delete(s.limits, seq)
		delete(s.counts, seq)
		s.segments = s.segments[1:]
	}
	waiters := s.waiters[:0]
	for _, w := range s.waiters {
		if at.before(w.until) {
			waiters = append(waiters, w)
		} else {
			close(w.reached)
		}
	}
	s.waiters = waiters
	s.mu.Unlock()

	s.moveCursor(at)
	for _, seq := range done {
		if err := s.fs.remove(segmentName(seq, dataSuffix)); err != nil {
			s.diskFailed(err)
		}
	}
}

// cursorEvery is how often the cursor is synced. All that a stale one costs is that
// events are delivered again.
const cursorEvery = time.Second

func (s *Spool) moveCursor(at position) {
	s.cursor.count++
	s.cursor.at = at
	_, err := s.cursorFile.WriteAt(s.cursor.append(nil), s.cursor.slot())
	if err == nil && s.opts.Sync.mode != syncNever && time.Since(s.cursorSync) >= cursorEvery {
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
	r.s.notes(err, delivered)
	switch {
	case err != nil:
		r.failed++
		r.s.mu.Lock()
		r.s.stats.SinkErrors++
		r.s.mu.Unlock()
		if time.Since(r.last) >= time.Minute {
			r.last = time.Now()
			r.s.logger.Error("spool: not delivered", "error", err, "failures", r.failed)
		}
	case delivered > 0 && r.failed > 0:
		r.s.logger.Info("spool: delivered again", "failures", r.failed)
		r.failed, r.last = 0, time.Time{}
	}
}
