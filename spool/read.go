package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
)

// A State is what became of a record.
type State string

const (
	StatePending   State = "pending"   // it waits for delivery
	StateDelivered State = "delivered" // and its segment was not yet removed
	StateDead      State = "dead"      // the next sink refused it
	StateAside     State = "aside"     // it is intact, in a file of what did not pass its checksum; see [Salvage]
	StateDamaged   State = "damaged"   // not a record; see [Record.Err]
)

// A Record is one entry of a spool's files.
type Record struct {
	File   string // its name in the directory
	Offset int64  // in the file, in bytes
	Bytes  int64  // in the file
	State  State

	Event beacon.Event    // zero if damaged
	JSON  json.RawMessage // the event as it was stored; nil if it is damaged

	// Died and Why are when and why a dead letter became one; of others they are
	// zero.
	Died time.Time
	Why  string

	// Err is why there is no Event: a checksum that does not fit, or a version of
	// the event that this program does not know.
	Err error
}

// Read returns all records of a spool's directory, in order, dead letters and
// damaged places included. It changes nothing, and works while a spool has the
// directory open; what happens meanwhile may or may not show, and a record that is
// being written is neither shown nor taken for damage. The error is that of
// the directory or of a file, after which it goes on with the next file; the Record then
// has no more than its File.
func Read(dir string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := reading{fs: dirFS(dir), inUse: func() bool { return inUse(dir) }, yield: yield}
		r.directory()
	}
}

// inUse says whether a spool has the directory open. It takes the lock to know, for a
// moment, so it is only for where the answer matters.
func inUse(dir string) bool {
	name := filepath.Join(dir, lockName)
	if _, err := os.Stat(name); err != nil {
		return false // and do not make one
	}
	unlock, err := lock(name)
	if err != nil {
		return errors.Is(err, ErrLocked)
	}
	_ = unlock() // nothing was done under it
	return false
}

// A reading is one run of Read.
type reading struct {
	fs        fsys
	inUse     func() bool
	yield     func(Record, error) bool
	delivered position
	newest    map[string]uint64 // segment by suffix: what a running spool may be writing to
}

func (r *reading) directory() {
	entries, err := r.fs.list()
	if err != nil {
		r.yield(Record{}, fmt.Errorf("spool: %w", err))
		return
	}
	if f, err := r.fs.open(cursorName); err == nil {
		c, _, _ := readCursor(f) // without it, all is pending
		r.delivered = c.at
		_ = f.Close() // it was only read
	}
	r.newest = map[string]uint64{}
	for _, e := range entries {
		if seq, suffix, ok := parseName(e.name); ok {
			r.newest[suffix] = max(r.newest[suffix], seq)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for _, e := range entries {
		if seq, suffix, ok := parseName(e.name); ok && !r.file(e, seq, suffix) {
			return
		}
	}
}

// file yields the records of one file; false means to stop.
func (r *reading) file(e entry, seq uint64, suffix string) bool {
	f, err := r.fs.open(e.name)
	if errors.Is(err, os.ErrNotExist) {
		return true // delivered, and removed, since
	}
	if err != nil {
		return r.yield(Record{File: e.name}, fmt.Errorf("spool: %w", err))
	}
	defer f.Close()
	scan, base := scanFile(f, e, seq, suffix)
	return r.records(scan, base, e.name, suffix)
}

// records yields what a scanner finds; base is where in the segment the file begins.
func (r *reading) records(scan *scanner, base int64, name, suffix string) bool {
	for {
		payload, g, err := scan.next()
		if g != nil && scan.seq == r.newest[suffix] && suffix != badSuffix {
			payload, g, err = r.confirm(scan, g)
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			return r.yield(Record{File: name}, fmt.Errorf("spool: %s: %w", name, err))
		}
		rec := Record{File: name}
		if g != nil {
			rec.Offset, rec.Bytes, rec.State, rec.Err = g.from-base, g.to-g.from, StateDamaged, errors.New(g.why)
			if suffix == badSuffix {
				rec.Err = fmt.Errorf("kept aside: %w", rec.Err)
			}
		} else {
			rec.Bytes = int64(frameSize + len(payload))
			rec.Offset = scan.off - rec.Bytes - base
			rec.fill(slices.Clone(payload), suffix)
			if suffix == dataSuffix && !r.delivered.before(position{scan.seq, scan.off}) {
				rec.State = StateDelivered
			}
		}
		if !r.yield(rec, nil) {
			return false
		}
	}
}

// confirm reads a gap again, in a file that may be written to meanwhile: a write shows in
// pieces. If there is something behind them, they were all there before the second look. If
// there is not, and a spool is running, this is the end of the file for now.
func (r *reading) confirm(scan *scanner, g *gap) (payload []byte, _ *gap, err error) {
	for seen := (*gap)(nil); g != nil; {
		if g.torn && r.inUse() {
			return nil, nil, io.EOF
		}
		if seen != nil && g.from == seen.from && g.torn == seen.torn {
			break
		}
		seen = g
		scan.again(g.from)
		payload, g, err = scan.next()
	}
	return payload, g, err
}

// scanFile returns a scanner of a file, and which offset of the segment the file begins
// at.
func scanFile(f file, e entry, seq uint64, suffix string) (scan *scanner, base int64) {
	if suffix != badSuffix {
		return newScanner(f, seq, 0, e.size), 0
	}
	base = badOffset(e.name)
	scan = newScanner(shifted{f, base}, seq, base, base+e.size)
	scan.exact, scan.lax = true, true
	return scan, base
}

// shifted is the bytes of a segment from an offset on.
type shifted struct {
	io.ReaderAt
	base int64
}

func (s shifted) ReadAt(b []byte, off int64) (int, error) { return s.ReaderAt.ReadAt(b, off-s.base) }

func (r *Record) fill(payload []byte, suffix string) {
	r.JSON = payload
	switch suffix {
	case dataSuffix:
		r.State = StatePending
	case badSuffix:
		r.State = StateAside
	case deadSuffix:
		r.State = StateDead
		var d deadLetter
		if r.Err = json.Unmarshal(payload, &d); r.Err != nil {
			return
		}
		r.Died, r.Why, r.JSON = d.Time, d.Why, d.Event
	}
	r.Err = json.Unmarshal(r.JSON, &r.Event)
}
