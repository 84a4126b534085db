package beacon_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// everyBody holds each variant, with bytes that JSON makes hard.
var everyBody = []beacon.Body{
	beacon.Empty{},
	beacon.Text(""),
	beacon.Text("plain <b>&\u2028\x00\" text"),
	beacon.Text("caf\xe9"),
	beacon.JSON(`{"a":[1,null,{"z":""}]}`),
	beacon.JSON(`{"a": 1 }`),
	beacon.JSON(`"<script>&\u2028"`),
	beacon.JSON("\"\u2028\""),
	beacon.JSON(`null`),
	beacon.JSON(`1.50e+3`),
	beacon.JSON(`{"a":1,"a":2}`),
	beacon.JSON(`not JSON`),
	beacon.Form{},
	beacon.Form(nil),
	beacon.Form{{Name: "a", Value: "1"}, {Name: "", Value: ""}, {Name: "\xe9", Value: "\x00"}, {Name: "a", Value: "2"}},
	beacon.Form{{Name: "f", File: &beacon.File{Name: "../x\".txt", Type: "text/plain", Data: []byte("\xff\x00")}}, {Name: "g", File: &beacon.File{Data: []byte{}}}, {Name: "h", File: &beacon.File{}}},
	beacon.Binary{Type: "[object object]", Data: []byte{0, 255}},
	beacon.Binary{Data: []byte{}},
	beacon.Binary{},
	beacon.Ping{From: "https://example.com/#frag", To: "https://example.net/"},
	beacon.Report{Type: "csp-violation", URL: "https://example.com/", UserAgent: "Mozilla/5.0", Age: 1500 * time.Microsecond, Body: json.RawMessage(`{"a":"<"}`)},
	beacon.Report{Type: "crash"},
}

func TestEventJSON(t *testing.T) {
	full := beacon.Event{
		ID: "id", Name: "name", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		Query: beacon.Form{{Name: "q", Value: "\xff"}}, Page: "https://example.com/p", Session: "s", View: "v",
		Sent: time.Date(2026, 1, 2, 3, 4, 4, 0, time.UTC), Series: "k\xff", Seq: math.MaxUint64, Mode: beacon.ModeAppend,
		Request: beacon.Request{
			Method: "POST", Host: "h", Path: "/\xff", ContentType: "c", Encoding: "gzip", Origin: "null", UserAgent: "\xe9",
			FetchSite: "none", FetchMode: "cors", FetchDest: "image", Purpose: "prefetch", ClientIP: netip.MustParseAddr("2001:db8::"), TLS: true,
		},
		Privacy: beacon.Privacy{GPC: true, DNT: true},
		Attrs:   map[string]string{"user": "7", "\xff": "\xfe", "": ""},
		Errors:  []beacon.FieldError{{Key: "k", Value: "\xff", Reason: "r"}},
	}
	roundTrip(t, beacon.Event{})
	roundTrip(t, beacon.Event{Query: beacon.Form{}, Attrs: map[string]string{}, Errors: []beacon.FieldError{}})
	for _, b := range everyBody {
		e := full
		e.Body = b
		roundTrip(t, e)

		// Inside other values, where encoding/json has its own say.
		outer, err := json.MarshalIndent(map[string]any{"events": []beacon.Event{e}}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ Events []beacon.Event }
		if err := json.Unmarshal(outer, &back); err != nil {
			t.Fatal(err)
		}
		sameIP := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		if diff := cmp.Diff(e, back.Events[0], sameIP); diff != "" {
			t.Errorf("nested (-want +got)\n%s", diff)
		}
	}
}

// TestEventJSONIsStable pins the documented form: what other programs have stored
// must stay readable.
func TestEventJSONIsStable(t *testing.T) {
	e := beacon.Event{
		ID: "0190163d-8694-739b-aea5-966c26f8ad91", Name: "pageview",
		Time: time.Date(2026, 1, 2, 15, 4, 5, 6, time.UTC), Received: time.Date(2026, 1, 2, 15, 4, 6, 0, time.UTC),
		Body: beacon.Form{{Name: "a", Value: "1"}, {Name: "f", File: &beacon.File{Name: "x.txt", Type: "text/plain", Data: []byte("hi")}}},
		Page: "https://example.com/", Session: "s1", View: "v1", Seq: 3,
		Request: beacon.Request{Method: "POST", Host: "example.com", Path: "/log", ContentType: "multipart/form-data; boundary=b", UserAgent: "caf\xe9", ClientIP: netip.MustParseAddr("192.0.2.0"), TLS: true},
		Privacy: beacon.Privacy{GPC: true},
		Attrs:   map[string]string{"user": "7"},
	}
	got, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/event.v1.json"
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("JSON form (-want +got)\n%s", diff)
	}
	var back beacon.Event
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, back, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("stored event (-want +got)\n%s", diff)
	}
}

func TestEventJSONRefuses(t *testing.T) {
	for _, s := range []string{`{}`, `{"v":2}`, `{"v":1,"body":{"kind":"hologram"}}`, `{"v":1,"id":5}`, `{"v":1,"id":{"base64":"!"}}`, `[]`} {
		var e beacon.Event
		if err := json.Unmarshal([]byte(s), &e); err == nil {
			t.Errorf("%s: read as %+v", s, e)
		}
	}
	var e beacon.Event
	if err := json.Unmarshal([]byte(`{"v":1,"id":"x","later":{"a":1}}`), &e); err != nil || e.ID != "x" {
		t.Errorf("member of a later minor version: %v", err)
	}
}

func TestCloudEvent(t *testing.T) {
	e := beacon.Event{
		ID: "id", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Body: beacon.JSON(`{"a":1}`), Session: "s\xff",
		Request: beacon.Request{Path: "/log tracking", Host: "host.example", Origin: "https://app.example"},
	}
	b, err := e.MarshalCloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		SpecVersion, ID, Source, Type, Time, Subject, PartitionKey, DataContentType string
		Data                                                                        beacon.Event
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	data := got.Data
	got.Data = beacon.Event{}
	want := got
	want.SpecVersion, want.ID, want.Source, want.Type = "1.0", "id", "https://app.example/log%20tracking", "com.github.pagebeacon.beacon.v1"
	want.Time, want.Subject, want.PartitionKey, want.DataContentType = "2026-01-02T03:04:05Z", "s\uFFFD", "s\uFFFD", "application/json"
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(e, data, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("data (-want +got)\n%s", diff)
	}
	if _, err := (beacon.Event{}).MarshalCloudEvent(); err == nil {
		t.Error("a CloudEvent without an id")
	}
	for _, origin := range []string{"", "null", "%zz", "no scheme"} {
		e.Request.Origin = origin
		b, err := e.MarshalCloudEvent()
		if err != nil || !strings.Contains(string(b), `"source":"//host.example/log%20tracking"`) {
			t.Errorf("origin %q: %s, %v", origin, b, err)
		}
	}
}
