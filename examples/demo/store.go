package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"

	"github.com/pagebeacon/beacon"
)

// maxFile is the size in bytes at which the file is written anew.
const maxFile = 8 << 20

// A store is where the demo keeps its events: a file of JSON lines, in which at least the
// last ones are. An application would have its database here.
type store struct {
	name string
	file *os.File // nil after a failure: it is written anew then
	size int64
	last func() []json.RawMessage // what has to be in the file

	seed maphash.Seed
	seen map[uint64]bool // hashes of the IDs that the file has: a spool delivers at least once
}

// openStore opens the file in dir, and hands over its last events, up to maxFile bytes of
// them, oldest first. Then it writes the file anew with what last returns, without what a
// crash left of a line that was being written: the spool still has that event.
func openStore(dir string, each func(beacon.Event), last func() []json.RawMessage) (*store, error) {
	s := &store{name: filepath.Join(dir, "events.jsonl"), last: last, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	var err error
	s.file, err = os.OpenFile(s.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.read(each); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, s.rewrite()
}

func (s *store) read(each func(beacon.Event)) error {
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	start := max(0, size-maxFile)
	r := bufio.NewReader(io.NewSectionReader(s.file, start, size-start))
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		var e beacon.Event
		// What is cut off at either end is no event.
		if json.Unmarshal(line, &e) == nil && s.isNew(e.ID) {
			each(e)
		}
		if err == io.EOF {
			return nil
		}
	}
}

// add stores the events that are new, durably, and returns those.
func (s *store) add(events []arrival) ([]arrival, error) {
	if s.file == nil || s.size > maxFile {
		if err := s.rewrite(); err != nil {
			return nil, err
		}
	}
	var added []arrival
	var lines []byte
	now := map[uint64]bool{}
	for _, a := range events {
		if h := s.hash(a.ID); !s.seen[h] && !now[h] {
			now[h] = true
			lines = append(append(lines, a.data...), '\n')
			added = append(added, a)
		}
	}
	// Where the last write ended that succeeded: one that did not may have left a part.
	if _, err := s.file.WriteAt(lines, s.size); err != nil {
		return nil, err
	}
	if err := s.file.Sync(); err != nil {
		return nil, err
	}
	s.size += int64(len(lines))
	for _, a := range added {
		s.isNew(a.ID)
	}
	return added, nil
}

// isNew says whether an ID is new, and remembers it.
func (s *store) isNew(id string) bool {
	if len(s.seen) > 10_000 {
		clear(s.seen) // twins come soon after one another
	}
	h := s.hash(id)
	known := s.seen[h]
	s.seen[h] = true
	return !known
}

func (s *store) hash(id string) uint64 { return maphash.String(s.seed, id) }

// rewrite puts a file in place of the present one that has only the last events.
func (s *store) rewrite() error {
	temp := s.name + ".new"
	var lines []byte
	for _, event := range s.last() {
		lines = append(append(lines, event...), '\n')
	}
	if err := writeFile(temp, lines); err != nil {
		return err
	}
	if s.file != nil {
		_ = s.file.Close() // all of it was synced
		s.file = nil
	}
	if err := os.Rename(temp, s.name); err != nil {
		return err
	}
	var err error
	s.file, err = os.OpenFile(s.name, os.O_RDWR, 0o600)
	s.size = int64(len(lines))
	return err
}

// writeFile writes a file durably.
func writeFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
