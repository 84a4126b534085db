package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Purged says what [Purge] removed.
type Purged struct {
	Files int
	Bytes int64 // of them; a file that is allocated in advance takes more of the disk
}

// Purge removes files of a spool that were last written before a time, or all if that is
// zero: those of dead letters ([StateDead]), those of what did not pass its checksum
// ([StateDamaged]), and the events that wait ([StatePending]), as the states name.
//
// A spool may have the directory open, except for the events: then the error is
// [ErrLocked]. Of dead letters the newest file, which it may be writing to, stays in that
// case.
func Purge(dir string, before time.Time, states ...State) (done Purged, err error) {
	suffixes := map[string]bool{}
	for _, s := range states {
		switch s {
		case StateDead:
			suffixes[deadSuffix] = true
		case StateDamaged:
			suffixes[badSuffix] = true
		case StatePending:
			suffixes[dataSuffix] = true
		default:
			return done, fmt.Errorf("spool: cannot purge what is %q", s)
		}
	}
	files, unlock, err := lockDir(dir)
	open := errors.Is(err, ErrLocked)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, unlock()) }()
	case !open || suffixes[dataSuffix]:
		return done, err
	default:
		files = dirFS(dir)
	}
	if done, err = purge(dir, files, before, suffixes, open); err != nil {
		return done, fmt.Errorf("spool: %w", err)
	}
	return done, nil
}

func purge(dir string, files fsys, before time.Time, suffixes map[string]bool, open bool) (done Purged, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return done, err
	}
	newest := uint64(0)
	for _, e := range entries {
		if seq, suffix, ok := parseName(e.Name()); ok && suffix == deadSuffix {
			newest = max(newest, seq)
		}
	}
	var gone []fs.FileInfo
	first, last := uint64(0), uint64(0) // segments: the first that stays, the last there is
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone since, or not a spool's
		}
		seq, suffix, ok := parseName(e.Name())
		if !ok {
			continue
		}
		last = max(last, seq)
		switch {
		case suffixes[suffix] && (before.IsZero() || info.ModTime().Before(before)) && !(open && suffix == deadSuffix && seq == newest):
			gone = append(gone, info)
		case suffix == dataSuffix && first == 0:
			first = seq // they are sorted
		}
	}
	if suffixes[dataSuffix] {
		if first == 0 {
			first = last + 1
		}
		if err := passTo(files, position{first, 0}); err != nil {
			return done, err
		}
	}
	for _, info := range gone {
		if err := files.remove(info.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return done, err
		}
		done.Files++
		done.Bytes += info.Size()
	}
	return done, files.sync()
}

// passTo moves the cursor on: what is before at does not wait any more, and its numbers
// are not used again.
func passTo(files fsys, at position) error {
	c, err := storedCursor(files)
	if err != nil || !c.at.before(at) {
		return err
	}
	f, err := files.openRW(cursorName)
	if err != nil {
		return err
	}
	c.count++
	c.at = at
	_, err = f.WriteAt(c.append(nil), c.slot())
	if err == nil {
		err = f.sync()
	}
	return errors.Join(err, f.Close())
}
