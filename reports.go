package beacon

import (
	"cmp"
	"fmt"

	"github.com/pagebeacon/beacon/internal/wire"
)

const cspViolation = "csp-violation"

// decodeReports reads a Reporting API upload (Reporting §3.5): an array of
// reports, or, leniently, a single one. An item that is no report becomes an
// event of its own with a note, and so does the rest of a body that breaks off.
func decodeReports(one []Event, body []byte, buffer int, lim *bounds) ([]Event, error) {
	e := &one[0]
	items, isArray := wire.ElementsOf(body)
	n, valid := 0, false
	if isArray {
		scan := wire.ScanJSON(body, lim.MaxDepth+1)
		n, valid = scan.Items, scan.Status == wire.JSONValid // and so is each of them
	}
	if !valid {
		n = items.Count(lim.MaxEvents)
	}
	switch {
	case n == 0: // "[]"
		e.setItem(body, lim)
		return one, nil
	case n > lim.MaxEvents:
		return nil, refusal(ReasonTooManyEvents, fmt.Errorf("more than %d reports", lim.MaxEvents))
	}
	cuts := newCutter(buffer)
	if err := e.roomFor(n, cuts.room(body), lim); err != nil {
		return nil, err
	}
	events := batchOf(one, n)
	for item, more := items.Next(); more; item, more = items.Next() {
		i := len(events)
		events = append(events, *e)
		events[i].number(i)
		events[i].setReport(cuts.cut(item), valid, lim)
		events[i].unpin(len(item))
	}
	return events, nil
}

// setReport makes one item of a report batch, of which it may be known that it is valid,
// the event's body. Members are taken one by one: one of the wrong type costs only itself.
func (e *Event) setReport(item []byte, valid bool, lim *bounds) {
	if !valid {
		if status := wire.CheckJSON(item, lim.MaxDepth); status != wire.JSONValid {
			e.setJSON(item, status, lim)
			return
		}
	}
	rep, bad, ok := wire.ParseReport(item)
	for _, m := range bad {
		e.note(m.Key, wire.Text(m.Value), "not what a report has there")
	}
	switch {
	case !ok && !wire.IsJSONNull(item):
		e.note("body", wire.Text(item), "not a report")
	case rep.Type == "":
		e.note("type", "", "report without a type")
	default:
		e.setReportBody(Report{
			Type: rep.Type, URL: rep.URL, UserAgent: cmp.Or(rep.UserAgent, e.Request.UserAgent), Age: rep.Age, Body: rep.Body,
		})
		return
	}
	e.Body = JSON(item)
}

func (e *Event) setReportBody(r Report) {
	e.Name = r.Type
	e.Body = r
	if r.URL != "" {
		e.Page = r.URL
	}
}

// decodeCSP reads a report-uri upload (CSP3 §5.5), one violation in an object of
// its own names, which WebKit also uses for report-to with the Reporting API's
// object inside.
func decodeCSP(one []Event, body []byte, buffer int, lim *bounds) ([]Event, error) {
	e := &one[0]
	if e.setItem(body, lim); e.Body.Kind() != "json" {
		e.unpin(buffer)
		return one, nil
	}
	var legacy []byte
	m, _ := wire.MembersOf(body)
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		if key == "csp-report" {
			legacy = v
		}
	}
	if legacy == nil {
		return decodeReports(one, body, buffer, lim)
	}
	r := Report{Type: cspViolation, UserAgent: e.Request.UserAgent}
	members, few := countMembers(legacy, lim.MaxFields)
	if !few {
		e.note("csp-report", "", fmt.Sprintf("more than %d members", lim.MaxFields))
		e.unpin(buffer)
		return one, nil
	}
	if err := lim.room(2*len(legacy) + members*memberCost); err != nil { // it is written anew
		return nil, err
	}
	var ok bool
	if r.Body, r.URL, ok = wire.ModernCSP(legacy); ok {
		e.setReportBody(r)
	} else {
		e.note("csp-report", wire.Text(legacy), "not an object")
	}
	e.unpin(buffer + cap(r.Body))
	return one, nil
}

// memberCost is what a member that has no place in a report takes while it is sorted.
const memberCost = 100

// countMembers counts those of a JSON object, and says whether they are at most so many.
func countMembers(object []byte, most int) (n int, few bool) {
	m, _ := wire.MembersOf(object)
	for ; n <= most; n++ {
		if _, _, ok := m.Next(); !ok {
			return n, true
		}
	}
	return n, false
}
