package beacon

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// MaxSession is the longest session that [SessionOf] believes in. More is a
// clock that jumped or a unit that was mistaken.
const MaxSession = 31 * 24 * time.Hour

// ErrNoSession is the error of [SessionOf] for events without a start.
var ErrNoSession = errors.New("beacon: no session")

// A Session is the time that a visitor spent, from what the page said. It is the
// client's word and the client's clock.
type Session struct {
	Start, End time.Time
}

// Duration returns End less Start.
func (s Session) Duration() time.Duration { return s.End.Sub(s.Start) }

// String returns the duration as people read it: "12.34 seconds", and from one
// minute on "1.25 minutes".
func (s Session) String() string {
	d := s.Duration().Round(10 * time.Millisecond)
	if d < time.Minute {
		return fmt.Sprintf("%.2f seconds", d.Seconds())
	}
	return fmt.Sprintf("%.2f minutes", d.Minutes())
}

// SessionOf works out a session from the "start" and "end" fields of its events,
// in the form, the JSON object or else the query that each one carries. A time is
// milliseconds since the epoch, as text or as a number, with or without a
// fraction, or an RFC 3339 text.
//
// The session starts with the earliest start and ends with the latest end; it
// does not matter in which order the events came or how often. Where no event
// gives an end, it is the latest [Event.Time] (or Received).
//
// The error holds a [FieldError] that names the field and the value: a time that
// cannot be read, or is so long ago that it must have been meant in seconds, an end
// before the start, or more than [MaxSession]. It is also
// [ErrNoSession] if no event has a start, so that this is no session at all.
// Fields that can be read still count, so the Session may be of use with an error.
func SessionOf(events ...Event) (Session, error) {
	var s Session
	var latest time.Time
	var bad error
	for i := range events {
		e := &events[i]
		start, end, err := e.said().times()
		if err != nil && bad == nil {
			bad = err
		}
		if !start.IsZero() && (s.Start.IsZero() || start.Before(s.Start)) {
			s.Start = start
		}
		if end.After(s.End) {
			s.End = end
		}
		if at := cmp.Or(e.Time, e.Received); at.After(latest) {
			latest = at
		}
	}
	if bad != nil {
		return s, bad
	}
	if s.Start.IsZero() {
		return s, fmt.Errorf("%w: %w", ErrNoSession, fieldError("start", "", "missing"))
	}
	if s.End.IsZero() {
		s.End = latest
	}
	switch d := s.Duration(); {
	case s.End.IsZero():
		return s, fieldError("end", "", "missing")
	case d < 0:
		return s, fieldError("end", s.End.Format(time.RFC3339Nano), "is before the start, "+s.Start.Format(time.RFC3339Nano))
	case d > MaxSession:
		return s, fieldError("start", s.Start.Format(time.RFC3339Nano), "is longer ago than any session lasts")
	case wire.InSeconds(s.Start):
		return s, fieldError("start", s.Start.Format(time.RFC3339Nano), "is long ago: milliseconds are expected, are these seconds?")
	}
	return s, nil
}

// What the events that tell of time say, as text; "" is nothing. They have it as
// fields of a form, members of a JSON object, or else in the query. ref and name are
// only of an object, where they are texts.
type said struct{ start, end, engaged, seen, ref, name string }

func (e *Event) said() (s said) {
	if len(e.Query) > 0 {
		s = said{start: e.Query.Get("start"), end: e.Query.Get("end"), engaged: e.Query.Get("engaged"), seen: e.Query.Get("seen")}
	}
	switch b := e.Body.(type) {
	case Form:
		for i := len(b) - 1; i >= 0; i-- { // of several the first counts
			if dst := s.time(b[i].Name); dst != nil && b[i].File == nil && b[i].Value != "" {
				*dst = b[i].Value
			}
		}
	case JSON:
		m, _ := wire.MembersOf(b) // another kind of JSON has no fields
		for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
			if dst := s.time(key); dst != nil {
				if text, ok := wire.JSONString(v); !ok && !wire.IsJSONNull(v) {
					*dst = wire.Text(v)
				} else if text != "" {
					*dst = text
				}
			} else if dst := s.text(key); dst != nil {
				if text, ok := wire.JSONString(v); ok {
					*dst = text
				}
			}
		}
	}
	return s
}

func (s *said) time(key string) *string {
	switch key {
	case "start":
		return &s.start
	case "end":
		return &s.end
	case "engaged":
		return &s.engaged
	case "seen":
		return &s.seen
	}
	return nil
}

func (s *said) text(key string) *string {
	switch key {
	case "ref":
		return &s.ref
	case "name":
		return &s.name
	}
	return nil
}

// times returns the start and the end; a zero time was not given.
func (s said) times() (start, end time.Time, err error) {
	start, errStart := saidTime("start", s.start)
	end, errEnd := saidTime("end", s.end)
	return start, end, cmp.Or(errStart, errEnd)
}

func saidTime(key, value string) (time.Time, error) {
	text := strings.TrimSpace(value)
	if text == "" {
		return time.Time{}, nil
	}
	t, ok := wire.ParseTime(text)
	if !ok {
		return time.Time{}, fieldError(key, text, "not a time")
	}
	return t, nil
}
