// Package visits has visits to a site as events tell of them: named ones from real life,
// with the sessions that they are, and random ones. Whoever derives sessions, in memory
// or in SQL, is tested with them.
package visits

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// A Case is a visit, and what it is by the default [sessions.Rules] and
// [sessions.Source].
type Case struct {
	Name   string
	Events []beacon.Event // as they were sent
	Want   []sessions.Session
}

// Noon is when most visits begin, on the server's clock.
var Noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// Way is how long a request takes to the server: by so much all is later there.
const Way = 40 * time.Millisecond

// maxAge is that of the receiver, see [beacon.Limits].
const maxAge = 7 * 24 * time.Hour

// A visitor is one browser. All times are since Noon, as they truly are; the browser's
// clock is ahead by skew.
type visitor struct {
	session string
	skew    time.Duration
	events  []beacon.Event
}

// A totals is one report of a page view: what it sums up to, until now.
type totals struct {
	view, page, ref string
	session         string // that of the visitor, if empty
	seq             uint64
	start, end      time.Duration
	seen, engaged   time.Duration
	sent            time.Duration // end, if 0
	wait            time.Duration // for how long it was held back: such a one has no Sent
}

// millis is a time on the visitor's clock as the client writes it.
func (v *visitor) millis(at time.Duration) string {
	return strconv.FormatFloat(float64(Noon.Add(at+v.skew).UnixMicro())/1000, 'f', -1, 64)
}

func inMillis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
}

// report is the client's event of a page view, as a Handler makes it of an envelope.
func (v *visitor) report(t totals) {
	t.sent, t.seq = cmp.Or(t.sent, t.end), cmp.Or(t.seq, 1)
	ref := ""
	if t.ref != "" {
		ref = fmt.Sprintf(`,"ref":%q`, t.ref)
	}
	e := v.envelope(t.view, "s:"+t.view, "session", t.seq, beacon.ModeReplace, t.sent, t.wait)
	e.Session, e.Page = cmp.Or(t.session, v.session), "https://example.com/"+t.page
	e.Body = beacon.JSON(fmt.Sprintf(`{"start":%s,"end":%s,"engaged":%s,"seen":%s%s}`,
		v.millis(t.start), v.millis(t.end), inMillis(t.engaged), inMillis(t.seen), ref))
	v.events = append(v.events, e)
}

// log is a message of the client's.
func (v *visitor) log(view string, seq uint64, at time.Duration) {
	e := v.envelope(view, "l:"+view, "log", seq, beacon.ModeAppend, at, 0)
	e.Body = beacon.JSON(`{"msg":"hello"}`)
	v.events = append(v.events, e)
}

// vitals is what a page adds to its own series of its page view.
func (v *visitor) vitals(view string, at time.Duration) {
	e := v.envelope(view, "vitals", "LCP", 1, beacon.ModeAppend, at, 0)
	e.Body = beacon.JSON(`{"value":1234.5,"rating":"good"}`)
	v.events = append(v.events, e)
}

func (v *visitor) envelope(view, series, name string, seq uint64, mode beacon.Mode, sent, wait time.Duration) beacon.Event {
	e := v.event(name, sent+wait)
	e.ID = view + ":" + series + ":" + strconv.FormatUint(seq, 10)
	e.View, e.Series, e.Seq, e.Mode = view, series, seq, mode
	if wait == 0 {
		e.Sent = Noon.Add(sent + v.skew)
	} else {
		e.Time = stated(Noon.Add(sent+v.skew), e.Received)
	}
	return e
}

// stated is when an event happened of which only the client's clock says it.
func stated(at, received time.Time) time.Time {
	return received.Add(-min(max(received.Sub(at), 0), maxAge))
}

// event is one that says nothing of itself.
func (v *visitor) event(name string, sent time.Duration) beacon.Event {
	at := Noon.Add(sent + Way)
	id := fmt.Sprintf("%s-%s-%d", v.session, name, len(v.events))
	return beacon.Event{
		ID: id, Name: name, Time: at, Received: at, Session: v.session, Page: "https://example.com/", Body: beacon.Empty{},
		Request: beacon.Request{ID: "request-" + id, Method: "POST", Host: "example.com", Path: "/_pb"},
	}
}

// happen is something without a page view, by the receiver's clock.
func (v *visitor) happen(name string, at time.Duration, body beacon.Body) {
	e := v.event(name, at)
	e.Body = body
	v.events = append(v.events, e)
}

// crash is what the browser reports of a page that crashed, some time later.
func (v *visitor) crash(at, age time.Duration) {
	e := v.event("crash", at+age)
	e.Time = e.Received.Add(-age)
	e.Body = beacon.Report{Type: "crash", URL: e.Page, Age: age, Body: []byte(`{"reason":"oom"}`)}
	v.events = append(v.events, e)
}

// form is what the page of the article sends: start, end and msg. No start is none.
func (v *visitor) form(start, end, sent time.Duration) {
	e := v.event("", sent)
	f := beacon.Form{{Name: "start", Value: v.millis(start)}, {Name: "end", Value: v.millis(end)}, {Name: "msg", Value: "bye"}}
	if end == 0 {
		f = f[:1]
	}
	e.Body = f
	v.events = append(v.events, e)
}

// visit is a visitor whose browser sends what do says.
func visit(session string, do func(*visitor)) []beacon.Event {
	v := visitor{session: session}
	do(&v)
	return v.events
}

// steady is a page view that was visible and engaged from start to end, of which there
// is a report every half minute.
func (v *visitor) steady(view, page, ref string, start, end time.Duration) {
	seq := uint64(1)
	for at := start + 30*time.Second; at < end; at += 30 * time.Second {
		v.report(totals{view: view, page: page, ref: ref, seq: seq, start: start, end: at, seen: at - start, engaged: at - start})
		seq++
	}
	v.report(totals{view: view, page: page, ref: ref, seq: seq, start: start, end: end, seen: end - start, engaged: end - start})
}

// A visited is a session that is wanted. Times are since Noon, on the server's clock.
type visited struct {
	key, view             string // view is that of the first page view
	start, end, engaged   time.Duration
	views, attached       int
	entry, exit, referrer string // exit is the entry, if empty
	logged                uint64
	crashed, cut          bool
	incomplete, unclocked bool
}

func (w visited) session() sessions.Session {
	s := sessions.Session{
		ID: w.view, Key: w.view, Start: Noon.Add(w.start), End: Noon.Add(w.end), Engaged: w.engaged, Views: cmp.Or(w.views, 1),
		Entry: "https://example.com/" + w.entry, Exit: "https://example.com/" + cmp.Or(w.exit, w.entry), Referrer: w.referrer,
		Attached: w.attached, Logged: w.logged, Crashed: w.crashed, Cut: w.cut, Incomplete: w.incomplete, ClientClock: w.unclocked,
	}
	if w.key != "" {
		s.ID, s.Key = w.key+":"+w.view, w.key
	}
	return s
}
