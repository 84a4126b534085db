package spool

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// What is kept for somebody to look at, dead letters and damaged parts, has a bound of its
// own, [Options.MaxDeadBytes], and takes no room from events. It may be removed by anybody
// at any time.

// How often the directory is looked at for what was removed: when there is something to
// add, and when there is nothing to do.
const (
	recountEvery = time.Second
	recountIdle  = 10 * time.Second
)

// recount finds out what is left of the files that are kept.
func (s *Spool) recount() {
	if time.Since(s.counted) < recountEvery {
		return
	}
	s.counted = time.Now()
	entries, err := s.fs.list()
	if err != nil {
		s.diskFailed(err)
		return
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		sizes[e.name] = e.size
	}
	s.mu.Lock()
	maps.DeleteFunc(s.kept, func(name string, _ int64) bool { _, there := sizes[name]; return !there })
	_, there := s.kept[segmentName(s.dead.seq, deadSuffix)]
	s.mu.Unlock()
	if s.dead.f != nil && !there { // what is written to it would be gone with it
		if err := s.dead.f.Close(); err != nil {
			s.diskFailed(err)
		}
		s.dead.f = nil
	}
}

// boundKept removes the oldest files beyond MaxDeadBytes, but not the last one.
func (s *Spool) boundKept() {
	for {
		s.mu.Lock()
		dead, bad := s.keptBytes()
		s.mu.Unlock()
		if dead+bad <= s.opts.MaxDeadBytes || !s.dropOldest(deadSuffix, badSuffix) {
			return
		}
	}
}

// keptBytes returns the sizes of dead letters and of damaged parts. The lock is held.
func (s *Spool) keptBytes() (dead, bad int64) {
	for name, size := range s.kept {
		if strings.HasSuffix(name, deadSuffix) {
			dead += size
		} else {
			bad += size
		}
	}
	return dead, bad
}

// dropOldest removes the oldest file of these kinds, if there is one besides the last.
func (s *Spool) dropOldest(suffixes ...string) bool {
	s.mu.Lock()
	var names []string
	for name := range s.kept {
		if _, suffix, _ := parseName(name); slices.Contains(suffixes, suffix) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _, _ := parseName(a)
		y, _, _ := parseName(b)
		return cmp.Compare(x, y)
	})
	if len(names) < 2 {
		s.mu.Unlock()
		return false
	}
	name := names[0]
	size := s.kept[name]
	s.mu.Unlock()

	letters := s.countLetters(name, size)
	if err := s.fs.remove(name); err != nil {
		s.diskFailed(err) // and is not counted any more, or this would go on for ever
	}
	s.mu.Lock()
	delete(s.kept, name)
	s.stats.DeadDropped += letters
	s.mu.Unlock()
	s.logger.Error("spool: no room to keep more", "removed", name, "dead letters", letters, "bytes", size)
	return true
}

// countLetters returns how many dead letters are in a file.
func (s *Spool) countLetters(name string, size int64) (n uint64) {
	seq, suffix, _ := parseName(name)
	if suffix != deadSuffix {
		return 0
	}
	f, err := s.fs.open(name)
	if err != nil {
		return 0
	}
	defer f.Close() // it was only read
	for scan := newScanner(f, seq, 0, size); ; {
		payload, _, err := scan.next()
		if err != nil {
			return n
		}
		if payload != nil {
			n++
		}
	}
}
