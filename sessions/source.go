package sessions

import (
	"cmp"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/wire"
)

// A Source says what an event means to sessions. The zero value is
// [beacon.PageViewOf], and what happens beside page views is activity. What takes
// events, such as a tracker or a store, takes them through a Source: those that
// share one agree.
type Source struct {
	// Key returns whose event it is: events of one key are of one visitor. Those of
	// the key "" are each of their own. The default is [beacon.Event.Session]. It is
	// called concurrently, and has to give an event that comes again the same key.
	Key func(beacon.Event) string

	// Start, End, Engaged and Visible are the names of the fields in which pages that
	// do not use the browser client say it, in a form, a JSON object or the query, as
	// [beacon.PageViewOf] reads them. The defaults are "start", "end", "engaged" and
	// "seen". The client's reports have names of their own.
	Start, End, Engaged, Visible string
}

// PageView returns what an event says of a page view, with the key as its Session. ok
// is false if it says nothing.
//
// An event that has a key and tells of no page view, such as a ping, a pixel, a report
// or JSON of a page's own, is Activity, with its ID as the View; a report of a crash
// is Crashed as well. What names its page view and says nothing of how long that was,
// as what a page adds to its log or a beacon of its vitals, says nothing: it is of the
// page view that is known from its reports.
func (s Source) PageView(e beacon.Event) (v beacon.PageView, ok bool) {
	key := e.Session
	if s.Key != nil {
		key = s.Key(e)
	}
	s.rename(&e)
	if v, ok = beacon.PageViewOf(e); ok {
		v.Session = key
		return v, true
	}
	at := cmp.Or(e.Time, e.Received)
	if key == "" || e.View != "" || at.IsZero() {
		return beacon.PageView{}, false
	}
	at = at.UTC().Truncate(time.Microsecond)
	report, _ := e.Body.(beacon.Report)
	return beacon.PageView{
		Session: key, View: e.ID, Page: e.Page, Start: at, End: at,
		Activity: true, Crashed: report.Type == "crash",
	}, true
}

// rename puts the fields of e under the names that PageViewOf knows.
func (s *Source) rename(e *beacon.Event) {
	own := s.Start == "" && s.End == "" && s.Engaged == "" && s.Visible == ""
	if own || e.View != "" && (e.Name == "session" || e.Name == "log") {
		return
	}
	names := [...]struct{ as, is string }{
		{"start", cmp.Or(s.Start, "start")}, {"end", cmp.Or(s.End, "end")},
		{"engaged", cmp.Or(s.Engaged, "engaged")}, {"seen", cmp.Or(s.Visible, "seen")},
	}
	said := make(beacon.Form, 0, len(names))
	for _, n := range names {
		if value := cmp.Or(member(e.Body, n.is), e.Query.Get(n.is)); value != "" {
			said = append(said, beacon.Field{Name: n.as, Value: value})
		}
	}
	e.Query = nil
	switch e.Body.(type) {
	case beacon.Report, beacon.Ping:
	default:
		e.Body = said
	}
}

// member returns a field of a form, or a member of a JSON object, as text.
func member(b beacon.Body, name string) (text string) {
	switch b := b.(type) {
	case beacon.Form:
		for _, f := range b {
			if f.Name == name && f.Value != "" {
				return f.Value
			}
		}
	case beacon.JSON:
		m, _ := wire.MembersOf(b)
		for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
			if key != name || wire.IsJSONNull(v) {
				continue
			}
			if s, isText := wire.JSONString(v); isText {
				text = cmp.Or(s, text)
			} else {
				text = wire.Text(v)
			}
		}
	}
	return text
}
