package spool

import (
	"context"
	"fmt"
	"slices"

	"github.com/pagebeacon/beacon"
)

// A claim is a call that waits for memory: until what was encoded before it is on disk.
type claim struct {
	bytes int64
	ready chan error // has the answer, once
}

// claim reserves memory for events that are about to be encoded. What is larger than the
// bound has to be alone.
func (s *Spool) claim(ctx context.Context, n int64) error {
	s.mu.Lock()
	if err := s.unable(); err != nil {
		s.mu.Unlock()
		return err
	}
	if err := s.checkRoom(frameSize + minRecord); err != nil {
		s.mu.Unlock()
		return err
	}
	if len(s.claims) == 0 && s.fits(n) {
		s.held += n
		s.mu.Unlock()
		return nil
	}
	c := &claim{n, make(chan error, 1)}
	s.claims = append(s.claims, c)
	s.mu.Unlock()

	select {
	case err := <-c.ready:
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.claims, c)
	if i < 0 {
		return <-c.ready // which came at the same time
	}
	s.claims = slices.Delete(s.claims, i, i+1)
	s.grant() // it may have stood in the way
	return retry(fmt.Errorf("spool: no memory before the disk is done: %w", context.Cause(ctx)))
}

func (s *Spool) fits(n int64) bool { return s.held == 0 || s.held+n <= s.opts.MemoryBytes }

// release gives memory back.
func (s *Spool) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(n)
}

func (s *Spool) releaseLocked(n int64) {
	s.held -= n
	s.grant()
}

// grant serves those who wait, in the order in which they came: a large call would never
// have its turn otherwise.
func (s *Spool) grant() {
	for len(s.claims) > 0 && s.fits(s.claims[0].bytes) {
		c := s.claims[0]
		s.claims = slices.Delete(s.claims, 0, 1)
		s.held += c.bytes
		c.ready <- nil
	}
}

// refuseClaims sends those who wait away.
func (s *Spool) refuseClaims(err error) {
	for _, c := range s.claims {
		c.ready <- err
	}
	s.claims = nil
}

// tooLarge says whether a call could not be stored even if it had the spool for itself. To
// know that takes encoding it, one event after the other; to see that it is small does not.
func (s *Spool) tooLarge(events []beacon.Event) bool {
	const most = 16 // times its size in memory an event becomes when it is encoded
	var size int64
	for i := range events {
		size += most * int64(events[i].Size())
	}
	if size <= s.opts.MaxBytes {
		return false
	}
	var b []byte
	size = headerSize
	for i := range events {
		if record, err := appendRecord(b[:0], &events[i]); err == nil {
			b, size = record, size+int64(len(record))
		}
	}
	return size > s.opts.MaxBytes
}
