package spool

import (
	"errors"
	"fmt"
	"os"
)

// reserveName is a file that keeps room for dead letters. On a full volume an event that
// the next sink does not take could not be buried otherwise, delivery would stand, and
// nothing would ever make room again.
const reserveName = "reserve"

// makeReserve sees to it that there is a reserve; nothing is accepted without. It is
// called by the goroutine of the commits, and before that runs.
func (s *Spool) makeReserve() error {
	if s.reserved.Load() {
		return nil
	}
	if err := s.fillReserve(); err != nil {
		err = fmt.Errorf("reserve: %w", err)
		s.diskFailed(err)
		return err
	}
	s.reserved.Store(true)
	return nil
}

func (s *Spool) fillReserve() error {
	// One that is there is of another size, or was left half made.
	if err := s.fs.remove(reserveName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	size := s.dead.room
	f, err := s.fs.create(reserveName, size)
	if err != nil {
		return err
	}
	// Zeros take room on all file systems.
	zeros := make([]byte, min(size, blockBytes))
	for off := int64(0); off < size && err == nil; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
	}
	if err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, s.fs.remove(reserveName))
	}
	return nil
}

// useReserve makes the reserve the next segment of dead letters, where there is no room
// for one. The commits make another before they take more events. It is called by the
// goroutine of the delivery.
func (s *Spool) useReserve(name string, size int64) (file, error) {
	if size > s.dead.room || !s.reserved.Load() {
		return nil, errNoSpace
	}
	err := s.fs.rename(reserveName, name)
	s.reserved.Store(false) // not before: the commits would make another in its place
	if err != nil {
		return nil, err
	}
	return s.fs.openRW(name)
}
