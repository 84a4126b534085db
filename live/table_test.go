package live

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rowsOf(t *testing.T, l *Live) []row {
	t.Helper()
	l.board.at = time.Time{}
	var rows []row
	for _, r := range l.look(time.Now()).table.rows {
		var x row
		if err := json.Unmarshal(r.data, &x); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, x)
	}
	return rows
}

// TestSessions: what is shown is what sessions.Of says, of events in any order and again.
func TestSessions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for round := range 25 {
		var events []beacon.Event
		for range 40 {
			start := day.Add(time.Duration(rnd.IntN(4*3600)) * time.Second)
			length := time.Duration(rnd.IntN(1200)) * time.Second
			e := clientReport(fmt.Sprint("key", rnd.IntN(6)), fmt.Sprint("view", len(events)), uint64(1+rnd.IntN(3)), start, start.Add(length), length/2, length/3)
			e.Sent = e.Sent.Add(-time.Duration(rnd.IntN(3600)) * time.Second)
			if rnd.IntN(5) == 0 {
				e.Session = ""
			}
			events = append(events, e)
			if rnd.IntN(6) == 0 {
				events = append(events, beacon.Event{ID: fmt.Sprint("ping", len(events)), Session: e.Session, Time: start, Received: start, Body: beacon.Ping{}})
			}
		}
		var views []beacon.PageView
		for _, e := range events {
			if v, ok := (sessions.Source{}).PageView(e); ok {
				views = append(views, v)
			}
		}
		l := make1(t, Options{})
		for _, i := range rnd.Perm(len(events)) {
			take(l, events[i], events[rnd.IntN(len(events))])
		}
		got := map[string]row{}
		for _, r := range rowsOf(t, l) {
			got[r.ID] = r
		}
		want := sessions.Of(views, sessions.Rules{})
		if len(got) != len(want) {
			t.Fatalf("round %d: %d sessions, want %d", round, len(got), len(want))
		}
		for _, s := range want {
			r, ok := got[s.ID]
			seen := 0
			for _, p := range r.Pages {
				if !p.Unseen {
					seen++
				}
			}
			if !ok || r.Start != at(s.Start) || r.End != at(s.End) || r.Elapsed != millis(s.Elapsed()) || r.Engaged != millis(s.Engaged) ||
				r.Views != s.Views || r.Attached != s.Attached || seen != s.Views || r.Entry != s.Entry || r.Exit != s.Exit {
				t.Fatalf("round %d: %+v\nwant %+v", round, r, s)
			}
		}
	}
}

// TestVisits: the visits that all are measured with are shown as sessions.Of has them.
func TestVisits(t *testing.T) {
	compared := 0
	compare := func(name string, events []beacon.Event) {
		t.Helper()
		var views []beacon.PageView
		for _, e := range events {
			if v, ok := (sessions.Source{}).PageView(e); ok {
				views = append(views, v)
			}
		}
		l := make1(t, Options{MaxPageViews: 10_000})
		take(l, events...)
		rows := rowsOf(t, l)
		for el := l.views.order.Front(); el != nil; el = el.Next() {
			if el.Value.(*visitor).lost {
				return // which the page says
			}
		}
		compared++
		want := sessions.Of(views, sessions.Rules{})
		if len(rows) != len(want) {
			t.Fatalf("%s: %d sessions, want %d", name, len(rows), len(want))
		}
		for _, s := range want {
			i := slices.IndexFunc(rows, func(r row) bool { return r.ID == s.ID && r.Start == at(s.Start) })
			if i < 0 {
				t.Fatalf("%s: no %s in %+v", name, s.ID, rows)
			}
			r := rows[i]
			seen, parts := 0, true
			for _, p := range r.Pages {
				if !p.Unseen {
					seen++
				}
				for _, x := range p.Parts {
					parts = parts && x[0] < x[1] && x[3] <= x[2] && x[2] <= x[1]-x[0]+1e-3
				}
			}
			if r.End != at(s.End) || r.Elapsed != millis(s.Elapsed()) || r.Engaged != millis(s.Engaged) || r.Views != s.Views || seen+r.More != s.Views ||
				r.Attached != s.Attached || r.Logged != s.Logged || r.Entry != s.Entry || r.Exit != s.Exit || r.Referrer != s.Referrer || !parts {
				t.Fatalf("%s: %+v\nwant %+v", name, r, s)
			}
			for _, n := range []struct {
				is   bool
				text string
			}{{s.Crashed, "crashed"}, {s.Cut, "cut"}, {s.Incomplete, "only the start"}, {s.ClientClock, "visitor's clock"}} {
				if strings.Contains(strings.Join(r.Notes, ""), n.text) != n.is {
					t.Fatalf("%s: notes %q, want %q %v", name, r.Notes, n.text, n.is)
				}
			}
		}
	}
	for _, c := range visits.Cases() {
		compare(c.Name, c.Events)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 150 {
		var events []beacon.Event
		for j := range 4 {
			events = append(events, visits.Random(rnd, fmt.Sprint(i, "-", j))...)
		}
		compare(fmt.Sprint("random ", i), visits.Mangle(rnd, events))
	}
	if compared < 150 {
		t.Errorf("%d visits were compared", compared)
	}
}

// TestParts: between two reports is drawn what came to the totals, whatever their order.
func TestParts(t *testing.T) {
	s := time.Second
	reports := []beacon.Event{
		clientReport("k", "v", 1, day, day.Add(10*s), 10*s, 6*s),
		clientReport("k", "v", 2, day, day.Add(100*s), 15*s, 11*s),   // 85 s of it hidden
		clientReport("k", "v", 3, day, day.Add(110*s), 999*s, 998*s), // more than there was
		clientReport("k", "v", 4, day, day.Add(120*s), 5*s, 5*s),     // less than before
	}
	ms := func(d time.Duration) float64 { return at(day.Add(d)) }
	want := [][4]float64{
		{ms(0), ms(10 * s), 10e3, 6e3}, {ms(10 * s), ms(100 * s), 5e3, 5e3},
		{ms(100 * s), ms(110 * s), 10e3, 10e3}, {ms(110 * s), ms(120 * s), 0, 0},
	}
	for range 20 {
		l := make1(t, Options{})
		for _, i := range rand.Perm(len(reports)) {
			take(l, reports[i], reports[i])
		}
		rows := rowsOf(t, l)
		if len(rows) != 1 || len(rows[0].Pages) != 1 {
			t.Fatalf("%+v", rows)
		}
		if diff := cmp.Diff(want, rows[0].Pages[0].Parts); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	}
	// A long one has no more parts than are kept, and still its whole length.
	l := make1(t, Options{})
	for i := range 500 {
		take(l, clientReport("k", "v", uint64(i), day, day.Add(time.Duration(i)*s), time.Duration(i)*s, 0))
	}
	p := rowsOf(t, l)[0].Pages[0]
	if n := len(p.Parts); n > perView || n < perView/2 || p.Parts[n-1][1] != ms(499*s) || p.Parts[0][0] != ms(0) {
		t.Errorf("%d parts, %v", n, p.Parts)
	}
}

func TestDistribute(t *testing.T) {
	for _, tt := range []struct {
		lengths     []float64
		median, p95 float64
		counts      []int
	}{
		{nil, 0, 0, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{[]float64{0}, 0, 0, []int{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{[]float64{5000, 999, 1000}, 1000, 5000, []int{1, 1, 1, 0, 0, 0, 0, 0, 0, 0}},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 60e3, 86400e3}, 10.5, 60e3, []int{18, 0, 0, 0, 0, 1, 0, 0, 0, 1}},
	} {
		got := distribute(tt.lengths)
		if diff := cmp.Diff(distribution{tt.counts, tt.median, tt.p95}, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", tt.lengths, diff)
		}
	}
}

func TestShown(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 30) + strings.Repeat(`]}`, 30)
	big := strings.Repeat("x", 20_000)
	for _, tt := range []struct {
		name string
		body beacon.Body
		want string
	}{
		{"short JSON", beacon.JSON(`{"a": 1e400, "a":2}`), `{"json":"{\"a\": 1e400, \"a\":2}"}`},
		{"long JSON", beacon.JSON(`{"a":"` + big[:100] + `"}`), `{"json":"{\n  \"a\": \"` + big[:100] + `\"\n}"}`},
		{"deep JSON", beacon.JSON(deep), `{"json":` + quoted(deep) + `}`},
		{"form", beacon.Form{{Name: "a", Value: "1"}, {Name: "f", File: &beacon.File{Name: "../x.csv", Type: "text/csv", Data: []byte("a,b")}}},
			`{"fields":[{"n":"a","v":"1"},{"n":"f","file":{"name":"../x.csv","type":"text/csv","size":3,"head":"a,b"}}]}`},
		{"binary", beacon.Binary{Data: []byte{0, 255}}, `{"file":{"name":"","size":2,"head":"00 ff","hex":true}}`},
		{"cut in a character", beacon.Binary{Data: []byte(strings.Repeat("ü", 600))}, `{"file":{"name":"","size":1200,"head":"` + strings.Repeat("ü", 512) + `…"}}`},
		{"ping", beacon.Ping{From: "a", To: "b"}, `{"fields":[{"n":"from","v":"a"},{"n":"to","v":"b"}]}`},
		{"report", beacon.Report{Type: "crash", URL: "u", Age: time.Minute, Body: json.RawMessage(`{"reason":"oom"}`)},
			`{"json":"{\"reason\":\"oom\"}","fields":[{"n":"type","v":"crash"},{"n":"about","v":"u"},{"n":"age","v":"1m0s"}]}`},
		{"long text", beacon.Text(big), `{"text":"` + big[:bodyBytes] + `…","size":20000}`},
		{"not UTF-8", beacon.Text("a\xffb"), `{"text":"a` + "\ufffd" + `b"}`},
		{"empty", beacon.Empty{}, `{}`},
	} {
		var got struct{ Body json.RawMessage }
		if err := json.Unmarshal(newItem(&beacon.Event{Body: tt.body}, "", "").shown(), &got); err != nil || string(got.Body) != tt.want {
			t.Errorf("%s: %s, %v\nwant %s", tt.name, got.Body, err, tt.want)
		}
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestShortID: a long id stays one of its own, and is short.
func TestShortID(t *testing.T) {
	long := strings.Repeat("k", 5000)
	a, b := shortID(long+"1"), shortID(long+"2")
	if a == b || len(a) > longID || shortID(long+"1") != a || shortID("k") != "k" {
		t.Errorf("%q, %q", a, b)
	}
	if a, b := shortID("\xff"), shortID("\xfe"); a == b || !utf8.ValidString(a) {
		t.Errorf("%q, %q", a, b)
	}
}

// TestBinaryKey: a host's key may be any bytes. Reports of one page view stay one, visitors
// stay apart, and events are of the session that they are of.
func TestBinaryKey(t *testing.T) {
	l := make1(t, Options{Source: sessions.Source{Key: func(e beacon.Event) string { return e.Session + "\xff\xfe" }}})
	for seq := range 3 {
		e := clientReport("a\xfd", "view\xff", uint64(seq+1), day, day.Add(time.Duration(seq)*time.Second), time.Second, 0)
		take(l, e)
		e.Session = "a\xfc"
		take(l, e)
	}
	rows := rowsOf(t, l)
	if len(rows) != 2 || rows[0].Views != 1 || rows[1].Views != 1 || rows[0].Key == rows[1].Key {
		t.Fatalf("%+v", rows)
	}
	var e struct{ Key, View string }
	if err := json.Unmarshal(l.ring.items[0].shown(), &e); err != nil || e.Key != rows[0].Key && e.Key != rows[1].Key || e.View != rows[0].Pages[0].View {
		t.Errorf("an event of %q, %q; sessions of %q and %q", e.Key, e.View, rows[0].Key, rows[1].Key)
	}
}

// TestUnseen: a page that nobody saw is shown with the first session that is near.
func TestUnseen(t *testing.T) {
	l := make1(t, Options{})
	unseen := clientReport("k", "unseen", 1, day.Add(25*time.Minute), day.Add(25*time.Minute), 0, 0)
	take(l, clientReport("k", "b", 1, day.Add(50*time.Minute), day.Add(51*time.Minute), time.Second, 0), unseen,
		clientReport("k", "a", 1, day, day.Add(10*time.Second), time.Second, 0))
	for _, r := range rowsOf(t, l) {
		var pages []string
		for _, p := range r.Pages {
			pages = append(pages, p.View)
		}
		if got, want := strings.Join(pages, " "), map[string]string{"k:a": "a unseen", "k:b": "b"}[r.ID]; got != want {
			t.Errorf("%s has %q, want %q", r.ID, got, want)
		}
	}
}

// TestToCome: sessions of clocks that are ahead do not take the place of those of now.
func TestToCome(t *testing.T) {
	l := make1(t, Options{})
	now := clientReport("now", "a", 1, day, day.Add(time.Second), time.Second, 0)
	for i := range sessionsShown {
		e := clientReport(fmt.Sprint("ahead", i), "a", 1, day.AddDate(1, 0, i), day.AddDate(1, 0, i), time.Second, 0)
		e.Received, e.Sent = now.Received.Add(-time.Minute), now.Received.Add(-time.Minute)
		take(l, e)
	}
	take(l, now)
	if rows := rowsOf(t, l); len(rows) != sessionsShown || rows[0].Key != "now" {
		t.Errorf("%d sessions, the first is %s", len(rows), rows[0].ID)
	}
}
