package spool

import (
	"runtime"
	"time"
)

// commits is the goroutine that writes the groups, and the only one that uses the log. So
// a disk that hangs holds up this one, and nobody else.
func (s *Spool) commits() {
	defer close(s.written)
	s.patience = time.NewTimer(time.Hour)
	defer s.patience.Stop()
	var tick <-chan time.Time
	if s.opts.Sync.mode == syncInterval {
		t := time.NewTicker(s.opts.Sync.every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-tick: // also if there is always another group
			_ = s.syncNow() // it is logged, and what Healthy says
		default:
		}
		if g := s.nextGroup(); g != nil {
			s.commit(g)
			continue
		}
		s.mu.Lock()
		closed := s.closed && s.open == nil
		s.mu.Unlock()
		if closed {
			s.writeErr = s.syncNow()
			return
		}
		select {
		case <-s.work:
		case <-tick:
			_ = s.syncNow()
		}
	}
}

// nextGroup returns the group that was gathering, or nil if there is none.
func (s *Spool) nextGroup() *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil
	}
	s.linger(s.open)
	g := s.open
	s.open, s.writing = nil, g
	return g
}

// commit writes a group and answers those who wait for it.
func (s *Spool) commit(g *group) {
	var start, end position
	took, err := s.watch(func() (err error) {
		if err = s.makeReserve(g.largest); err == nil {
			start, end, err = s.log.append(g.parts...)
		}
		if err == nil {
			err = s.stillThere()
		}
		return err
	})
	if len(g.calls) > 0 {
		s.calls, s.took = len(g.calls), took
	}
	if s.alone++; len(g.calls) > 1 {
		s.alone = 0
	}
	g.letGo()

	s.mu.Lock()
	s.writing = nil
	s.onWay -= g.size
	switch {
	case err != nil:
		g.answer(retry(err))
	case len(g.ends) > 0:
		s.syncs.add(time.Now(), took)
		s.used += g.size
		s.stats.Stored += uint64(len(g.ends))
		s.counts[end.segment] += int64(len(g.ends))
		s.tail.add(g, s.committed, start, s.opts.MemoryBytes)
		s.committed = end
	}
	g.answer(nil)
	s.releaseLocked(g.weight)
	full := s.fullSince
	// At the brim it is full and not full with every event.
	again := !full.IsZero() && s.used <= s.opts.MaxBytes-s.opts.MaxBytes/16
	if again {
		s.fullSince = time.Time{}
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if again {
		s.logger.Info("spool: no longer full", "after", time.Since(full))
	}
}

// syncNow syncs what was written since the last sync, if there is something.
func (s *Spool) syncNow() error {
	if s.log.f == nil || !s.log.dirty {
		return nil
	}
	took, err := s.watch(s.log.flushOrAbandon)
	if err == nil {
		s.mu.Lock()
		s.syncs.add(time.Now(), took)
		s.mu.Unlock()
	}
	return err
}

// How long a group waits for more calls: a few times what a sync takes, since that
// is what waiting saves, and never so long that anybody would notice.
const (
	lingerSyncs = 8
	maxLinger   = 5 * time.Millisecond
)

// linger waits for as many calls as the last group had. Callers that were released
// together come back one by one, and the first of them would otherwise pay for a
// sync of its own. A caller that is alone does not wait. It is called under mu, and
// unlocks that while it waits.
func (s *Spool) linger(g *group) {
	if s.opts.Sync.mode != syncAlways {
		s.yield()
		return
	}
	if s.calls < 2 || len(g.calls) == 0 || len(g.calls) >= s.calls {
		return
	}
	g.want, g.full = s.calls, make(chan struct{})
	s.mu.Unlock()
	defer s.mu.Lock()
	s.patience.Reset(min(lingerSyncs*s.took, maxLinger))
	select {
	case <-g.full:
		s.patience.Stop()
	case <-s.patience.C:
	}
}

// lookEvery is how many groups of one call it takes for a caller to be alone, and then
// until others are looked for again.
const lookEvery = 16

// yield lets those go first who could run now, and are often about to call: nobody is
// waited for, as a write without a sync takes no longer than a call. Else the first caller
// would be served at once, and all of them one by one, each with a write and a delivery. It
// is called under mu, and unlocks that meanwhile.
func (s *Spool) yield() {
	if s.alone >= lookEvery && s.alone%lookEvery != 0 {
		return
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	runtime.Gosched()
}
