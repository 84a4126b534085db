package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// spareFiles is how many files a spool may have open besides its directory, lock and
// cursor: a segment to write, one of dead letters, and one to read.
const spareFiles = 3

// An openDir is a directory that is held open, so that what a running spool does in it
// takes as few descriptors as possible: a host that was flooded may have none left.
type openDir struct {
	dirFS
	dir    *os.File
	lock   os.FileInfo
	unlock func() error

	mu     sync.Mutex
	spares []io.Closer // descriptors to give up for files
	closed bool
}

func newOpenDir(path string) (*openDir, error) {
	d := &openDir{dirFS: dirFS(path)}
	var err error
	if d.unlock, err = lock(d.path(lockName)); err != nil {
		return nil, err
	}
	if d.lock, err = os.Lstat(d.path(lockName)); err == nil {
		d.dir, err = os.Open(path)
	}
	if err != nil {
		return nil, errors.Join(err, d.unlock())
	}
	d.keepSpares()
	return d, nil
}

func (d *openDir) create(name string, size int64) (file, error) {
	return d.withSpare(func() (file, error) { return d.dirFS.create(name, size) })
}

func (d *openDir) openRW(name string) (file, error) {
	return d.withSpare(func() (file, error) { return d.dirFS.openRW(name) })
}

func (d *openDir) open(name string) (file, error) {
	return d.withSpare(func() (file, error) { return d.dirFS.open(name) })
}

func (d *openDir) list() ([]entry, error) {
	entries, err := d.dirFS.list()
	for outOfDescriptors(err) && d.giveSpare() {
		entries, err = d.dirFS.list()
	}
	d.keepSpares()
	return entries, err
}

// What has the name of one of its files is that of another spool if the directory was
// replaced: it is not touched then.

func (d *openDir) remove(name string) error {
	if err := d.here(); err != nil {
		return err
	}
	return d.dirFS.remove(name)
}

func (d *openDir) link(from, to string) error {
	if err := d.here(); err != nil {
		return err
	}
	return d.dirFS.link(from, to)
}

func (d *openDir) rename(from, to string) error {
	if err := d.here(); err != nil {
		return err
	}
	return d.dirFS.rename(from, to)
}

// here looks at the lock by its name, which tells whether the directory was removed, moved
// or replaced, too.
func (d *openDir) here() error {
	info, err := os.Lstat(d.path(lockName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: its lock is gone", ErrLost)
	case err == nil && !os.SameFile(info, d.lock):
		return fmt.Errorf("%w: its lock is another file", ErrLost)
	}
	return nil
}

// withSpare opens a file, with a spare descriptor if there is no other.
func (d *openDir) withSpare(open func() (file, error)) (file, error) {
	f, err := open()
	for outOfDescriptors(err) && d.giveSpare() {
		f, err = open()
	}
	if err != nil {
		return nil, err
	}
	d.keepSpares()
	return spareFile{f, d}, nil
}

func (d *openDir) giveSpare() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.spares)
	if n == 0 {
		return false
	}
	_ = d.spares[n-1].Close() // it was only held
	d.spares = d.spares[:n-1]
	return true
}

// keepSpares replaces the spare descriptors that were given up. If there are none left the
// next file that is closed makes room for one.
func (d *openDir) keepSpares() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.spares) < spareFiles && !d.closed {
		f, err := os.Open(string(d.dirFS))
		if err != nil {
			return
		}
		d.spares = append(d.spares, f)
	}
}

// A spareFile is a file whose descriptor becomes a spare one, if one is missing.
type spareFile struct {
	file
	d *openDir
}

func (f spareFile) Close() error {
	err := f.file.Close()
	f.d.keepSpares()
	return err
}

func (d *openDir) sync() error { return syncOpenDir(d.dir) }

func (d *openDir) free() int64 { return freeSpace(d.dir) }

// close lets go of the directory, and releases its lock.
func (d *openDir) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	for d.giveSpare() {
	}
	return errors.Join(d.dir.Close(), d.unlock())
}
