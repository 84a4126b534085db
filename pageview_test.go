package beacon_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

func ms(n int64) time.Time { return time.UnixMilli(n).UTC() }

// TestPageViewOf reads what the client of package client sends, and what pages do without
// it.
func TestPageViewOf(t *testing.T) {
	const start, end = 1700000000000, 1700000060000
	session := beacon.Event{
		Name: "session", Session: "s", View: "v", Page: "https://example.com/", Series: "s:v", Seq: 3, Mode: beacon.ModeReplace,
		Sent: ms(end), Received: ms(end + 500), Body: beacon.JSON(`{"start":1700000000000,"end":1700000060000,"engaged":1500,"seen":40000.5}`),
	}
	with := func(e beacon.Event, change func(*beacon.Event)) beacon.Event {
		change(&e)
		return e
	}
	article := beacon.Form{{Name: "start", Value: "1700000000000"}, {Name: "end", Value: "1700000060000"}, {Name: "msg", Value: "bye"}}
	whole := beacon.PageView{
		Session: "s", View: "v", Page: "https://example.com/", Start: ms(start), End: ms(end), Seq: 3,
		Visible: 40*time.Second + 500*time.Microsecond, Engaged: 1500 * time.Millisecond, Offset: 500 * time.Millisecond, HasOffset: true,
	}
	for name, c := range map[string]struct {
		event beacon.Event
		want  beacon.PageView // zero if it says nothing
	}{
		"session": {session, whole},
		"a request that waited": {with(session, func(e *beacon.Event) { e.Sent = time.Time{} }), func() beacon.PageView {
			v := whole
			v.Offset, v.HasOffset = 0, false
			return v
		}()},
		"never seen": {with(session, func(e *beacon.Event) {
			e.Body = beacon.JSON(`{"start":1700000000000,"end":1700000000000,"engaged":0,"seen":0}`)
		}), beacon.PageView{
			Session: "s", View: "v", Page: whole.Page, Start: ms(start), End: ms(start), Seq: 3, Unseen: true, Offset: whole.Offset, HasOffset: true,
		}},
		"referrer and name": {with(session, func(e *beacon.Event) {
			e.Body = beacon.JSON(`{"plan":"free","start":1700000000000,"end":1700000060000,"engaged":1500,"seen":40000.5,"ref":"https://ü.example/\u00e9","name":"c\"art"}`)
		}), func() beacon.PageView {
			v := whole
			v.Referrer, v.Name = "https://ü.example/é", `c"art`
			return v
		}()},
		"no texts": {with(session, func(e *beacon.Event) {
			e.Body = beacon.JSON(`{"start":1700000000000,"end":1700000060000,"engaged":1500,"seen":40000.5,"ref":7,"name":{"ref":"x"}}`)
		}), whole},
		"a long referrer": {with(session, func(e *beacon.Event) {
			e.Body = beacon.JSON(`{"start":1700000000000,"end":1700000060000,"engaged":1500,"seen":40000.5,"ref":"` + strings.Repeat("x", 8<<10-1) + `ü"}`)
		}), func() beacon.PageView {
			v := whole
			v.Referrer = strings.Repeat("x", 8<<10-1)
			return v
		}()},
		"a form's own name": {beacon.Event{ID: "e", Name: "form", Body: append(article[:2:2], beacon.Field{Name: "name", Value: "Ada"}, beacon.Field{Name: "ref", Value: "r"})},
			beacon.PageView{View: "1700000000000", Start: ms(start), End: ms(end)}},
		"an object's own name": {beacon.Event{ID: "e", Body: beacon.JSON(`{"start":1700000000000,"end":1700000060000,"name":"Ada","ref":"r"}`)},
			beacon.PageView{View: "1700000000000", Start: ms(start), End: ms(end)}},
		"log": {beacon.Event{Name: "log", Session: "s", View: "v", Page: "p", Seq: 4, Mode: beacon.ModeAppend, Body: beacon.JSON(`{"msg":"a"}`)},
			beacon.PageView{Session: "s", View: "v", Page: "p", Logged: 4}},
		"the article's form": {beacon.Event{ID: "e", Page: "p", Body: article}, beacon.PageView{View: "1700000000000", Page: "p", Start: ms(start), End: ms(end)}},
		"its start alone":    {beacon.Event{ID: "e", Body: article[:1]}, beacon.PageView{View: "1700000000000", Start: ms(start), End: ms(start)}},
		"a query":            {beacon.Event{ID: "e", Body: beacon.Empty{}, Query: article}, beacon.PageView{View: "1700000000000", Start: ms(start), End: ms(end)}},
		"durations in a form": {beacon.Event{Body: append(article[:2:2], beacon.Field{Name: "seen", Value: "250"}, beacon.Field{Name: "engaged", Value: "-5"})},
			beacon.PageView{View: "1700000000000", Start: ms(start), End: ms(end), Visible: 250 * time.Millisecond}},
		"no times":           {beacon.Event{ID: "e", Body: beacon.JSON(`{"name":"LCP","value":5}`)}, beacon.PageView{}},
		"an end alone":       {beacon.Event{Body: article[1:]}, beacon.PageView{}},
		"seconds":            {beacon.Event{Body: beacon.JSON(`{"start":1700000000,"end":1700000060}`)}, beacon.PageView{}},
		"no time":            {beacon.Event{Body: beacon.JSON(`{"start":"soon"}`)}, beacon.PageView{}},
		"end before start":   {beacon.Event{Body: beacon.JSON(`{"start":1700000060000,"end":1700000000000}`)}, beacon.PageView{}},
		"a log without view": {beacon.Event{Name: "log", Mode: beacon.ModeAppend, Seq: 1, Body: beacon.JSON(`{"msg":"a"}`)}, beacon.PageView{}},
		"a pixel":            {beacon.Event{ID: "e", Body: beacon.Empty{}}, beacon.PageView{}},
	} {
		got, ok := beacon.PageViewOf(c.event)
		if ok != (c.want != beacon.PageView{}) {
			t.Errorf("%s: %v", name, ok)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestPageViewTimes: times are cut to the microsecond as they are written, which is
// finer than a float of milliseconds since the epoch.
func TestPageViewTimes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 10_000 {
		start := 1700000000000000 + r.Int64N(1e15)
		end, engaged := start+r.Int64N(1e9), r.Int64N(1e9)
		body := fmt.Sprintf(`{"start":%d.%03d,"end":"%d.%03d99","engaged":%d.%03d}`, start/1000, start%1000, end/1000, end%1000, engaged/1000, engaged%1000)
		v, ok := beacon.PageViewOf(beacon.Event{Body: beacon.JSON(body)})
		if !ok || v.Start.UnixMicro() != start || v.End.UnixMicro() != end || v.Engaged.Microseconds() != engaged {
			t.Fatalf("%s: %+v", body, v)
		}
	}
	for text, want := range map[string]int64{
		`1.7e12`: 17e14, `"1.7e12"`: 17e14, `" 1700000000000.5 "`: 1700000000000500, `"1700000000000.00"`: 17e14, `"+1700000000000"`: 17e14,
		`"2023-11-14T22:13:20.0000019Z"`: 1700000000000001, `"1700000000000."`: 17e14, `17000000000000`: 17e15, `-1700000000000`: -17e14, `"1700000000000.5.5"`: 0, `"1700000000000.5x5"`: 0,
		`"1700000000000.0005z"`: 0, `""`: 0, `null`: 0, `{}`: 0, `18448444073709551.616`: 0, // 2⁶⁴ too much
	} {
		v, ok := beacon.PageViewOf(beacon.Event{Body: beacon.JSON(`{"start":` + text + `}`)})
		if ok != (want != 0) || ok && v.Start != time.UnixMicro(want).UTC() {
			t.Errorf("%s: %v %v", text, v.Start, ok)
		}
	}
	if v, _ := beacon.PageViewOf(beacon.Event{Body: beacon.JSON(`{"start":1700000000000,"engaged":1.0000005e3,"seen":"5e-5"}`)}); v.Engaged != time.Second || !v.Unseen {
		t.Errorf("%v %v", v.Engaged, v.Unseen)
	}
	for _, c := range []struct{ start, id, view string }{{"1700000000000", "e", "1700000000000"}, {" 1.7e12", "e", "1.7e12"}, {"1700000000000." + strings.Repeat("0", 300), "e", "e"}} {
		if v, _ := beacon.PageViewOf(beacon.Event{ID: c.id, Body: beacon.Form{{Name: "start", Value: c.start}}}); v.View != c.view {
			t.Errorf("%q: %q", c.start, v.View)
		}
	}
}

func TestPageViewJoin(t *testing.T) {
	report := func(seq uint64, end int64, visible, engaged time.Duration) beacon.PageView {
		return beacon.PageView{Session: "s", View: "v", Page: "p", Start: ms(1000), End: ms(end), Seq: seq, Visible: visible, Engaged: engaged}
	}
	late := report(1, 2000, 500, 100)
	late.Offset, late.HasOffset = -3*time.Second, true
	final := report(2, 9000, 7000, 300)
	final.Offset, final.HasOffset, final.Page, final.Referrer = 5*time.Second, true, "q", "a"
	late.Referrer, late.Name = "z", "early"
	messages := beacon.PageView{Session: "s", View: "v", Page: "zzz", Logged: 7}
	got := messages.Join(final).Join(late)
	want := final
	want.Offset, want.Logged = -3*time.Second, 7
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A totals of the largest Seq counts, also where it is less: the clock of the page
	// was wrong before.
	if got := report(5, 100, 1, 1).Join(report(4, 100, 9, 9)); got.Visible != 1 || got.Engaged != 1 {
		t.Errorf("%+v", got)
	}
}

// TestPageViewJoinLaws: any order, duplication and grouping gives the same.
func TestPageViewJoinLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letter := func() string { return "abc"[:r.IntN(4)] }
	some := func() beacon.PageView {
		v := beacon.PageView{Session: "s", View: "v", Seq: r.Uint64N(4), Logged: r.Uint64N(3), Page: letter(), Referrer: letter(), Name: letter()}
		if r.IntN(4) > 0 {
			v.Start = ms(1000 + r.Int64N(5))
			v.End = v.Start.Add(time.Duration(r.IntN(5)) * time.Millisecond)
		}
		v.Visible, v.Engaged, v.Unseen = time.Duration(r.IntN(3)), time.Duration(r.IntN(3)), r.IntN(3) == 0
		if r.IntN(2) == 0 {
			v.Offset, v.HasOffset = time.Duration(r.IntN(7)-3), true
		}
		return v
	}
	for range 20_000 {
		a, b, c := some(), some(), some()
		if a.Join(b) != b.Join(a) {
			t.Fatalf("not commutative:\n%+v\n%+v", a, b)
		}
		if a.Join(b).Join(c) != a.Join(b.Join(c)) {
			t.Fatalf("not associative:\n%+v\n%+v\n%+v", a, b, c)
		}
		if a.Join(a) != a || a.Join(b).Join(b) != a.Join(b) {
			t.Fatalf("not idempotent:\n%+v\n%+v", a, b)
		}
		if a.Join(beacon.PageView{}) != a && a.Seq > 0 {
			t.Fatalf("changed by nothing:\n%+v", a)
		}
	}
}

// TestSecondsForMilliseconds: both ends in seconds are not a session of some
// milliseconds.
func TestSecondsForMilliseconds(t *testing.T) {
	for body, wrong := range map[string]bool{
		`{"start":1700000000,"end":1700000012}`: true, `{"start":"1700000000"}`: true, `{"start":946684800,"end":946684801}`: true,
		`{"start":0,"end":60000}`: false, `{"start":1700000000000,"end":1700000012340}`: false, `{"start":978307200000,"end":978307201000}`: false,
	} {
		_, err := beacon.SessionOf(beacon.Event{Body: beacon.JSON(body)})
		if (err != nil) != wrong {
			t.Errorf("%s: %v", body, err)
		}
	}
}

var sessionReport = beacon.Event{
	ID: "8f14e45f:s:8f14e45f:12", Name: "session", Session: "c9f0f895fb98ab91", View: "8f14e45fceea167a", Page: "https://example.com/articles/beacons", Series: "s:8f14e45fceea167a",
	Seq: 12, Mode: beacon.ModeReplace, Sent: ms(1772452860123), Received: ms(1772452860171),
	Body: beacon.JSON(`{"plan":"free","start":1772452800040.3,"end":1772452860121.8999,"engaged":41000.100000001,"seen":58021.2,"ref":"https://example.com/articles","name":"Beacons, and how to count them"}`),
}

// TestPageViewOfAllocations: a report is read in one pass, and its texts are one.
func TestPageViewOfAllocations(t *testing.T) {
	bare := sessionReport
	bare.Body = beacon.JSON(`{"start":1772452800040.3,"end":1772452860121.8999,"engaged":41000.100000001,"seen":58021.2}`)
	for name, c := range map[string]struct {
		event  beacon.Event
		budget float64
	}{"texts": {sessionReport, 1}, "no texts": {bare, 0}, "a message": {beacon.Event{Name: "log", View: "v", Mode: beacon.ModeAppend, Seq: 1, Body: beacon.JSON(`{}`)}, 0}} {
		if got := testing.AllocsPerRun(100, func() { beacon.PageViewOf(c.event) }); got > c.budget {
			t.Errorf("%s: %v allocations, budget %v", name, got, c.budget)
		}
	}
}

func BenchmarkPageViewOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		beacon.PageViewOf(sessionReport)
	}
}
