package beacon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

// sameAsReference compares AppendJSON with the reflection marshaller that it
// replaced, and says what the form was.
func sameAsReference(t *testing.T, e beacon.Event) []byte {
	t.Helper()
	want, wantErr := referenceEvent(e).MarshalJSON()
	before := []byte("before")
	got, err := e.AppendJSON(before[:len(before):len(before)])
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || reflect.TypeOf(err) != reflect.TypeOf(wantErr) {
		t.Fatalf("error %v, want %v\n%+v", err, wantErr, e)
	}
	if wantErr != nil {
		if !bytes.Equal(got, before) {
			t.Errorf("on an error: %q", got)
		}
		return nil
	}
	if got = got[len(before):]; !bytes.Equal(got, want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if b, err := e.MarshalJSON(); err != nil || !bytes.Equal(b, want) {
		t.Fatalf("MarshalJSON: %v\ngot  %s\nwant %s", err, b, want)
	}
	return got
}

// hardStrings are where the runs of bytes that need no care begin and end: each
// hard piece alone, and at every place in and around eight plain bytes.
func hardStrings() (list []string) {
	var pieces []string
	for c := range 256 {
		pieces = append(pieces, string([]byte{byte(c)}))
	}
	pieces = append(pieces, "\u2028", "\u2029", "\u2027", "\u202a", "\uFFFD", "é", "語", "😀", "\xe2\x80", "\xe2\x80\xa8\xe2", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\r\n", `\"`)
	const around = "0123456789ABCDEFGH"
	for _, p := range pieces {
		list = append(list, p, p+p)
		for i := range around {
			list = append(list, around[:i]+p+around[i:], around[:i]+p)
		}
	}
	return list
}

func TestAppendJSONStrings(t *testing.T) {
	for _, s := range hardStrings() {
		sameAsReference(t, beacon.Event{ID: s, Body: beacon.Text(s), Errors: []beacon.FieldError{{Key: s}}})
		sameAsReference(t, beacon.Event{Body: beacon.JSON(s)})
		sameAsReference(t, beacon.Event{Body: beacon.JSON(`"` + s + `"`)})
		sameAsReference(t, beacon.Event{Body: beacon.JSON(`[{"a` + s + `":1}]`)})
		sameAsReference(t, beacon.Event{Body: beacon.Report{Body: json.RawMessage(`{"a":` + s + `}`)}})
	}
}

// everyJSON are texts at the edges of what JSON is, what is compact, and what an
// encoder leaves alone.
func everyJSON() []string {
	list := []string{
		"", " ", "null", " null", "nulll", "true", "false", "nul", "tru", "true ", "0", "-0", "01", "-", "1.", "1.50e+3", "1E400", "-1e-400", ".5", "1e", "0x1", "NaN",
		strings.Repeat("9", 400), "[1,2]", "[1, 2]", "[1,]", "[,1]", "[,]", "[]", "[ ]", "[", "]", "[]]", "[[]", "[}", "{]", "[1}", `{"a":1]`, "{}", "{ }", "{", "}", "{}}", "{,}",
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1,"a":2}`, `{"a":1 "b":2}`, `{"a" :1}`, `{a:1}`, `{1:1}`, `{"a":{},"b":[],"c":[{}]}`, `{"a":null}`, `[null]`,
		`""`, `"`, `"\u2028\u003c"`, `"\u00G0"`, `"\/"`, `"\x"`, `"\`, `"\"`, `"\\"`, `"\\\""`, `"\" x"`, `" \" \\ "`, `{"a b":" < "}`, `{"<":1}`, "\"\u2028\"", "\"\u2029\"", "\"\u202a\"", "\"é\"", "\"\xff\"", "\"\n\"", "\u00a0[]", "\xEF\xBB\xBF{}", "[]\x00", "[\v]",
	}
	list = append(list, `{"a":`+strings.Repeat("[", 64)+strings.Repeat("]", 65), "["+strings.Repeat(`{"a":`, 64)+"1"+strings.Repeat("}", 65))
	for _, depth := range []int{63, 64, 65, 66, 9998, 10001, 10002} {
		for _, inner := range []string{"", "1", " ", "x", `"<"`} {
			list = append(list, strings.Repeat("[", depth)+inner+strings.Repeat("]", depth))
		}
		list = append(list, strings.Repeat(`{"a":`, depth-1)+"{}"+strings.Repeat("}", depth-1), strings.Repeat("[", depth), "["+strings.Repeat("[", depth-1)+strings.Repeat("]", depth-1)+",{}]")
	}
	return list
}

func TestAppendJSONBodies(t *testing.T) {
	for _, s := range everyJSON() {
		sameAsReference(t, beacon.Event{Body: beacon.JSON(s)})
		sameAsReference(t, beacon.Event{Body: beacon.Report{Body: json.RawMessage(s), Age: -1}})
	}
	form := beacon.Form{{Name: "a"}}
	more := []beacon.Body{nil, beacon.JSON(nil), beacon.JSON{}, beacon.Report{Body: json.RawMessage{}}, beacon.Report{}, &form, new(beacon.Text("a")), foreignBody{kind: "form"}, foreignBody{kind: "\"<é>\""}}
	for _, b := range slices.Concat(everyBody, more) {
		sameAsReference(t, beacon.Event{Body: b})
	}
}

// A foreignBody is a Body although the set is closed.
type foreignBody struct {
	beacon.Body
	kind string
}

func (b foreignBody) Kind() string { return b.kind }

// TestAppendJSONIsStable pins the bytes, whatever encoding/json comes to write
// one day.
func TestAppendJSONIsStable(t *testing.T) {
	deep := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	for _, c := range []struct {
		body beacon.Body
		want string
	}{
		{beacon.Text("\x00\x01\x07\b\t\n\v\f\r\x1b\x1f !\"#$%&'/;<=>?[\\]\x7f"), `{"kind":"text","text":"\u0000\u0001\u0007\b\t\n\u000b\f\r\u001b\u001f !\"#$%\u0026'/;\u003c=\u003e?[\\]` + "\x7f" + `"}`},
		{beacon.Text("é\u2027\u2028\u2029\u202a\uFFFD\U0001F600"), `{"kind":"text","text":"é` + "\u2027" + `\u2028\u2029` + "\u202a\uFFFD\U0001F600" + `"}`},
		{beacon.Text("<\xff>"), `{"kind":"text","text":{"base64":"PP8+"}}`},
		{beacon.JSON(`{"a":[1,"é",{"b":"\u2028\/"}],"a":1e400}`), `{"kind":"json","json":{"a":[1,"é",{"b":"\u2028\/"}],"a":1e400}}`},
		{beacon.JSON("{ \"a b\" :\t\"<\u2029\\\"> \"\r\n}"), `{"kind":"json","json":{"a b":"\u003c\u2029\"\u003e "},"raw":"{ \"a b\" :\t\"\u003c\u2029\\\"\u003e \"\r\n}"}`},
		{beacon.JSON(`null`), `{"kind":"json","json":null,"raw":"null"}`},
		{beacon.JSON(`nul`), `{"kind":"json","raw":"nul"}`},
		{beacon.JSON("\"\xff\""), `{"kind":"json","raw":{"base64":"Iv8i"}}`},
		{beacon.JSON(""), `{"kind":"json","raw":""}`},
		{beacon.JSON(nil), `{"kind":"json"}`},
		{beacon.Report{Type: "crash", URL: "u", UserAgent: "a", Age: time.Microsecond, Body: json.RawMessage(`{}`)}, `{"kind":"report","json":{},"type":"crash","url":"u","user_agent":"a","age_ns":1000}`},
		{beacon.Form(nil), `{"kind":"form","fields":null}`},
		{beacon.Form{}, `{"kind":"form","fields":[]}`},
		{beacon.Form{{}, {File: &beacon.File{}}, {Name: "n", File: &beacon.File{Name: "f", Type: "t", Data: []byte{}}}}, `{"kind":"form","fields":[{"name":""},{"name":"","file":{"name":"","data":null}},{"name":"n","file":{"name":"f","type":"t","data":""}}]}`},
		{beacon.Binary{Data: []byte{251, 255}}, `{"kind":"binary","data":"+/8="}`},
		// With the two levels around it, more is not JSON to encoding/json.
		{beacon.JSON(deep(9998)), `{"kind":"json","json":` + deep(9998) + `}`},
		{beacon.JSON(deep(9999)), `{"kind":"json","raw":"` + deep(9999) + `"}`},
		{beacon.JSON(deep(10001)), `{"kind":"json","raw":"` + deep(10001) + `"}`},
	} {
		e := beacon.Event{Body: c.body}
		got, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(`{"v":1,"body":`+c.want+`}`, string(got)); diff != "" {
			t.Errorf("%.100q (-want +got)\n%s", c.body, diff)
		}
	}
}

func TestAppendJSONParts(t *testing.T) {
	utc := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	at := func(year int, zone time.Duration) time.Time {
		return time.Date(year, 1, 2, 3, 4, 5, 120_000_000, time.FixedZone("Z", int(zone/time.Second)))
	}
	events := []beacon.Event{
		{},
		{Query: beacon.Form{}, Attrs: map[string]string{}, Errors: []beacon.FieldError{}},
		{Query: beacon.Form{{}}, Attrs: map[string]string{"": ""}, Errors: []beacon.FieldError{{}, {}}},
		{Request: beacon.Request{TLS: true}},
		{Seq: 1, Mode: "x", Privacy: beacon.Privacy{DNT: true}},
		{ID: "a", Name: "b", Page: "c", Session: "d", View: "e", Series: "f", Seq: math.MaxUint64, Mode: beacon.ModeReplace},
		{Attrs: map[string]string{"b": "1", "a": "2", "\xff": "3", "é": "\xff", "aa": ""}},
		{Time: utc, Received: utc.Add(time.Nanosecond), Sent: utc.Truncate(time.Second)},
		{Time: time.Unix(0, 0), Received: time.Time{}.In(time.FixedZone("", 3600)), Sent: time.Now()},
		{Time: at(0, 0)}, {Time: at(1, time.Hour)}, {Time: at(9999, -time.Hour)}, {Time: at(10000, 0)}, {Received: at(-1, 0)}, {Sent: at(123456, time.Hour)},
		{Sent: at(2026, 90*time.Second)}, {Time: at(2026, 24*time.Hour-time.Minute)}, {ID: "a", Time: at(2026, 24*time.Hour)}, {Received: at(2026, -24*time.Hour)}, {Time: utc, Sent: at(2026, 100*time.Hour)},
	}
	large := map[string]string{}
	for i := range 40 {
		large[fmt.Sprint(i)] = strings.Repeat("x", i)
	}
	events = append(events, beacon.Event{Attrs: large})
	for _, s := range []string{"0.0.0.0", "192.0.2.255", "::", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "::ffff:192.0.2.1%z", `fe80::1%"<é>`, "fe80::1%\xff\u2028"} {
		events = append(events, beacon.Event{Request: beacon.Request{ClientIP: netip.MustParseAddr(s)}})
	}
	for _, e := range events {
		sameAsReference(t, e)
	}
}

// TestAppendJSONRandom compares events of every shape and reads them back. It
// counts what it has seen: a generator that goes blind must not pass.
func TestAppendJSONRandom(t *testing.T) {
	r := randomEvents{rand.New(rand.NewPCG(1, 2))}
	texts := []string{
		`"json":`, `"raw":`, `"base64":`, `"fields":null`, `"fields":[]`, `"query":[]`, `"attrs":[]`, `"errors":[{}`, `"file":`, `"data":null`, `"data":""`,
		`\u0000`, `\u2028`, `\u003c`, `"tls":true}`, `{"v":1}`,
	}
	seen := map[string]int{}
	for range 30_000 {
		e := r.event()
		got := sameAsReference(t, e)
		if got == nil {
			seen["error"]++
			continue
		}
		for _, text := range texts {
			if bytes.Contains(got, []byte(text)) {
				seen[text]++
			}
		}
		switch asJSON, asRaw := bytes.Contains(got, []byte(`"json":`)), bytes.Contains(got, []byte(`"raw":`)); {
		case asJSON && !asRaw:
			seen["json alone"]++
		case asRaw && !asJSON:
			seen["raw alone"]++
		}
		if _, foreign := e.Body.(foreignBody); foreign {
			continue
		}
		var back beacon.Event
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if again := sameAsReference(t, back); !bytes.Equal(again, got) {
			t.Fatalf("read as %s\nfrom    %s", again, got)
		}
	}
	for _, what := range append(texts, "error", "json alone", "raw alone") {
		if seen[what] < 100 {
			t.Errorf("%s: only in %d events", what, seen[what])
		}
	}
}

// randomEvents makes events whose strings and bodies are as hard as they can be.
type randomEvents struct{ *rand.Rand }

func (r randomEvents) oneIn(n int) bool { return r.IntN(n) == 0 }

func (r randomEvents) string() string {
	var b []byte
	valid := !r.oneIn(4)
	for range r.IntN(6) {
		switch r.IntN(6) {
		case 0:
			b = append(b, byte(r.IntN(utf8.RuneSelf)))
		case 1:
			b = utf8.AppendRune(b, rune(r.IntN(utf8.MaxRune+1)))
		case 2:
			b = append(b, []string{"<", "&", "\"", "\\", "\u2028", "\u2029", "\uFFFD", "é", "\x7f", "\x00"}[r.IntN(10)]...)
		case 3:
			if !valid {
				b = append(b, []string{"\xff", "\xe2\x80", "\xed\xa0\x80", "\xc0\x80", "\x80", "\xf0\x9f\x98"}[r.IntN(6)]...)
			}
		default:
			b = append(b, "The quick brown fox jumps over"[:r.IntN(31)]...)
		}
	}
	return string(b)
}

func (r randomEvents) maybe() string {
	if r.oneIn(2) {
		return ""
	}
	return r.string()
}

func (r randomEvents) bytes() []byte {
	if r.oneIn(4) {
		return nil
	}
	return []byte(r.string())
}

func (r randomEvents) time() time.Time {
	switch r.IntN(8) {
	case 0, 1:
		return time.Time{}
	case 2:
		zone := time.FixedZone("", 60*(r.IntN(40*60)-20*60))
		if r.oneIn(10) {
			zone = time.FixedZone("", 60*(r.IntN(400*60)-200*60))
		}
		return time.Unix(r.Int64N(4e9), r.Int64N(1e9)).In(zone)
	case 3:
		if r.oneIn(10) {
			return time.Date(r.IntN(30000)-10000, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		return time.Unix(r.Int64N(4e9), 0)
	default:
		return time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
	}
}

func (r randomEvents) addr() (a netip.Addr) {
	switch r.IntN(8) {
	case 0, 1:
		a = netip.AddrFrom4([4]byte{byte(r.Uint32()), 0, byte(r.Uint32()), 255})
	case 2, 3:
		a = netip.AddrFrom16([16]byte{0x20, 1, byte(r.Uint32()), 15: byte(r.Uint32())})
	case 4:
		a = netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: byte(r.Uint32())})
	}
	if a.Is6() && r.oneIn(4) {
		a = a.WithZone(r.validString())
	}
	return a
}

// validString is a string for the two places where one that is not UTF-8 is not
// kept: the zone of an address and the kind of a foreign body. There encoding/json
// writes what it finds fit.
func (r randomEvents) validString() string { return strings.ToValidUTF8(r.string(), "?") }

func (r randomEvents) form() beacon.Form {
	if r.oneIn(3) {
		return nil
	}
	f := make(beacon.Form, r.IntN(4))
	for i := range f {
		f[i] = beacon.Field{Name: r.maybe(), Value: r.maybe()}
		if r.oneIn(3) {
			f[i].File = &beacon.File{Name: r.maybe(), Type: r.maybe(), Data: r.bytes()}
		}
	}
	return f
}

// json makes a JSON text: one that encoders leave alone, one with white space and
// escapes, or one that is broken.
func (r randomEvents) json() []byte {
	if r.oneIn(10) {
		return r.bytes()
	}
	clean := r.oneIn(2)
	b := r.value(nil, 0, clean)
	if r.oneIn(4) && len(b) > 0 {
		i := r.IntN(len(b))
		switch r.IntN(3) {
		case 0:
			b = slices.Delete(b, i, i+1)
		case 1:
			b[i] = byte(r.Uint32())
		default:
			const structure = ` "\,:[]{}0-1en<`
			b = slices.Insert(b, i, structure[r.IntN(len(structure))])
		}
	}
	return b
}

func (r randomEvents) value(b []byte, depth int, clean bool) []byte {
	space := func() {
		if !clean && r.oneIn(8) {
			b = append(b, " \t\r\n"[r.IntN(4)])
		}
	}
	str := func() {
		b = append(b, '"')
		for range r.IntN(4) {
			switch {
			case clean:
				b = append(b, []string{"name", "é", `\n`, `\u2028`, "a longer text", "\u202a"}[r.IntN(6)]...)
			case r.oneIn(6):
				b = append(b, []string{"<", "&", "\u2028", "\u2029", `\"`, `\\`, `\/`, "\xff", " "}[r.IntN(9)]...)
			default:
				b = append(b, "text"...)
			}
		}
		b = append(b, '"')
	}
	space()
	switch n := r.IntN(9); {
	case n < 3 && depth < 8:
		b = append(b, '[')
		for i := range r.IntN(4) {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.value(b, depth+1, clean)
		}
		space()
		b = append(b, ']')
	case n < 6 && depth < 8:
		b = append(b, '{')
		for i := range r.IntN(4) {
			if i > 0 {
				b = append(b, ',')
			}
			space()
			str()
			space()
			b = append(b, ':')
			b = r.value(b, depth+1, clean)
		}
		space()
		b = append(b, '}')
	case n == 6:
		b = append(b, []string{"null", "true", "false"}[r.IntN(3)]...)
	case n == 7:
		b = append(b, []string{"0", "-0", "1.50", "1e400", "-12E+05", "123456789012345678901234567890", "0.1e-9"}[r.IntN(7)]...)
	default:
		str()
	}
	space()
	return b
}

func (r randomEvents) body() beacon.Body {
	switch r.IntN(12) {
	case 0:
		return nil
	case 1:
		return beacon.Empty{}
	case 2:
		return beacon.Text(r.maybe())
	case 3, 4, 5:
		return beacon.JSON(r.json())
	case 6, 7:
		return r.form()
	case 8:
		return beacon.Binary{Type: r.maybe(), Data: r.bytes()}
	case 9:
		return beacon.Ping{From: r.maybe(), To: r.maybe()}
	case 10:
		return foreignBody{kind: r.validString()}
	default:
		return beacon.Report{Type: r.maybe(), URL: r.maybe(), UserAgent: r.maybe(), Age: time.Duration(r.IntN(3) - 1), Body: r.json()}
	}
}

func (r randomEvents) event() (e beacon.Event) {
	if r.oneIn(200) {
		return e
	}
	e = beacon.Event{
		ID: r.maybe(), Name: r.maybe(), Time: r.time(), Received: r.time(), Sent: r.time(), Body: r.body(), Query: r.form(),
		Page: r.maybe(), Session: r.maybe(), View: r.maybe(), Series: r.maybe(), Seq: r.Uint64() >> r.IntN(65), Mode: beacon.Mode(r.maybe()),
		Privacy: beacon.Privacy{GPC: r.oneIn(2), DNT: r.oneIn(2)},
	}
	if !r.oneIn(8) {
		e.Request = beacon.Request{
			Method: r.maybe(), Host: r.maybe(), Path: r.maybe(), ContentType: r.maybe(), Encoding: r.maybe(), Origin: r.maybe(), UserAgent: r.maybe(),
			FetchSite: r.maybe(), FetchMode: r.maybe(), FetchDest: r.maybe(), Purpose: r.maybe(), ClientIP: r.addr(), TLS: r.oneIn(2),
		}
	}
	if r.oneIn(2) {
		e.Attrs = map[string]string{}
		for range r.IntN(4) * r.IntN(8) {
			e.Attrs[r.string()] = r.maybe()
		}
	}
	if r.oneIn(2) {
		e.Errors = []beacon.FieldError{}
		for range r.IntN(3) {
			e.Errors = append(e.Errors, beacon.FieldError{Key: r.maybe(), Value: r.maybe(), Reason: r.maybe()})
		}
	}
	return e
}

// FuzzAppendJSON compares the two encoders on strings and JSON texts that a
// generator would not think of.
func FuzzAppendJSON(f *testing.F) {
	for i, s := range slices.Concat(everyJSON(), []string{"caf\xe9", "0123456\u20280123456<", "{\"a\":\"\u2028\"}"}) {
		if len(s) < 1000 {
			f.Add(s, uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		sameAsReference(t, beacon.Event{ID: s, Body: beacon.JSON(s)})
		sameAsReference(t, beacon.Event{Body: beacon.JSON(`{"` + s + `":[` + s + `]}`)})
		sameAsReference(t, beacon.Event{
			Body:  beacon.Form{{Name: s, Value: s, File: &beacon.File{Name: s, Type: s, Data: []byte(s)}}},
			Attrs: map[string]string{s: s}, Request: beacon.Request{UserAgent: s},
		})
		e := randomEvents{rand.New(rand.NewPCG(seed, 0))}.event()
		e.Name = s
		sameAsReference(t, e)

		// UnmarshalJSON has a short cut for plain strings and plain JSON.
		if len(s) < 9000 { // beyond lies the depth at which encoding/json gives up
			roundTrip(t, beacon.Event{ID: s, Body: beacon.JSON(s)})
		}
	})
}

// A referenceEvent marshals with encoding/json and reflection, as Event once did.
type referenceEvent beacon.Event

func (e referenceEvent) MarshalJSON() ([]byte, error) {
	w := wireEvent{
		V: 1, ID: wireString(e.ID), Name: wireString(e.Name),
		Time: e.Time, Received: e.Received, Sent: e.Sent,
		Query: wireFields(e.Query), Page: wireString(e.Page),
		Session: wireString(e.Session), View: wireString(e.View),
		Series: wireString(e.Series), Seq: e.Seq, Mode: wireString(e.Mode),
		Request: wireRequest{
			Method: wireString(e.Request.Method), Host: wireString(e.Request.Host),
			Path: wireString(e.Request.Path), ContentType: wireString(e.Request.ContentType),
			Encoding: wireString(e.Request.Encoding), Origin: wireString(e.Request.Origin),
			UserAgent: wireString(e.Request.UserAgent), FetchSite: wireString(e.Request.FetchSite),
			FetchMode: wireString(e.Request.FetchMode), FetchDest: wireString(e.Request.FetchDest),
			Purpose: wireString(e.Request.Purpose), ClientIP: e.Request.ClientIP, TLS: e.Request.TLS,
		},
		GPC: e.Privacy.GPC, DNT: e.Privacy.DNT,
	}
	if e.Body != nil {
		w.Body = wireBodyOf(e.Body)
	}
	if e.Attrs != nil {
		w.Attrs = make([]wireField, 0, len(e.Attrs))
		for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
			w.Attrs = append(w.Attrs, wireField{Name: wireString(k), Value: wireString(e.Attrs[k])})
		}
	}
	if e.Errors != nil {
		w.Errors = make([]wireError, len(e.Errors))
		for i, x := range e.Errors {
			w.Errors[i] = wireError{wireString(x.Key), wireString(x.Value), wireString(x.Reason)}
		}
	}
	return json.Marshal(w)
}

type wireEvent struct {
	V        int          `json:"v"`
	ID       wireString   `json:"id,omitzero"`
	Name     wireString   `json:"name,omitzero"`
	Time     time.Time    `json:"time,omitzero"`
	Received time.Time    `json:"received,omitzero"`
	Sent     time.Time    `json:"sent,omitzero"`
	Body     *wireBody    `json:"body,omitzero"`
	Query    wireFormList `json:"query,omitzero"`
	Page     wireString   `json:"page,omitzero"`
	Session  wireString   `json:"session,omitzero"`
	View     wireString   `json:"view,omitzero"`
	Series   wireString   `json:"series,omitzero"`
	Seq      uint64       `json:"seq,omitzero"`
	Mode     wireString   `json:"mode,omitzero"`
	Request  wireRequest  `json:"request,omitzero"`
	GPC      bool         `json:"gpc,omitzero"`
	DNT      bool         `json:"dnt,omitzero"`
	Attrs    []wireField  `json:"attrs,omitzero"`
	Errors   []wireError  `json:"errors,omitzero"`
}

type wireRequest struct {
	Method      wireString `json:"method,omitzero"`
	Host        wireString `json:"host,omitzero"`
	Path        wireString `json:"path,omitzero"`
	ContentType wireString `json:"content_type,omitzero"`
	Encoding    wireString `json:"encoding,omitzero"`
	Origin      wireString `json:"origin,omitzero"`
	UserAgent   wireString `json:"user_agent,omitzero"`
	FetchSite   wireString `json:"fetch_site,omitzero"`
	FetchMode   wireString `json:"fetch_mode,omitzero"`
	FetchDest   wireString `json:"fetch_dest,omitzero"`
	Purpose     wireString `json:"purpose,omitzero"`
	ClientIP    netip.Addr `json:"client_ip,omitzero"`
	TLS         bool       `json:"tls,omitzero"`
}

type wireError struct {
	Key    wireString `json:"key,omitzero"`
	Value  wireString `json:"value,omitzero"`
	Reason wireString `json:"reason,omitzero"`
}

// A wireBody is any Body, told apart by Kind.
type wireBody struct {
	Kind      string          `json:"kind"`
	Text      wireString      `json:"text,omitzero"`
	JSON      json.RawMessage `json:"json,omitzero"`
	Raw       *wireString     `json:"raw,omitzero"`
	Fields    *wireFormList   `json:"fields,omitzero"`
	Type      wireString      `json:"type,omitzero"`
	Data      []byte          `json:"data,omitzero"`
	From      wireString      `json:"from,omitzero"`
	To        wireString      `json:"to,omitzero"`
	URL       wireString      `json:"url,omitzero"`
	UserAgent wireString      `json:"user_agent,omitzero"`
	Age       time.Duration   `json:"age_ns,omitzero"`
}

func wireBodyOf(b beacon.Body) *wireBody {
	w := &wireBody{Kind: b.Kind()}
	switch b := b.(type) {
	case beacon.Text:
		w.Text = wireString(b)
	case beacon.JSON:
		w.setJSON(json.RawMessage(b))
	case beacon.Form:
		w.Fields = new(wireFields(b))
	case beacon.Binary:
		w.Type, w.Data = wireString(b.Type), b.Data
	case beacon.Ping:
		w.From, w.To = wireString(b.From), wireString(b.To)
	case beacon.Report:
		w.Type, w.URL, w.UserAgent, w.Age = wireString(b.Type), wireString(b.URL), wireString(b.UserAgent), b.Age
		w.setJSON(b.Body)
	}
	return w
}

// setJSON stores raw as a JSON value if it is one, and its exact bytes too if an
// encoder would write that value differently.
func (w *wireBody) setJSON(raw json.RawMessage) {
	if raw == nil {
		return
	}
	if json.Valid(raw) && utf8.Valid(raw) {
		w.JSON = raw
		var same bytes.Buffer
		if json.Compact(&same, raw) == nil && bytes.Equal(same.Bytes(), raw) && !bytes.ContainsAny(raw, "<>&\u2028\u2029") && string(raw) != "null" {
			return
		}
	}
	w.Raw = new(wireString(raw))
}

type wireField struct {
	Name  wireString `json:"name"`
	Value wireString `json:"value,omitzero"`
	File  *wireFile  `json:"file,omitzero"`
}

type wireFile struct {
	Name wireString `json:"name"`
	Type wireString `json:"type,omitzero"`
	Data []byte     `json:"data"`
}

// A wireFormList is a Form. Nil and empty stay apart: a request without a query
// is not one with an empty query.
type wireFormList []wireField

func wireFields(f beacon.Form) wireFormList {
	if f == nil {
		return nil
	}
	list := make(wireFormList, len(f))
	for i, x := range f {
		list[i] = wireField{Name: wireString(x.Name), Value: wireString(x.Value)}
		if x.File != nil {
			list[i].File = &wireFile{wireString(x.File.Name), wireString(x.File.Type), x.File.Data}
		}
	}
	return list
}

// A wireString is a string of any bytes: a JSON string, or {"base64": "…"} where
// that would change it.
type wireString string

type base64String struct {
	Base64 []byte `json:"base64"`
}

func (s wireString) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal(base64String{[]byte(s)})
}
