package wire

import (
	"math"
	"slices"
	"time"
)

// A Report is what a report of the Reporting API (§3.5) says.
type Report struct {
	Type, URL, UserAgent string
	Age                  time.Duration
	Body                 []byte
}

// A Member is one member of a JSON object.
type Member struct {
	Key   string
	Value []byte
}

// ParseReport reads a report from valid JSON. Members are taken one by one: one of the
// wrong type costs only itself, and is in bad, once for each name. ok is false if b is not an object.
func ParseReport(b []byte) (r Report, bad []Member, ok bool) {
	m, ok := MembersOf(b)
	if !ok {
		return r, nil, false
	}
	for key, v, more := m.Next(); more; key, v, more = m.Next() {
		fits := true
		switch key {
		case "type":
			fits = setString(&r.Type, v)
		case "url":
			fits = setString(&r.URL, v)
		case "user_agent":
			fits = setString(&r.UserAgent, v)
		case "age":
			var ms float64
			ms, fits = JSONFloat(v)
			if fits = fits && 0 <= ms && ms <= math.MaxInt64/float64(time.Millisecond); fits {
				r.Age = time.Duration(ms) * time.Millisecond
			}
		case "body":
			r.Body = v
		}
		if !fits && !IsJSONNull(v) && !slices.ContainsFunc(bad, func(m Member) bool { return m.Key == key }) {
			bad = append(bad, Member{key, v})
		}
	}
	return r, bad, true
}

// setString sets dst if v is a string.
func setString(dst *string, v []byte) bool {
	s, ok := JSONString(v)
	if ok {
		*dst = s
	}
	return ok
}
