package spool

import (
	"encoding/json"
	"math"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A deadLetter is the payload of a record in a dead-letter segment.
type deadLetter struct {
	Time  time.Time       `json:"time"`
	Why   string          `json:"why"`
	Event json.RawMessage `json:"event"`
}

// maxWhy is how much of an error's text is kept in a dead letter. Sinks put all they know
// in it.
const maxWhy = 1 << 10

// bury puts events that next does not take into dead-letter segments, with one sync. Where
// there is no room for all of them it puts as many at once as the reserve has room for, or
// what is left of it. It returns how many it kept.
func (s *Spool) bury(events []beacon.Event, _ []position, why []error) (kept int, err error) {
	s.recount()
	defer func() { s.unburied = err }()
	limit := int64(math.MaxInt64)
	if s.reserved.Load() == 0 {
		limit = s.dead.fits()
	}
	for kept < len(events) {
		letters, records, err := newLetters(events[kept:], why[kept:], limit)
		if err == nil {
			err = s.buryRecords(letters, records)
		}
		if noSpace(err) && len(letters) > 1 && limit > s.dead.fits() {
			limit = s.dead.fits()
			continue
		}
		if err != nil {
			return kept, err
		}
		kept += len(letters)
	}
	return kept, nil
}

// newLetters makes the letters and records of as many events as limit has room for, and at
// least one.
func newLetters(events []beacon.Event, why []error, limit int64) (letters []deadLetter, records []byte, err error) {
	for i := range events {
		event, err := events[i].AppendJSON(nil)
		if err != nil {
			return nil, nil, err
		}
		text := why[i].Error()
		d := deadLetter{time.Now().UTC(), text[:min(len(text), maxWhy)], event}
		record, err := d.record()
		if err != nil {
			return nil, nil, err
		}
		if i > 0 && int64(len(records)+len(record)) > limit {
			break
		}
		letters, records = append(letters, d), append(records, record...)
	}
	return letters, records, nil
}

// buryPayload buries what is intact, but no event.
func (s *Spool) buryPayload(payload []byte, why error) error {
	s.recount()
	if !json.Valid(payload) { // its checksum is right, but it is not what a spool writes
		text, err := json.Marshal(payload) // as base64
		if err != nil {
			return err
		}
		payload = text
	}
	d := deadLetter{time.Now().UTC(), why.Error(), payload}
	record, err := d.record()
	if err != nil {
		return err
	}
	return s.buryRecords([]deadLetter{d}, record)
}

func (d *deadLetter) record() ([]byte, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	record := append(openFrame(make([]byte, 0, frameSize+len(payload))), payload...)
	return record, closeFrame(record, 0)
}

// buryRecords writes the records of letters with one sync.
func (s *Spool) buryRecords(letters []deadLetter, records []byte) error {
	_, _, err := s.dead.append(records)
	if err == nil && s.fs.intact(s.dead.f) != nil { // somebody removed the file, and these with it
		err = s.dead.f.Close()
		s.dead.f = nil
		if err == nil {
			_, _, err = s.dead.append(records)
		}
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
		l.id, l.why = delivery.Printable(idOf(letters[0].Event)), delivery.Printable(letters[0].Why)
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
