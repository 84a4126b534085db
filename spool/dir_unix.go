//go:build unix

package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// syncDir makes what was made in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(syncOpenDir(d), d.Close())
}

func syncOpenDir(d *os.File) error { return d.Sync() }

// intact looks at the lock, and whether the file still has a name.
func (d *openDir) intact(f file) error {
	if err := d.here(); err != nil {
		return err
	}
	info, err := f.(spareFile).file.(osFile).Stat()
	if err != nil {
		return nil // the next write will tell
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return fmt.Errorf("%w: the current segment was removed", ErrLost)
	}
	return nil
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
