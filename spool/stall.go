package spool

import (
	"errors"
	"fmt"
	"time"
)

// slowAfter is when those who wait for the disk begin to look at their contexts.
const slowAfter = 20 * time.Millisecond

// A running says what the goroutine of the commits waits for. It is used under mu.
type running struct {
	since   time.Time   // when it turned to the disk; zero if it does not wait for that
	slow    bool        // it has waited for slowAfter
	stalled bool        // it has waited for Options.DiskTimeout, and everybody was told
	timer   *time.Timer // calls late
}

// watch does something with the disk while a timer runs, and returns how long it took.
func (s *Spool) watch(disk func() error) (took time.Duration, err error) {
	s.mu.Lock()
	s.disk.since = time.Now()
	s.disk.timer.Reset(min(slowAfter, s.opts.DiskTimeout))
	s.mu.Unlock()

	err = disk()

	s.mu.Lock()
	s.disk.timer.Stop()
	now := time.Now()
	took = now.Sub(s.disk.since)
	stalled := s.disk.stalled
	s.disk.since, s.disk.slow, s.disk.stalled = time.Time{}, false, false
	if err != nil && !errors.Is(err, ErrLost) {
		err = fmt.Errorf("spool: %w", err)
	}
	s.failure, s.tried = err, now
	s.mu.Unlock()
	if stalled {
		s.logger.Info("spool: disk came back", "after", took)
	}
	return took, err
}

// late is called when the disk did not come back in time: first to tell those who wait
// that they may give up, and then to refuse everybody. The group that is being written
// may be stored all the same. The one that gathers is not.
func (s *Spool) late() {
	s.mu.Lock()
	d := &s.disk
	if d.since.IsZero() || d.stalled { // it came back just now
		s.mu.Unlock()
		return
	}
	d.slow = true
	for _, g := range []*group{s.writing, s.open} {
		g.giveLeave()
	}
	if left := s.opts.DiskTimeout - time.Since(d.since); left > 0 {
		d.timer.Reset(left)
		s.mu.Unlock()
		return
	}
	d.stalled = true
	since := d.since
	if g := s.writing; g != nil {
		g.answer(retry(fmt.Errorf("%w; the events may be stored all the same", ErrStalled)))
	}
	err := retry(ErrStalled)
	if g := s.open; g != nil {
		s.open = nil
		s.onWay -= g.size
		g.answer(err)
		g.letGo()
		s.releaseLocked(g.weight)
	}
	s.refuseClaims(err)
	s.mu.Unlock()
	s.logger.Error("spool: disk hangs", "since", since) // not under mu: its file may be on that disk
}
