//go:build unix

package spool

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
)

// held are the lock files of this process that have a lock of fcntl.
var held struct {
	mu    sync.Mutex
	files []os.FileInfo
}

// fcntlLock is for systems without flock. A lock of fcntl belongs to the process, not
// to the open file: it does not keep the process from taking it twice, and goes when any
// file descriptor of the file is closed. So a file that is locked must not even be opened.
func fcntlLock(name string) (unlock func() error, err error) {
	held.mu.Lock()
	defer held.mu.Unlock()
	if info, err := os.Stat(name); err == nil && slices.ContainsFunc(held.files, func(h os.FileInfo) bool { return os.SameFile(h, info) }) {
		return nil, ErrLocked
	}
	f, err := openNoLink(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
	}
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	held.files = append(held.files, info)
	return func() error {
		held.mu.Lock()
		defer held.mu.Unlock()
		held.files = slices.DeleteFunc(held.files, func(h os.FileInfo) bool { return os.SameFile(h, info) })
		return f.Close()
	}, nil
}
