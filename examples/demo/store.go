package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/pagebeacon/beacon"
)

// A store is where the demo keeps its events: a file of JSON lines. An application
// would have its database here.
type store struct {
	file *os.File
	seen map[string]bool // IDs that the file has: a spool delivers at least once
}

// openStore opens the file in dir and returns its last events, at most keep. The
// others it drops, and with them what a crash left of a line that was being written:
// the spool still has that event.
func openStore(dir string, keep int) (*store, []beacon.Event, error) {
	name := filepath.Join(dir, "events.jsonl")
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	var events []beacon.Event
	for line := range bytes.Lines(data) {
		var e beacon.Event
		if json.Unmarshal(line, &e) == nil {
			events = append(events, e)
		}
	}
	events = events[max(0, len(events)-keep):]

	temp, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	s := &store{file: temp, seen: map[string]bool{}}
	if _, err := s.add(events); err != nil {
		return nil, nil, errors.Join(err, temp.Close())
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return nil, nil, errors.Join(err, temp.Close())
	}
	return s, events, nil
}

// add stores the events that are new, durably, and returns those.
func (s *store) add(events []beacon.Event) ([]beacon.Event, error) {
	var added []beacon.Event
	w := bufio.NewWriter(s.file)
	for _, e := range events {
		if s.seen[e.ID] {
			continue
		}
		line, err := e.AppendJSON(nil)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return nil, err
		}
		added = append(added, e)
	}
	if err := errors.Join(w.Flush(), s.file.Sync()); err != nil {
		return nil, err
	}
	if len(s.seen) > 10_000 {
		clear(s.seen) // twins come soon after one another
	}
	for _, e := range added {
		s.seen[e.ID] = true
	}
	return added, nil
}
