package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// Open opens the spool in a directory, which it makes if need be, and begins to
// deliver what is in it to next. The directory must be on a local file system and
// belong to this spool alone; a relative name is one in the working directory of now.
//
// The error is [ErrLocked] if the directory is in use, and after [Options.LockWait]
// still is. It is [errors.ErrUnsupported]
// where files cannot be locked, which is everywhere but on Unix and Windows. Otherwise
// it is that of an option that makes no sense, of the disk, or of a file of a version
// that this program does not know.
//
// The files hold what visitors sent. Only the user that the process runs as can
// read them. A directory that others may write to is told to the Logger, and so is, on
// Linux, a file system that keeps nothing or is not local, such as tmpfs or NFS. Symbolic
// links in the directory are not followed.
func Open(dir string, next beacon.Sink, o Options) (*Spool, error) {
	if next == nil {
		return nil, errors.New("spool: next is nil")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil { // the working directory may change
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	fs, err := waitForDir(dir, o)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	fs.warn(o.Logger)
	s, err := start(fs, next, o)
	if err != nil {
		return nil, errors.Join(err, fs.close())
	}
	s.unlock = fs.close
	return s, nil
}

// waitForDir opens the directory when whoever has it lets it go. The kernel would wait with
// a lock, too, but not for a time.
func waitForDir(dir string, o Options) (*openDir, error) {
	for begin, told := time.Now(), false; ; time.Sleep(100 * time.Millisecond) {
		fs, err := newOpenDir(dir)
		if !errors.Is(err, ErrLocked) || time.Since(begin) >= o.LockWait {
			return fs, err
		}
		if !told {
			told = true
			o.Logger.Info("spool: waiting for the process that has the directory", "dir", dir, "up to", o.LockWait)
		}
	}
}

// warn says what is wrong with the place.
func (d *openDir) warn(logger *slog.Logger) {
	if name := volatileVolume(d.dir); name != "" {
		logger.Warn("spool: events are no safer than this file system", "dir", string(d.dirFS), "file system", name)
	}
	if info, err := d.dir.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		logger.Warn("spool: others may write to the directory", "dir", string(d.dirFS), "mode", info.Mode().Perm().String())
	}
}

// makeDir makes a directory that is still there after a power cut. Its name is
// absolute.
func makeDir(dir string) error {
	var parents []string // of what is missing
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
			break // there, or MkdirAll will say what is wrong
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(p); err != nil {
			return err
		}
	}
	return nil
}

// load reads the directory and the cursor.
func (s *Spool) load() error {
	entries, err := s.fs.list()
	if err != nil {
		return err
	}
	if s.cursorFile, err = s.fs.openRW(cursorName); err != nil {
		return err
	}
	var damaged bool
	if s.cursor, damaged, err = readCursor(s.cursorFile); err != nil {
		return err
	}
	if damaged {
		s.logger.Error("spool: the cursor is damaged; events may be delivered again")
		s.stats.Damaged++
	}
	s.settled = s.cursor.at
	s.number = max(s.settled.segment, s.cursor.number)
	for _, e := range entries {
		if e.name == reserveName && e.size >= s.dead.room {
			s.reserved.Store(e.size)
		}
		seq, suffix, ok := parseName(e.name)
		if !ok {
			continue
		}
		s.number = max(s.number, seq)
		if suffix != dataSuffix {
			if err := s.keep(e, suffix); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			continue
		}
		if seq < s.settled.segment { // delivered, and then the crash undid its removal
			if err := s.fs.remove(e.name); err != nil {
				return err
			}
			continue
		}
		size, err := s.trim(e.name, e.size)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		s.segments = append(s.segments, seq)
		s.limits[seq] = size
		s.crashed[seq] = size < e.size
		s.used += size
	}
	slices.Sort(s.segments)
	s.committed = s.settled
	if n := len(s.segments); n > 0 {
		last := s.segments[n-1]
		s.committed = position{last, s.limits[last]}
	}
	s.tail.read = s.settled
	s.boundKept()
	_, _ = s.watch(func() error { return s.makeReserve(0) }) // without it no events are taken, but those that are there are delivered
	s.sample()
	if bytes, events := s.pending(); bytes > 0 {
		s.logger.Info("spool: backlog", "bytes", bytes, "events", events, "segments", len(s.segments), "oldest", s.head)
	}
	return nil
}

// keep counts a file that is kept, without what a crash left of its space.
func (s *Spool) keep(e entry, suffix string) error {
	size := e.size
	if suffix == deadSuffix {
		var err error
		if size, err = s.trim(e.name, e.size); err != nil && !errors.Is(err, errVersion) {
			return err
		}
		if size <= headerSize {
			return s.fs.remove(e.name)
		}
	}
	s.kept[e.name] = size
	return nil
}

// sample reads the first records of what an earlier run left, to know when the oldest came
// and how large they are. An error is for the delivery to meet.
func (s *Spool) sample() {
	s.recordBytes = 512 // more or less
	if len(s.segments) == 0 {
		return
	}
	seq := s.segments[0]
	f, err := s.fs.open(segmentName(seq, dataSuffix))
	if err != nil {
		return
	}
	defer f.Close()
	from := int64(0)
	if seq == s.settled.segment {
		from = s.settled.offset
	}
	scan := newScanner(f, seq, from, min(s.limits[seq], from+scanWindow))
	records, bytes := int64(0), int64(0)
	for {
		payload, _, err := scan.next()
		if err != nil {
			break
		}
		if payload == nil {
			continue
		}
		var e beacon.Event
		if records == 0 && e.UnmarshalJSON(payload) == nil {
			s.head = e.Received
		}
		records, bytes = records+1, bytes+int64(frameSize+len(payload))
	}
	if records > 0 {
		s.recordBytes = bytes / records
	}
}

// trim cuts off what a segment of a run that crashed has allocated but not
// written, and returns the size of the rest: the zeros take space that new events
// need. It leaves alone a version that it does not know.
func (s *Spool) trim(name string, size int64) (int64, error) {
	f, err := s.fs.openRW(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var header [headerSize]byte
	if n, err := f.ReadAt(header[:], 0); n == headerSize {
		if err := checkHeader(header[:], 0); errors.Is(err, errVersion) {
			return size, err
		}
	} else if err != nil && !errors.Is(err, io.EOF) {
		return size, nil // the reader will deal with it
	}
	end := size
	buf := make([]byte, min(size, scanWindow))
	for end > headerSize { // which may itself end with zeros
		b := buf[:min(end-headerSize, int64(len(buf)))]
		if _, err := f.ReadAt(b, end-int64(len(b))); err != nil {
			return size, nil
		}
		rest := bytes.TrimRight(b, "\x00")
		end -= int64(len(b) - len(rest))
		if len(rest) > 0 {
			break
		}
	}
	if end == size {
		return size, nil
	}
	return end, f.Truncate(end)
}
