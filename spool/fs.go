package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// fsys is what a spool needs of a file system. It is an interface so that tests
// can record every operation and crash between any two of them.
type fsys interface {
	create(name string, size int64) (file, error) // exclusively, with size bytes allocated if possible
	openRW(name string) (file, error)             // created if need be
	open(name string) (file, error)               // for reading
	remove(name string) error
	link(from, to string) error
	rename(from, to string) error
	list() ([]entry, error)
	sync() error         // of the directory: makes creating, removing, linking and renaming durable
	intact(f file) error // ErrLost if the directory, its lock or f is not what it was, as far as that is known
	free() int64         // bytes of the volume that are left; -1 if that is not known
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	sync() error // of data and size
	size() (int64, error)
}

type entry struct {
	name string
	size int64
}

// dirFS is a directory of the operating system. It follows no symbolic links in it, since
// others may be able to make some.
type dirFS string

func (d dirFS) path(name string) string { return filepath.Join(string(d), name) }

func (d dirFS) create(name string, size int64) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		if err := allocate(f, size); err != nil {
			return nil, errors.Join(err, f.Close(), d.remove(name))
		}
	}
	return osFile{f}, nil
}

func (d dirFS) openRW(name string) (file, error) { return d.openFile(name, os.O_RDWR|os.O_CREATE) }
func (d dirFS) open(name string) (file, error)   { return d.openFile(name, os.O_RDONLY) }

func (d dirFS) openFile(name string, flags int) (file, error) {
	f, err := openNoLink(d.path(name), flags)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// openNoLink opens a file unless its name is a symbolic link.
func openNoLink(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|noFollow, 0o600)
	if err != nil {
		if info, lerr := os.Lstat(path); lerr == nil && info.Mode()&os.ModeSymlink != 0 {
			err = fmt.Errorf("%s is a symbolic link, which a spool does not follow", path)
		}
		return nil, err
	}
	return f, nil
}

func (d dirFS) remove(name string) error     { return os.Remove(d.path(name)) }
func (d dirFS) link(from, to string) error   { return os.Link(d.path(from), d.path(to)) }
func (d dirFS) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d dirFS) sync() error       { return syncDir(string(d)) }
func (d dirFS) intact(file) error { return nil } // what is not held open cannot change
func (d dirFS) free() int64       { return -1 }

func (d dirFS) list() ([]entry, error) {
	dir, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, e := range dir {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			entries = append(entries, entry{e.Name(), info.Size()})
		}
	}
	return entries, nil
}

type osFile struct{ *os.File }

func (f osFile) sync() error { return syncData(f.File) }

func (f osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
