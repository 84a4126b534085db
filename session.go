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
// fields of a form, members of a JSON object, or else in the query.
type said struct{ start, end, engaged, seen string }

func (e *Event) said() said {
	s := said{e.Query.Get("start"), e.Query.Get("end"), e.Query.Get("engaged"), e.Query.Get("seen")}
	set := func(key, value string) {
		if value == "" {
			return
		}
		switch key {
		case "start":
			s.start = value
		case "end":
			s.end = value
		case "engaged":
			s.engaged = value
		case "seen":
			s.seen = value
		}
	}
	switch b := e.Body.(type) {
	case Form:
		for i := len(b) - 1; i >= 0; i-- { // of several the first counts
			if b[i].File == nil {
				set(b[i].Name, b[i].Value)
			}
		}
	case JSON:
		m, _ := wire.MembersOf(b) // another kind of JSON has no fields
		for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
			if text, ok := wire.JSONString(v); ok {
				set(key, text)
			} else if !wire.IsJSONNull(v) {
				set(key, wire.Text(v))
			}
		}
	}
	return s
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
