package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pagebeacon/beacon"
)

func TestRing(t *testing.T) {
	r := ring{keep: 3, room: 1000}
	sized := func(size int) { r.add(&item{size: size, id: uint64(size)}) }
	for i := range 5 {
		sized(i + 1)
	}
	for _, tt := range []struct {
		pos    uint64
		most   int
		want   []int
		missed uint64
	}{
		{0, 9, []int{3, 4, 5}, 2}, {1, 9, []int{3, 4, 5}, 1}, {2, 9, []int{3, 4, 5}, 0}, {4, 9, []int{5}, 0}, {5, 9, nil, 0},
		{2, 1, []int{5}, 2}, {99, 9, []int{3, 4, 5}, 2},
	} {
		items, missed := r.since(tt.pos, tt.most)
		var got []int
		for _, it := range items {
			got = append(got, it.size)
		}
		if !slices.Equal(got, tt.want) || missed != tt.missed {
			t.Errorf("since(%d, %d) = %v, %d missed; want %v, %d", tt.pos, tt.most, got, missed, tt.want, tt.missed)
		}
	}
	sized(990) // two go for it
	sized(2000)
	if items, _ := r.since(0, 9); len(items) != 1 || items[0].size != 2000 || r.bytes != 2000 || len(r.ids) != 1 {
		t.Errorf("one that is too large: %d items, %d bytes, %d ids", len(items), r.bytes, len(r.ids))
	}
	sized(1)
	if r.bytes != 1 || len(r.items) != 1 {
		t.Errorf("after it: %d items, %d bytes", len(r.items), r.bytes)
	}
}

// TestGrown: what was worked out to be shown is counted in place of the event.
func TestGrown(t *testing.T) {
	r := ring{keep: 3, room: 1 << 20}
	it := newItem(&beacon.Event{Body: beacon.Text("short")}, "", "")
	r.add(it)
	it.shown()
	if r.grown(it); r.bytes != len(it.data)+spare {
		t.Errorf("%d bytes are counted, of %d", r.bytes, len(it.data)+spare)
	}
}

// hostile are events that are as large, as many or as odd as a request allows.
func hostile(rnd *rand.Rand, n int) beacon.Event {
	long := func(most int) string { return strings.Repeat(string(rune(rnd.IntN(0x300))), rnd.IntN(most)) }
	e := beacon.Event{
		ID: long(2000), Name: long(4000), Page: long(8000), Session: long(3000), View: fmt.Sprint(n) + long(3000),
		Time: time.Unix(rnd.Int64N(1<<33)-1<<32, 0), Received: time.Unix(1.8e9, 0), Seq: rnd.Uint64(), Mode: beacon.ModeReplace,
		Request: beacon.Request{UserAgent: long(8000), Origin: "javascript:alert(1)", Path: long(8000)},
	}
	if n%7 == 0 {
		e.Session, e.Name = "one for all", "session"
	}
	for i := range rnd.IntN(80) {
		e.Query = append(e.Query, beacon.Field{Name: long(500), Value: fmt.Sprint(i)})
		e.Errors = append(e.Errors, beacon.FieldError{Key: long(64), Reason: long(64)})
	}
	start := rnd.Int64N(4e12)
	switch rnd.IntN(8) {
	case 0:
		e.Body = beacon.Text("\xff\x00" + long(200_000))
	case 1:
		e.Body = beacon.JSON(strings.Repeat("[", 500) + strings.Repeat("]", 500))
	case 2:
		e.Body = beacon.Binary{Data: make([]byte, rnd.IntN(300_000))}
	case 3:
		f := make(beacon.Form, rnd.IntN(300))
		for i := range f {
			f[i] = beacon.Field{Name: long(300), File: &beacon.File{Name: long(300), Data: []byte(long(300))}}
		}
		e.Body = f
	case 4:
		e.Body = beacon.Report{Type: "crash", URL: long(3000), Body: json.RawMessage(`{"a":"` + strings.Repeat(`\u0000`, rnd.IntN(9000)) + `"}`)}
	case 5:
		e.Body = beacon.Ping{From: "javascript:alert(1)", To: long(10_000)}
	default:
		e.Body = beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":1e300,"seen":%d,"ref":%q}`, start, start+rnd.Int64N(9e7), rnd.Int64N(9e9), strings.ToValidUTF8(long(4000), "")))
	}
	return e
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestMemory: whatever comes, what is kept is bounded, and what a viewer is sent at once.
func TestMemory(t *testing.T) {
	const room, views = 2 << 20, 200
	l := make1(t, Options{MaxEvents: 200, MaxBytes: room, MaxPageViews: views})
	rnd := rand.New(rand.NewPCG(11, 1))
	before := heap()
	for i := range 600 {
		take(l, hostile(rnd, i))
		if i%4 == 0 {
			r := httptest.NewRequest("POST", "/x", nil)
			r.Header.Set("Origin", strings.Repeat("\x1b", 9000))
			l.Refused(r, make([]byte, 100_000), &beacon.RequestError{Status: 400, Reason: fmt.Sprint("own-", i), Err: errors.New(strings.Repeat("e", 100_000))})
		}
		if l.ring.bytes > room+largest+spare || len(l.ring.items) > 200 || l.views.count > views || len(l.refusals.kept) > refusalsKept || len(l.refusals.reasons) > reasonsKept+1 {
			t.Fatalf("after %d: %d bytes, %d items, %d page views, %d refusals of %d reasons", i, l.ring.bytes, len(l.ring.items), l.views.count, len(l.refusals.kept), len(l.refusals.reasons))
		}
	}
	const per = 3 << 10
	if got, most := heap()-before, 2*room+200*8<<10+views*per+refusalsKept*(8<<10); got > most {
		t.Errorf("%d bytes are kept, want at most %d", got, most)
	}
	var n int
	for el := l.views.order.Front(); el != nil; el = el.Next() {
		w := el.Value.(*visitor)
		n += len(w.views)
		for _, v := range w.views {
			if len(v.reports) > perView || len(w.views) > perVisitor {
				t.Fatalf("%d reports, %d page views of one", len(v.reports), len(w.views))
			}
		}
	}
	if n != l.views.count || len(l.views.visitors) != l.views.order.Len() {
		t.Errorf("%d page views of %d visitors, counted %d of %d", n, l.views.order.Len(), l.views.count, len(l.views.visitors))
	}
	for _, it := range l.ring.items {
		if got := len(it.shown()); got > 8*eventBytes {
			t.Errorf("%d bytes are shown of one event", got)
		} else if !json.Valid(it.shown()) || !utf8.Valid(it.shown()) || strings.ContainsAny(string(it.shown()), "\n\r") {
			t.Errorf("not a line of JSON: %q", it.shown())
		}
	}
	s := l.look(time.Now())
	size := len(s.table.totals)
	for _, r := range s.table.rows {
		size += len(r.data)
		if !json.Valid(r.data) {
			t.Errorf("not JSON: %q", r.data)
		}
	}
	if len(s.table.rows) > sessionsShown || size > 8<<20 {
		t.Errorf("%d sessions in %d bytes", len(s.table.rows), size)
	}
}

// TestForgets: those go that were not heard of for longest, with all of theirs; and of one
// visitor who fills the book alone, activity first.
func TestForgets(t *testing.T) {
	var b book
	b.init(5)
	view := func(key, view string, activity bool) {
		b.add(beacon.PageView{Session: key, View: view, Start: time.Unix(1, 0), End: time.Unix(2, 0), Activity: activity}, time.Unix(int64(b.version), 0))
	}
	for i := range 3 {
		view("a", fmt.Sprint(i), false)
	}
	view("b", "0", false)
	view("a", "0", false) // heard of again
	view("c", "0", false)
	view("d", "0", false) // one too many
	if b.count != 5 || b.visitors["b"] != nil || b.visitors["a"] == nil {
		t.Errorf("%d page views, of b %v", b.count, b.visitors["b"])
	}
	b.init(1 << 20)
	b.add(beacon.PageView{View: "long", Page: strings.Repeat("p", 5000), Start: time.Unix(1, 0), End: time.Unix(1, 0)}, time.Unix(1, 0))
	if p := b.order.Front().Value.(*visitor).views[0].Page; len(p) > textBytes+len("…") {
		t.Errorf("%d bytes of an address are kept", len(p))
	}
	b.init(1 << 20)
	view("a", "first", false)
	for i := range 2 * perVisitor {
		view("a", fmt.Sprint("ping", i), true)
	}
	w := b.visitors["a"].Value.(*visitor)
	if len(w.views) != perVisitor || b.count != perVisitor || w.views[0].View != "first" || !w.lost {
		t.Errorf("%d page views (%d), the first is %s", len(w.views), b.count, w.views[0].View)
	}
	b.init(3)
	for i := range 9 {
		view("a", fmt.Sprint(i), false)
	}
	if w := b.visitors["a"].Value.(*visitor); b.count != 3 || len(w.views) != 3 {
		t.Errorf("%d page views of one visitor (%d), want 3", len(w.views), b.count)
	}
}

// TestConcurrently: many write while some look and some leave.
func TestConcurrently(t *testing.T) {
	l := make1(t, Options{MaxEvents: 50, MaxPageViews: 50, MaxBytes: 1 << 18, Checks: []Check{{Name: "c", Healthy: func(context.Context) error { return nil }}}})
	url := serve(t, l)
	var wg, looking sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 30 {
				take(l, hostile(rnd, i), hostile(rnd, i))
				l.Refused(nil, nil, nil)
			}
		})
		looking.Go(func() {
			s := listen(t, url, "")
			for n := 0; n < 5*(w+1); n++ { // some leave, and the end comes for others
				if _, ok := s.next(); !ok {
					break
				}
			}
			s.resp.Body.Close()
		})
	}
	wg.Wait()
	l.Close(t.Context())
	looking.Wait()
	var sum int
	for _, it := range l.ring.items {
		sum += it.size
	}
	if sum != l.ring.bytes {
		t.Errorf("%d bytes, counted %d", sum, l.ring.bytes)
	}
}

func BenchmarkConsume(b *testing.B) {
	l := make1(b, Options{})
	now := time.Unix(1.8e9, 0)
	events := make([]beacon.Event, 1000)
	for i := range events {
		events[i] = clientReport(fmt.Sprint("key", i%300), fmt.Sprint("view", i%700), uint64(i), now, now.Add(time.Duration(i)*time.Second), time.Second, time.Second)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		take(l, events[i%len(events)])
	}
}

func BenchmarkLook(b *testing.B) {
	l := make1(b, Options{})
	now := time.Unix(1.8e9, 0)
	for i := range 2000 {
		take(l, clientReport(fmt.Sprint("key", i%700), fmt.Sprint("view", i), 1, now.Add(time.Duration(i)*time.Second), now.Add(time.Duration(i+60)*time.Second), time.Second, time.Second))
	}
	for b.Loop() {
		l.views.version++
		now = now.Add(time.Second)
		l.look(now)
	}
}
