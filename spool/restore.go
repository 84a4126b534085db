package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Restored says what [Replay] or [Salvage] did.
type Restored struct {
	Events int // put back into the queue
	Left   int // records and damaged places that stay where they were
}

// Replay puts dead letters back into the queue, behind what is there: those for which
// which is true, or all if it is nil. They come from the spool in the directory dir and go
// to that in the directory to, or back to dir if to is empty. A letter whose event this
// program cannot read stays. The bound [Options.MaxBytes] does not hold here.
//
// The files of both must belong to nobody else: Replay returns [ErrLocked] if a spool has
// one of them open, and so does Open meanwhile. An end of the process at any moment loses
// nothing; it may leave events in the queue and in the dead-letter file too, from where
// the next Replay brings them again, with the same ID.
func Replay(dir, to string, which func(Record) bool) (Restored, error) {
	return restore(dir, to, deadSuffix, which)
}

// Salvage is [Replay] for what did not pass its checksum: it takes out of those files
// the records that are intact for all that (see [StateAside]). Some of these may have been
// delivered: of a segment that could not be read in full, all was kept. While it still
// cannot, its file stays after this, too, and a second Salvage brings the same events again.
func Salvage(dir, to string, which func(Record) bool) (Restored, error) {
	return restore(dir, to, badSuffix, which)
}

func restore(dir, to, suffix string, which func(Record) bool) (done Restored, err error) {
	from, unlock, err := lockDir(dir)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r := restoring{from: from, to: from, suffix: suffix, which: which}
	if to != "" && !sameDir(dir, to) {
		target, unlock, err := lockDir(to)
		if err != nil {
			return done, err
		}
		defer func() { _ = unlock() }() // what was done under it is synced
		r.to = target
	}
	if which == nil {
		r.which = func(Record) bool { return true }
	}
	if err := r.files(); err != nil {
		return r.done, fmt.Errorf("spool: %w", err)
	}
	return r.done, nil
}

func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// lockDir locks the directory of a spool, which has to be one.
func lockDir(dir string) (fs fsys, unlock func() error, err error) {
	fs = dirFS(dir)
	entries, err := fs.list()
	if err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	if !slices.ContainsFunc(entries, func(e entry) bool {
		_, _, ok := parseName(e.name)
		return ok || e.name == lockName || e.name == cursorName
	}) {
		return nil, nil, fmt.Errorf("spool: %s is not the directory of a spool", dir)
	}
	if unlock, err = lock(filepath.Join(dir, lockName)); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return fs, unlock, nil
}

// nextFree is the number of the next segment of a directory that is locked.
func nextFree(fs fsys) (uint64, error) {
	entries, err := fs.list()
	if err != nil {
		return 0, err
	}
	at, err := storedCursor(fs)
	last := max(at.at.segment, at.number)
	for _, e := range entries {
		if seq, _, ok := parseName(e.name); ok {
			last = max(last, seq)
		}
	}
	return last + 1, err
}

func storedCursor(fs fsys) (c cursor, err error) {
	f, err := fs.open(cursorName)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	c, _, err = readCursor(f)
	return c, err
}

// A restoring is one run of restore.
type restoring struct {
	from, to fsys
	suffix   string
	which    func(Record) bool
	done     Restored
}

func (r *restoring) files() error {
	entries, err := r.from.list()
	if err != nil {
		return err
	}
	at := func(e entry) position {
		seq, _, _ := parseName(e.name)
		return position{seq, badOffset(e.name)}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		x, y := at(a), at(b)
		return cmp.Or(cmp.Compare(x.segment, y.segment), cmp.Compare(x.offset, y.offset), cmp.Compare(a.name, b.name))
	})
	for _, e := range entries {
		seq, suffix, ok := parseName(e.name)
		if !ok || suffix != r.suffix {
			continue
		}
		if err := r.file(e, seq); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// file restores what one file holds. It is removed when everything in it is safe
// elsewhere: what goes back in a new segment, and what stays in new files. One that
// cannot be read in full stays as it is.
func (r *restoring) file(e entry, seq uint64) error {
	f, err := r.from.open(e.name)
	if err != nil {
		return err
	}
	defer f.Close()
	var taken []bool
	events := 0
	whole, err := r.each(f, e, seq, func(rec Record) error {
		take := rec.Err == nil && r.which(rec)
		taken = append(taken, take)
		if take {
			events++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if events == 0 {
		r.done.Left += len(taken)
		return nil
	}
	back := &newSegment{fs: r.to, suffix: dataSuffix}
	rest := &newSegment{fs: r.from, suffix: deadSuffix}
	n := 0
	_, err = r.each(f, e, seq, func(rec Record) error {
		n++
		switch {
		case taken[n-1]:
			var compact bytes.Buffer // a reader that finds its way behind damage counts on it
			if err := json.Compact(&compact, rec.JSON); err != nil {
				return err
			}
			return back.append(compact.Bytes())
		case !whole:
			return nil // it stays in this file
		case rec.State == StateDead:
			payload := make([]byte, rec.Bytes-frameSize)
			if _, err := f.ReadAt(payload, rec.Offset+frameSize); err != nil && err != io.EOF {
				return err
			}
			return rest.append(payload)
		}
		return keepPart(r.from, f, seq, badOffset(e.name), rec)
	})
	err = errors.Join(err, back.end(err == nil), rest.end(err == nil))
	if err != nil {
		return err
	}
	r.done.Events += events
	r.done.Left += len(taken) - events
	if !whole {
		return nil
	}
	return errors.Join(r.from.remove(e.name), r.from.sync())
}

// each calls do for each record and damaged place of a file. Whole says whether all of
// it could be read.
func (r *restoring) each(f file, e entry, seq uint64, do func(Record) error) (whole bool, err error) {
	scan, base := scanFile(f, e, seq, r.suffix)
	read := reading{yield: func(rec Record, rerr error) bool {
		if err = rerr; err == nil {
			err = do(rec)
		}
		return err == nil
	}}
	read.records(scan, base, e.name, r.suffix)
	return !scan.unreadable, err
}

// keepPart makes a file of its own for a part of a file of a segment.
func keepPart(fs fsys, from io.ReaderAt, seq uint64, base int64, part Record) error {
	var f file
	var name string
	for try := range math.MaxInt {
		var err error
		name = badName(seq, base+part.Offset, try)
		if f, err = fs.create(name, 0); err == nil {
			break
		} else if !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	_, err := io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(from, part.Offset, part.Bytes))
	if err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fs.remove(name))
	}
	return fs.sync()
}

// A newSegment is a segment that is written at once, with whatever is appended. There is no
// file before the first record.
type newSegment struct {
	fs     fsys
	suffix string

	f   file
	seq uint64
	off int64
}

func (s *newSegment) append(payload []byte) error {
	if s.f == nil {
		var err error
		if s.seq, err = nextFree(s.fs); err != nil {
			return err
		}
		if s.f, err = s.fs.create(segmentName(s.seq, s.suffix), 0); err != nil {
			return err
		}
		if _, err := s.f.WriteAt(appendHeader(nil, s.seq), 0); err != nil {
			return err
		}
		s.off = headerSize
	}
	rec := append(openFrame(make([]byte, 0, frameSize+len(payload))), payload...)
	if err := closeFrame(rec, 0); err != nil {
		return err
	}
	seal(rec, s.seq)
	n, err := s.f.WriteAt(rec, s.off)
	s.off += int64(n)
	return err
}

// end makes the segment safe, or removes it if it is not to be kept.
func (s *newSegment) end(keep bool) error {
	if s.f == nil {
		return nil
	}
	var err error
	if keep {
		err = s.f.sync()
	}
	err = errors.Join(err, s.f.Close())
	if !keep || err != nil {
		return errors.Join(err, s.fs.remove(segmentName(s.seq, s.suffix)))
	}
	return s.fs.sync()
}
