package beacon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
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
// cannot be read, an end before the start, or more than [MaxSession]. It is also
// [ErrNoSession] if no event has a start, so that this is no session at all.
// Fields that can be read still count, so the Session may be of use with an error.
func SessionOf(events ...Event) (Session, error) {
	var s Session
	var latest time.Time
	var bad error
	for _, e := range events {
		start, end, err := sessionTimes(e)
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
	}
	return s, nil
}

// sessionTimes reads the start and end of one event; a zero time was not given.
func sessionTimes(e Event) (start, end time.Time, err error) {
	var object map[string]json.RawMessage
	if b, ok := e.Body.(JSON); ok {
		_ = json.Unmarshal(b, &object) // another kind of JSON has no fields
	}
	start, errStart := sessionTime(e, object, "start")
	end, errEnd := sessionTime(e, object, "end")
	return start, end, cmp.Or(errStart, errEnd)
}

func sessionTime(e Event, object map[string]json.RawMessage, key string) (time.Time, error) {
	value := strings.TrimSpace(lookup(e, object, key))
	if value == "" {
		return time.Time{}, nil
	}
	t, ok := parseTime(value)
	if !ok {
		return t, fieldError(key, value, "not a time")
	}
	return t, nil
}

// parseTime reads milliseconds since the epoch, or RFC 3339.
func parseTime(s string) (time.Time, bool) {
	if ms, err := strconv.ParseFloat(s, 64); err == nil {
		return epochMillis(ms)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
}

// lookup returns the value of a field in the form, the JSON object or else the
// query, as text.
func lookup(e Event, object map[string]json.RawMessage, key string) string {
	if form, ok := e.Body.(Form); ok {
		if v := form.Get(key); v != "" {
			return v
		}
	}
	if raw := object[key]; raw != nil && string(raw) != "null" {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		return string(raw)
	}
	return e.Query.Get(key)
}

// epochMillis is the time of an ECMAScript Date, whose range it must be in; that
// also keeps out NaN and Inf.
func epochMillis(ms float64) (time.Time, bool) {
	if !(math.Abs(ms) <= 8.64e15) {
		return time.Time{}, false
	}
	whole, frac := math.Modf(ms)
	return time.UnixMilli(int64(whole)).Add(time.Duration(frac * float64(time.Millisecond))).UTC(), true
}
