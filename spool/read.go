package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
// directory open, but what happens meanwhile may or may not show. The error is that of
// the directory or of a file, after which it goes on with the next file; the Record then
// has no more than its File.
func Read(dir string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		fs := dirFS(dir)
		entries, err := fs.list()
		if err != nil {
			yield(Record{}, fmt.Errorf("spool: %w", err))
			return
		}
		var at position
		if f, err := fs.open(cursorName); err == nil {
			c, _, _ := readCursor(f) // without it, all is pending
			at = c.at
			_ = f.Close() // it was only read
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
		for _, e := range entries {
			seq, suffix, ok := parseName(e.name)
			if !ok {
				continue
			}
			if suffix == badSuffix {
				if !yield(Record{File: e.name, Bytes: e.size, State: StateDamaged, Err: errors.New("kept aside")}, nil) {
					return
				}
				continue
			}
			if !readFile(fs, e, seq, suffix, at, yield) {
				return
			}
		}
	}
}

// readFile yields the records of one segment; false means to stop.
func readFile(fs fsys, e entry, seq uint64, suffix string, delivered position, yield func(Record, error) bool) bool {
	f, err := fs.open(e.name)
	if err != nil {
		return yield(Record{File: e.name}, fmt.Errorf("spool: %w", err))
	}
	defer f.Close()
	scan := newScanner(f, seq, 0, e.size)
	for {
		payload, g, err := scan.next()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return yield(Record{File: e.name}, fmt.Errorf("spool: %s: %w", e.name, err))
		}
		r := Record{File: e.name, State: StatePending}
		switch {
		case g != nil:
			r.Offset, r.Bytes, r.State, r.Err = g.from, g.to-g.from, StateDamaged, errors.New(g.why)
		default:
			r.Bytes = int64(frameSize + len(payload))
			r.Offset = scan.off - r.Bytes
			r.fill(slices.Clone(payload), suffix)
			if suffix == dataSuffix && !delivered.before(position{seq, scan.off}) {
				r.State = StateDelivered
			}
		}
		if !yield(r, nil) {
			return false
		}
	}
}

func (r *Record) fill(payload []byte, suffix string) {
	r.JSON = payload
	if suffix == deadSuffix {
		r.State = StateDead
		var d deadLetter
		if r.Err = json.Unmarshal(payload, &d); r.Err != nil {
			return
		}
		r.Died, r.Why, r.JSON = d.Time, d.Why, d.Event
	}
	r.Err = json.Unmarshal(r.JSON, &r.Event)
}
