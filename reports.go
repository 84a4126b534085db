package beacon

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"
)

// maxAge is the most by which a report's age moves [Event.Time] back: no browser
// keeps a report that long, and a wrong clock should not date an event to 1970.
const maxAge = 30 * 24 * time.Hour

const cspViolation = "csp-violation"

// decodeReports reads a Reporting API upload (Reporting §3.5): an array of
// reports, or, leniently, a single one. An item that is no report becomes an
// event of its own with a note, and so does the rest of a body that breaks off.
func decodeReports(e *Event, body []byte, lim *Limits) ([]Event, error) {
	items, ok := splitArray(body, lim.MaxEvents)
	if !ok {
		items = [][]byte{body}
	}
	if len(items) == 0 { // "[]"
		err := setJSON(e, body, lim)
		return []Event{*e}, err
	}
	if len(items) > lim.MaxEvents {
		return nil, tooLarge(ReasonTooManyEvents, "more than %d reports", lim.MaxEvents)
	}
	events := make([]Event, len(items))
	for i, item := range items {
		events[i] = *e
		events[i].number(i)
		if err := setReport(&events[i], item[:len(item):len(item)], lim); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// setReport makes one item of a report batch the event's body.
func setReport(e *Event, item []byte, lim *Limits) error {
	if err := setJSON(e, item, lim); err != nil {
		return err
	}
	if _, ok := e.Body.(JSON); !ok {
		return nil
	}
	// Members are taken one by one: one of the wrong type costs only itself.
	var m map[string]json.RawMessage
	if json.Unmarshal(item, &m) != nil {
		e.Errors = append(e.Errors, fieldError("body", text(item), "not a report"))
		return nil
	}
	r := Report{UserAgent: e.Request.UserAgent}
	note := func(key string) {
		e.Errors = append(e.Errors, fieldError(key, text(m[key]), "not what a report has there"))
	}
	str := func(key string, dst *string) {
		if raw, ok := m[key]; ok && json.Unmarshal(raw, dst) != nil {
			note(key)
		}
	}
	str("type", &r.Type)
	if r.Type == "" {
		e.Errors = append(e.Errors, fieldError("type", "", "report without a type"))
		return nil
	}
	str("url", &r.URL)
	str("user_agent", &r.UserAgent)
	if raw, ok := m["age"]; ok {
		var ms float64
		if json.Unmarshal(raw, &ms) != nil || ms < 0 || ms > math.MaxInt64/float64(time.Millisecond) {
			note("age")
		} else {
			r.Age = time.Duration(ms) * time.Millisecond
		}
	}
	r.Body = m["body"]
	setReportBody(e, r)
	return nil
}

func setReportBody(e *Event, r Report) {
	e.Name = r.Type
	e.Body = r
	if r.URL != "" {
		e.Page = r.URL
	}
}

// decodeCSP reads a report-uri upload (CSP3 §5.5), one violation in an object of
// its own names, which WebKit also uses for report-to with the Reporting API's
// object inside.
func decodeCSP(e *Event, body []byte, lim *Limits) ([]Event, error) {
	if err := setJSON(e, body, lim); err != nil {
		return nil, err
	}
	if _, ok := e.Body.(JSON); !ok {
		return []Event{*e}, nil
	}
	var legacy struct {
		Report json.RawMessage `json:"csp-report"`
	}
	if json.Unmarshal(body, &legacy) != nil || legacy.Report == nil {
		return decodeReports(e, body, lim)
	}
	r := Report{Type: cspViolation, UserAgent: e.Request.UserAgent}
	var ok bool
	if r.Body, r.URL, ok = modernCSP(legacy.Report); !ok {
		e.Errors = append(e.Errors, fieldError("csp-report", text(legacy.Report), "not an object"))
		return []Event{*e}, nil
	}
	setReportBody(e, r)
	return []Event{*e}, nil
}

// cspNames are the members of a legacy CSP report and their names in a
// CSPViolationReportBody (CSP3 §5.2), in the order they are written.
var cspNames = [...]struct{ legacy, modern string }{
	{"document-uri", "documentURL"},
	{"referrer", "referrer"},
	{"blocked-uri", "blockedURL"},
	{"effective-directive", "effectiveDirective"},
	{"original-policy", "originalPolicy"},
	{"source-file", "sourceFile"},
	{"script-sample", "sample"},
	{"disposition", "disposition"},
	{"status-code", "statusCode"},
	{"line-number", "lineNumber"},
	{"column-number", "columnNumber"},
}

// modernCSP rewrites a legacy CSP report with the Reporting API's names. Values
// are kept as they are, and members it does not know follow under their own
// names. violated-directive is the older name of effective-directive, and only
// kept where it says something else.
func modernCSP(legacy json.RawMessage) (body json.RawMessage, url string, ok bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(legacy, &m) != nil || m == nil {
		return nil, "", false
	}
	_ = json.Unmarshal(m["document-uri"], &url) // not a string: no URL then
	violated := m["violated-directive"]
	switch effective, has := m["effective-directive"]; {
	case !has && violated != nil:
		m["effective-directive"] = violated
		fallthrough
	case bytes.Equal(effective, violated):
		delete(m, "violated-directive")
	}
	out := []byte{'{'}
	member := func(name string, value json.RawMessage) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(name) // a string always marshals
		out = append(append(append(out, key...), ':'), value...)
	}
	for _, n := range cspNames {
		if v, ok := m[n.legacy]; ok {
			member(n.modern, v)
			delete(m, n.legacy)
			delete(m, n.modern) // the same, said twice
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		member(name, m[name])
	}
	return append(out, '}'), url, true
}
