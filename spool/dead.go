package spool

import (
	"encoding/json"
	"time"

	"github.com/pagebeacon/beacon"
)

// A deadLetter is the payload of a record in a dead-letter segment.
type deadLetter struct {
	Time  time.Time       `json:"time"`
	Why   string          `json:"why"`
	Event json.RawMessage `json:"event"`
}

// maxWhy is how much of an error's text is kept. Sinks put all they know in it.
const maxWhy = 1 << 10

// bury puts an event that next does not take into the dead-letter segment.
func (s *Spool) bury(e beacon.Event, why error) error {
	event, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	return s.buryJSON(event, why)
}

func (s *Spool) buryJSON(event []byte, why error) error {
	if !json.Valid(event) { // its checksum is right, but it is not what a spool writes
		var err error
		if event, err = json.Marshal(event); err != nil { // as base64
			return err
		}
	}
	text := why.Error()
	payload, err := json.Marshal(deadLetter{time.Now().UTC(), text[:min(len(text), maxWhy)], event})
	if err != nil {
		return err
	}
	buf := append(openFrame(nil), payload...)
	if err := closeFrame(buf, 0); err != nil {
		return err
	}
	if _, _, err := s.dead.append(buf); err != nil {
		return err
	}
	s.mu.Lock()
	s.used += int64(len(buf))
	s.stats.Dead++
	s.mu.Unlock()
	s.logger.Error("spool: dead letter", "id", idOf(event), "why", text)
	return nil
}

func idOf(event []byte) string {
	var e struct {
		ID json.RawMessage `json:"id"` // not always a string
	}
	_ = json.Unmarshal(event, &e) // it is for a log only
	return string(e.ID)
}
