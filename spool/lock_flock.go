//go:build unix && !aix && (!solaris || illumos)

package spool

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the directory for this process. The lock goes with the process,
// however that ends.
func lock(name string) (unlock func() error, err error) {
	f, err := openNoLink(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
