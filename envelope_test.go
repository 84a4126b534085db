package beacon_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// receiveText posts a text body and returns the events that come of it.
func receiveText(t *testing.T, body string) []beacon.Event {
	t.Helper()
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	if res := serve(h, beacontest.NewRequest("/b", beacon.Text(body))); res.StatusCode != 204 {
		t.Fatalf("%s: %s", res.Status, body)
	}
	for _, e := range rec.Events() {
		roundTrip(t, e)
	}
	return rec.Events()
}

func TestEnvelope(t *testing.T) {
	events := receiveText(t, `{"v":1,"m":"append","k":"l:pv1","b":"b1","r":3,"sid":"s1","pv":"pv1","via":"now","at":1700000005000,"page":"https://example.com/p","gpc":1,`+
		`"ev":[{"n":1,"t":1700000001000,"e":"log","d":{"msg":"a"}},{"n":2,"t":1700000002000.5,"d":[1]},{"n":3,"t":1700000003000},{"n":0,"t":5},"junk"]}`)
	type row struct {
		ID, Name, Body, Session, View, Series, Page string
		Seq                                         uint64
		Mode                                        beacon.Mode
		GPC                                         bool
		Errors                                      int
	}
	var got []row
	for _, e := range events {
		body := e.Body.Kind()
		if j, ok := e.Body.(beacon.JSON); ok {
			body = string(j)
		}
		id := e.ID
		if e.Seq == 0 {
			id = "" // made here
		}
		got = append(got, row{id, e.Name, body, e.Session, e.View, e.Series, e.Page, e.Seq, e.Mode, e.Privacy.GPC, len(e.Errors)})
	}
	base := row{Session: "s1", View: "pv1", Series: "l:pv1", Page: "https://example.com/p", Mode: beacon.ModeAppend, GPC: true}
	with := func(id, name, body string, seq uint64, errors int) row {
		r := base
		r.ID, r.Name, r.Body, r.Seq, r.Errors = id, name, body, seq, errors
		return r
	}
	want := []row{
		with("pv1:l:pv1:1", "log", `{"msg":"a"}`, 1, 0), with("pv1:l:pv1:2", "", `[1]`, 2, 0), with("pv1:l:pv1:3", "", "empty", 3, 0),
		with("", "", `{"n":0,"t":5}`, 0, 1), with("", "", `"junk"`, 0, 1),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestEnvelopeTime checks what becomes of a client's clock that is an hour wrong.
func TestEnvelopeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ms := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }
		tests := []struct {
			name, via string
			at, event time.Duration // on the client's clock, from the server's now
			want      time.Duration // Event.Time, from now
			sent      bool
		}{
			{"clock ahead", "now", time.Hour, time.Hour - time.Minute, -time.Minute, true},
			{"clock behind", "bye", -time.Hour, -time.Hour - time.Minute, -time.Minute, true},
			{"event after sending", "now", 0, time.Minute, 0, true},
			{"held by the browser", "later", -time.Hour, -2 * time.Hour, -2 * time.Hour, false},
			{"held, clock ahead", "later", time.Hour, time.Hour, 0, false},
			{"recovered after a crash", "rec", -20 * time.Hour, -21 * time.Hour, -21 * time.Hour, false},
			{"absurd", "rec", 0, -10000 * time.Hour, -30 * 24 * time.Hour, false},
		}
		for _, tt := range tests {
			e := receiveText(t, `{"v":1,"m":"replace","k":"s","via":"`+tt.via+`","at":`+ms(tt.at)+`,"ev":[{"n":1,"t":`+ms(tt.event)+`,"d":1}]}`)[0]
			if got := e.Time.Sub(e.Received); got != tt.want {
				t.Errorf("%s: happened %v from now, want %v", tt.name, got, tt.want)
			}
			if e.Sent.IsZero() == tt.sent {
				t.Errorf("%s: sent %v", tt.name, e.Sent)
			}
		}
		e := receiveText(t, `{"v":1,"m":"replace","k":"s","via":"now","at":1e300,"ev":[{"n":1,"t":-5,"d":1}]}`)[0]
		if !e.Time.Equal(e.Received) {
			t.Errorf("no usable clock: %v", e.Time)
		}
	})
}

// TestNotAnEnvelope checks that nothing is lost of what only looks like one.
func TestNotAnEnvelope(t *testing.T) {
	for _, body := range []string{
		`{"v":1,"m":"sum","k":"a","ev":[{"n":1}]}`,
		`{"v":1,"m":"append","ev":[{"n":1}]}`,
		`{"v":1,"m":"append","k":"a","ev":[]}`,
		`{"v":1,"m":"append","k":"a"}`,
		`{"v":1,"m":"append","k":5,"ev":[{"n":1}]}`,
		`{"v":1,"m":"append","k":"` + strings.Repeat("x", 300) + `","ev":[{"n":1}]}`,
	} {
		e := receiveText(t, body)
		if len(e) != 1 || string(e[0].Body.(beacon.JSON)) != body || len(e[0].Errors) != 1 {
			t.Errorf("%.60s: %d events, %v", body, len(e), e[0].Errors)
		}
	}
	for _, body := range []string{`{"v":2,"m":"append"}`, `{"m":"append","v":1}`, `[{"v":1,"m":"append"}]`} {
		e := receiveText(t, body)
		if len(e) != 1 || string(e[0].Body.(beacon.JSON)) != body || len(e[0].Errors) != 0 {
			t.Errorf("%s: %+v", body, e)
		}
	}
}

func TestIdentityInQuery(t *testing.T) {
	for query, want := range map[string]string{
		"_b=abc.2": "abc:2", "_b=a.b.3&x=1": "a.b:3", "_b=s.01": "s:1", "_b=abc": "", "_b=.1": "", "_b=abc.0": "", "_b=abc.x": "", "_b=abc.-1": "", "_b=" + strings.Repeat("x", 300) + ".1": "",
	} {
		var rec beacontest.Recorder
		serve(newHandler(t, beacon.Config{Sink: &rec}), httptest.NewRequest("GET", "/b?"+query, nil))
		e := rec.Events()[0]
		if got := e.ID; (got == want) != (want != "") || (e.Mode == beacon.ModeReplace) != (want != "") {
			t.Errorf("%.20s: id %q, series %q, seq %d, mode %q", query, got, e.Series, e.Seq, e.Mode)
		}
	}
}

// TestEnvelopeFixtures reads what the browser client's own tests have shown it to
// send.
func TestEnvelopeFixtures(t *testing.T) {
	files, err := filepath.Glob("client/testdata/envelope/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	type event struct {
		ID, Session, View, Series, Name string
		Seq                             uint64
		Mode                            beacon.Mode
		Data                            json.RawMessage
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var fixture struct {
			Name, Envelope string
			Want           []event
		}
		if err := json.Unmarshal(b, &fixture); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var got []event
		for _, e := range receiveText(t, fixture.Envelope) {
			if len(e.Errors) > 0 {
				t.Errorf("%s: %v", fixture.Name, e.Errors)
			}
			got = append(got, event{e.ID, e.Session, e.View, e.Series, e.Name, e.Seq, e.Mode, json.RawMessage(e.Body.(beacon.JSON))})
		}
		same := cmp.Comparer(func(a, b json.RawMessage) bool {
			var x, y any
			return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
		})
		if diff := cmp.Diff(fixture.Want, got, same); diff != "" {
			t.Errorf("%s (-want +got)\n%s", fixture.Name, diff)
		}
	}
}

func TestIdentityOfABatch(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	for _, b := range []beacon.Body{
		beacon.Binary{Type: "application/x-ndjson", Data: []byte("\xEF\xBB\xBF1\n2\n")},
		beacon.Binary{Type: "application/reports+json", Data: []byte("\xEF\xBB\xBF[{\"type\":\"a\"},{\"type\":\"b\"}]")},
	} {
		rec.Reset()
		serve(h, beacontest.NewRequest("/b?_b=s.1", b))
		var ids []string
		for _, e := range rec.Events() {
			ids = append(ids, e.ID)
			if len(e.Errors) > 0 {
				t.Errorf("%v", e.Errors)
			}
		}
		if diff := cmp.Diff([]string{"s:1.0", "s:1.1"}, ids); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestEnvelopeSaysThePage: what a page does not want to be known the Referer does not
// tell.
func TestEnvelopeSaysThePage(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	for page, want := range map[string]string{``: "", `"page":"https://app.example/a",`: "https://app.example/a"} {
		rec.Reset()
		r := beacontest.NewRequest("/", beacon.Text(`{"v":1,"m":"append","k":"k","b":"b","r":1,"sid":"s","pv":"v",`+page+`"via":"now","at":1,"ev":[{"n":1,"t":1,"d":1}]}`))
		r.Header.Set("Referer", "https://app.example/a?secret=1")
		if res := serve(h, r); res.StatusCode != 204 {
			t.Fatalf("%d", res.StatusCode)
		}
		if got := rec.Events()[0].Page; got != want {
			t.Errorf("page %q, want %q", got, want)
		}
	}
}
