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

// letterRoom is what a dead letter takes besides its event, at most.
const letterRoom = 8 << 10

// makeReserve sees to it that there is a reserve, which has room for the dead letter of an
// event of so many bytes, or a quarter of MaxDeadBytes; nothing is accepted without. It is
// called by the goroutine of the commits, and before that runs.
func (s *Spool) makeReserve(largest int64) error {
	size := s.dead.room
	if largest > size/2 {
		size = max(size, min(headerSize+largest+letterRoom, s.opts.MaxDeadBytes/4))
	}
	for {
		has := s.reserved.Load()
		if has >= size {
			return nil
		}
		if err := s.fillReserve(has, size); err != nil {
			err = fmt.Errorf("reserve: %w", err)
			s.diskFailed(err)
			return err
		}
		if s.reserved.CompareAndSwap(has, size) {
			return nil
		} // it was used meanwhile, and is longer than whoever has it knows
	}
}

// fillReserve makes the reserve, or a larger one of that which is there.
func (s *Spool) fillReserve(has, size int64) (err error) {
	var f file
	if has > 0 {
		f, err = s.fs.openRW(reserveName)
	} else {
		// One that is there is of another size, or was left half made.
		if err := s.fs.remove(reserveName); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err = s.fs.create(reserveName, size)
	}
	if err != nil {
		return err
	}
	// Zeros take room on all file systems.
	zeros := make([]byte, min(size, blockBytes))
	for off := has; off < size && err == nil; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
	}
	if err == nil {
		err = f.sync()
	}
	if err != nil && has > 0 {
		return errors.Join(err, f.Truncate(has), f.Close())
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
	if size > s.reserved.Load() {
		return nil, errNoSpace
	}
	err := s.fs.rename(reserveName, name)
	s.reserved.Store(0) // not before: the commits would make another in its place
	if err != nil {
		return nil, err
	}
	return s.fs.openRW(name)
}
