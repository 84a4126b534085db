package spool

import (
	"errors"
	"os"
	"syscall"
)

// allocate reserves the blocks, so that a sync need not wait for the file system
// to find some, and a full disk shows before an event was taken. Where it does not go for
// another reason the file grows as it is written.
func allocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case noSpace(err), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// syncData is fsync without the time stamps, which cost a write to the journal.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		return nil
	}
}
