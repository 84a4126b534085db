package spool

import (
	"errors"
	"fmt"
)

// A wal appends records to segments. It is not safe for concurrent use.
type wal struct {
	fs     fsys
	suffix string
	sync   syncMode
	room   int64         // of a segment
	ahead  bool          // zeros are written ahead of the records, see blankOut
	number func() uint64 // of the next segment
	opened func(seq uint64)
	sealed func(seq uint64, end int64) // no more will be written to it; end is 0 if it is gone
	failed func(error)

	// reserve gives a file where there is no room for another; nil if there is no reserve.
	reserve func(name string, size int64) (file, error)

	f     file
	seq   uint64
	off   int64 // where the next record goes; everything before it was written, and synced if that is the mode
	limit int64 // how much is allocated
	blank int64 // up to where zeros were written, see blankOut
	dirty bool  // written since the last sync
	lost  bool  // a sync failed: do not trust another
}

// append writes parts, of whole records which lack their checksums, behind one another,
// and makes them durable in the mode Always. It returns where they are. If there are none
// it only finds out whether some could be written.
//
// When that fails the segment is given up: after a failed sync the kernel may have
// thrown the data away and call the next one a success, so a file descriptor is
// never synced again. The records then get a second chance in a new segment.
func (w *wal) append(parts ...[]byte) (start, end position, err error) {
	for try := 0; ; try++ {
		start, end, err = w.write(parts)
		if err == nil {
			return start, end, nil
		}
		w.failed(err)
		if w.f == nil {
			return start, end, err // there is no room for another segment
		}
		w.abandon()
		if try == 1 {
			return start, end, err
		}
	}
}

func (w *wal) write(parts [][]byte) (start, end position, err error) {
	n := int64(0)
	for _, p := range parts {
		n += int64(len(p))
	}
	if w.f != nil && w.off+n > w.limit {
		if err := w.roll(); err != nil {
			return start, end, err
		}
	}
	if w.f == nil {
		if err := w.create(n); err != nil {
			return start, end, err
		}
	}
	if len(parts) == 0 { // what is there already, a zero
		if _, err := w.f.WriteAt([]byte{0}, w.off); err != nil {
			return start, end, err
		}
		w.dirty = true
	}
	off := w.off
	for _, p := range parts {
		seal(p, w.seq)
		if _, err := w.f.WriteAt(p, off); err != nil {
			return start, end, err
		}
		off += int64(len(p))
		w.dirty = true
	}
	w.blankOut(off)
	if w.sync == syncAlways {
		if err := w.flush(); err != nil {
			return start, end, err
		}
	}
	start, end = position{w.seq, w.off}, position{w.seq, off}
	w.off = off
	return start, end, nil
}

// blankBytes is how many zeros are written at once: enough for some dozen groups of a busy
// server.
const blankBytes = 256 << 10

var zeros [blankBytes]byte

// blankOut writes zeros behind the records, unless it has already. Blocks that are only
// allocated are marked as such, and the sync of the first records in one has to change that
// in the journal of the file system: it takes about twice what one takes that brings data
// into blocks in use. A reader sees what was there before. Should it fail, so will the
// records that come there, if they cannot be written.
func (w *wal) blankOut(off int64) {
	if n := min(blankBytes, w.limit-off); w.ahead && off > w.blank && n > 0 {
		_, _ = w.f.WriteAt(zeros[:n], off)
		w.blank = off + n
	}
}

// fits returns how many bytes of records the next append has room for in a segment of the
// usual size.
func (w *wal) fits() int64 {
	if w.f != nil && w.off < w.limit {
		return w.limit - w.off
	}
	return w.room - headerSize
}

// create starts a segment with room for n bytes of records. If the disk is too
// full for a whole one it makes a smaller one, or takes the reserve.
func (w *wal) create(n int64) error {
	size := max(w.room, headerSize+n)
	seq := w.number()
	name := segmentName(seq, w.suffix)
	f, err := w.fs.create(name, size)
	for noSpace(err) && size > headerSize+n {
		size = max(size/8, headerSize+n)
		f, err = w.fs.create(name, size)
	}
	if noSpace(err) && w.reserve != nil {
		size = max(w.room, headerSize+n)
		f, err = w.reserve(name, size)
	}
	if err != nil {
		return err
	}
	w.f, w.seq, w.off, w.limit, w.blank, w.lost = f, seq, headerSize, size, 0, false
	_, err = w.f.WriteAt(appendHeader(nil, seq), 0)
	if err == nil && w.sync != syncNever {
		err = w.fs.sync()
	}
	if err != nil {
		f := w.f
		w.f = nil
		return errors.Join(err, f.Close(), w.fs.remove(segmentName(seq, w.suffix)))
	}
	w.dirty = true
	w.opened(seq)
	return nil
}

// flush makes what was written durable.
func (w *wal) flush() error {
	if w.f == nil || !w.dirty {
		return nil
	}
	if err := w.f.sync(); err != nil {
		w.lost = true
		return err
	}
	w.dirty = false
	return nil
}

// flushOrAbandon is flush for those who do not write.
func (w *wal) flushOrAbandon() error {
	err := w.flush()
	if err != nil {
		w.failed(err)
		w.abandon()
	}
	return err
}

// roll ends the current segment.
func (w *wal) roll() error {
	if w.f == nil {
		return nil
	}
	if w.sync != syncNever {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.abandon()
	return nil
}

// abandon ends the current segment as it is. What lies behind its last good record
// is cut off, as far as that works: it was never acknowledged, and the reader stops
// before it anyway. What an interval was to sync is synced now, since nobody comes
// back for it.
func (w *wal) abandon() {
	var err error
	if w.sync == syncInterval && !w.lost {
		err = w.flush()
	}
	if err = errors.Join(err, w.f.Truncate(w.off), w.f.Close()); err != nil {
		w.failed(fmt.Errorf("end segment %016x: %w", w.seq, err))
	}
	w.f = nil
	end := w.off
	if end == headerSize { // a disk that fails for long would leave many of these
		if err := w.fs.remove(segmentName(w.seq, w.suffix)); err != nil {
			w.failed(err)
		} else {
			end = 0
		}
	}
	w.sealed(w.seq, end)
}
