package spool

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/pagebeacon/beacon"
)

// A deadLetter is the payload of a record in a dead-letter segment.
type deadLetter struct {
	Time  time.Time       `json:"time"`
	Why   string          `json:"why"`
	Event json.RawMessage `json:"event"`
}

// How much of an error's text is kept in a dead letter, and in a log. Sinks put all they
// know in it.
const (
	maxWhy    = 1 << 10
	maxLogged = 256
)

// bury puts events that next does not take into the dead-letter segment, with one sync.
func (s *Spool) bury(events []beacon.Event, why []error) error {
	letters := make([]deadLetter, len(events))
	for i := range events {
		event, err := events[i].AppendJSON(nil)
		if err != nil {
			return err
		}
		text := why[i].Error()
		letters[i] = deadLetter{time.Now().UTC(), text[:min(len(text), maxWhy)], event}
	}
	return s.buryLetters(letters)
}

func (s *Spool) buryLetters(letters []deadLetter) error {
	s.recount()
	var buf []byte
	for i := range letters {
		d := &letters[i]
		if !json.Valid(d.Event) { // its checksum is right, but it is not what a spool writes
			text, err := json.Marshal([]byte(d.Event)) // as base64
			if err != nil {
				return err
			}
			d.Event = text
		}
		payload, err := json.Marshal(d)
		if err != nil {
			return err
		}
		start := len(buf)
		buf = append(openFrame(buf), payload...)
		if err := closeFrame(buf, start); err != nil {
			return err
		}
	}
	_, _, err := s.dead.append(buf)
	if errors.Is(err, errNoSpace) && s.dropOldest(deadSuffix) { // as if MaxDeadBytes were reached
		_, _, err = s.dead.append(buf)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.kept[segmentName(s.dead.seq, deadSuffix)] = s.dead.off
	s.stats.Dead += uint64(len(letters))
	s.mu.Unlock()
	s.boundKept()
	s.deadLog.add(s, letters)
	return nil
}

// A deadLog tells of dead letters, once a second: there may be thousands.
type deadLog struct {
	last  time.Time
	count int
	id    string // of one of them
	why   string
}

func (l *deadLog) add(s *Spool, letters []deadLetter) {
	if l.count == 0 {
		l.id, l.why = printable(idOf(letters[0].Event)), printable(letters[0].Why)
	}
	l.count += len(letters)
	if time.Since(l.last) >= time.Second {
		l.tell(s)
	}
}

// tell logs what was not.
func (l *deadLog) tell(s *Spool) {
	if l.count > 0 {
		s.logger.Error("spool: dead letters", "events", l.count, "id", l.id, "why", l.why)
		l.last, l.count = time.Now(), 0
	}
}

func idOf(event []byte) string {
	var e struct {
		ID json.RawMessage `json:"id"` // not always a string
	}
	_ = json.Unmarshal(event, &e) // it is for a log only
	return string(e.ID)
}

// printable is a text as a log may hold it. A client may have written parts of it.
func printable(text string) string {
	cut := text[:min(len(text), maxLogged)]
	cut = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, cut)
	if len(text) > maxLogged {
		cut += "…"
	}
	return cut
}
