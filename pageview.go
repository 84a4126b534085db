package beacon

import (
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// A PageView is what is known of one view of a page by one visitor: how long it was
// open, seen and used. Several events tell of it, each more than the one before, and
// [PageView.Join] makes one of them.
//
// The zero value of a field means that nobody said. All of it is the client's word.
type PageView struct {
	// Session and View identify it, together. Where the client gives no view, which
	// only its script does, it is the start as the page wrote it, or else the ID of
	// the event.
	Session, View string

	// Page is the page, as [Event.Page] has it, and Referrer the page that led to it:
	// the document's referrer, and of a view in a single-page application the view
	// before. The client sends the origin and the path of both, unless it is told
	// otherwise. Name is what the page called this view.
	Page, Referrer, Name string

	// Start is when the page was first seen, and End when it was last, on the
	// client's clock, in UTC. Both are zero in a PageView that only counts messages.
	Start, End time.Time

	// Visible is for how long the page was visible, and Engaged for how long it had
	// the focus of a visitor who did something now and then.
	Visible, Engaged time.Duration

	// Unseen says that the client reported, and nobody had seen the page: a tab in
	// the background, or a prerendered page. It means nothing where Visible is
	// positive. One that says nothing of visibility counts as seen.
	Unseen bool

	// Seq is that of the report that Page, Referrer, Name, Visible, Engaged and Unseen
	// are from, from 1; 0 if it has none, or one that is not believable (see [Event.Seq]): any other
	// report has the last word then.
	Seq uint64

	// Offset is how far the server's clock was ahead of the client's when the report
	// was sent, and the way it took; HasOffset is whether that is known. Start and
	// End plus Offset are on the server's clock.
	Offset    time.Duration
	HasOffset bool

	// Logged is how many messages the page has logged, at least.
	Logged uint64

	// Crashed says that the browser reported a crash of the page.
	Crashed bool

	// Activity says that this is not a view of a page but something that happened
	// beside one, such as a ping or a report. Start and End are when, on the server's
	// clock. Package sessions makes such ones; PageViewOf does not.
	Activity bool
}

// PageViewOf returns what an event says of a page view. ok is false if it says
// nothing. It reads
//
//   - the client's reports, of which the [Event.Name] is "session": a JSON object with
//     the members start and end (milliseconds since the epoch), engaged and seen
//     (milliseconds; seen is Visible), ref (Referrer) and name
//   - the client's messages, of which the name is "log": a JSON object with the member
//     msg and whatever the page added; they only count, by their Seq
//   - events of a page's own with fields start and, perhaps, end, engaged and seen, in
//     the form, the JSON object or the query, as [SessionOf] reads them
//
// Times and durations are cut to microseconds, which is what stores keep.
//
// Session, View and Page share the memory of the event, as [Event] says; Referrer and
// Name do not.
//
// Times that cannot be read, or are seconds by mistake, and a start that is missing,
// after the end or longer before it than [MaxSession], are none.
func PageViewOf(e Event) (v PageView, ok bool) {
	v = PageView{Session: e.Session, View: e.View, Page: e.Page}
	if !e.Sent.IsZero() && !e.Received.IsZero() {
		v.Offset, v.HasOffset = e.Received.Sub(e.Sent).Truncate(time.Microsecond), true
	}
	seq := e.Seq
	if seq > maxSeq {
		seq = 0 // of an event that was stored before it was looked at
	}
	if e.Name == "log" && e.Mode == ModeAppend && e.View != "" {
		v.Logged = seq
		return v, true
	}
	switch e.Body.(type) {
	case Report, Ping: // which tell of something else, whatever the query says
		return PageView{}, false
	}
	s := e.said()
	start, okStart := saidMoment(s.start)
	end, okEnd := saidMoment(s.end)
	if end.IsZero() {
		end = start
	}
	if !okStart || !okEnd || start.IsZero() || wire.InSeconds(start) || end.Before(start) || end.Sub(start) > MaxSession || end.UnixMilli() >= wire.Year10000 {
		return PageView{}, false
	}
	v.Start, v.End = start, end
	if v.View = e.View; v.View == "" {
		if v.View = strings.TrimSpace(s.start); len(v.View) > maxID {
			v.View = e.ID // who writes a time like that means no identity
		}
	}
	if e.Mode == ModeReplace {
		v.Seq = seq
	}
	v.Visible, v.Unseen = saidDuration(s.seen)
	v.Engaged, _ = saidDuration(s.engaged)
	if e.Name == "session" {
		v.Referrer, v.Name = apart(s.ref, s.name)
	}
	return v, true
}

// apart returns copies of two texts, of which no more is kept than of a page.
func apart(a, b string) (string, string) {
	a, b = short(a), short(b)
	both := a + b
	if a == "" || b == "" {
		both = strings.Clone(both) // which is one of them
	}
	return both[:len(a)], both[len(a):]
}

func short(text string) string {
	if len(text) > maxHeader {
		return strings.ToValidUTF8(text[:maxHeader], "")
	}
	return text
}

// saidMoment reads a time, to the microsecond; "" is a zero one.
func saidMoment(text string) (t time.Time, ok bool) {
	if us, ok := saidMicros(text); ok {
		return time.UnixMicro(us).UTC(), true
	}
	t, err := saidTime("", text)
	return t.Truncate(time.Microsecond), err == nil
}

// saidDuration reads milliseconds. zero says that it is none, and not that nothing was
// said.
func saidDuration(text string) (d time.Duration, zero bool) {
	if text == "" {
		return 0, false
	}
	if us, ok := saidMicros(text); ok {
		return time.Duration(us) * time.Microsecond, us == 0
	}
	ms, err := strconv.ParseFloat(text, 64)
	d, ok := wire.MillisDuration(ms)
	if err != nil || !ok || d < 0 {
		return 0, false
	}
	d = d.Truncate(time.Microsecond)
	return d, d == 0
}

// saidMicros reads milliseconds that are written as clients do, in digits with or without
// a fraction, and cuts them to microseconds. As a float they could be one less.
func saidMicros(text string) (us int64, ok bool) {
	i := 0
	for ; i < len(text) && i <= 13 && text[i]-'0' <= 9; i++ {
		us = us*10 + int64(text[i]-'0')
	}
	if i == 0 || i > 13 { // no clock is beyond the year 2286
		return 0, false
	}
	us *= 1000
	if i == len(text) {
		return us, true
	}
	if text[i] != '.' || i+1 == len(text) {
		return 0, false
	}
	scale := int64(100)
	for _, c := range []byte(text[i+1:]) {
		if c -= '0'; c > 9 {
			return 0, false
		}
		us += int64(c) * scale
		scale /= 10
	}
	return us, true
}

// Join returns what two PageViews of the same page view say together: the earliest
// start and the latest end, the totals of the report with the largest Seq (of two with
// the same, the larger ones), the smallest Offset, and the largest Logged.
//
// It does not matter in which order views are joined, or how often, or in what groups.
// Those of different keys are not one page view; what Join makes of them means nothing.
func (v PageView) Join(o PageView) PageView {
	j := PageView{
		Session: max(v.Session, o.Session), View: max(v.View, o.View),
		Start: v.Start, End: v.End, Logged: max(v.Logged, o.Logged),
		Offset: v.Offset, HasOffset: v.HasOffset || o.HasOffset,
		Crashed: v.Crashed || o.Crashed, Activity: v.Activity || o.Activity,
	}
	if j.Start.IsZero() || !o.Start.IsZero() && o.Start.Before(j.Start) {
		j.Start = o.Start
	}
	if o.End.After(j.End) {
		j.End = o.End
	}
	if !v.HasOffset || o.HasOffset && o.Offset < v.Offset {
		j.Offset = o.Offset
	}
	// What comes with a Seq is of one report, which knew all of it.
	last := v
	switch {
	case v.Seq < o.Seq:
		last = o
	case v.Seq == o.Seq:
		last.Page, last.Referrer, last.Name = max(v.Page, o.Page), max(v.Referrer, o.Referrer), max(v.Name, o.Name)
		last.Visible, last.Engaged = max(v.Visible, o.Visible), max(v.Engaged, o.Engaged)
		last.Unseen = v.Unseen || o.Unseen
	}
	j.Referrer, j.Name = last.Referrer, last.Name
	j.Page, j.Visible, j.Engaged, j.Unseen, j.Seq = last.Page, last.Visible, last.Engaged, last.Unseen, last.Seq
	return j
}
