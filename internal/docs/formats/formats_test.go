// Package formats holds what docs/formats.md says of formats and answers.
package formats

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

const page = "../../../docs/formats.md"

// table returns the cells of the table whose head begins with a word.
func table(t *testing.T, head string) (cells [][]string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "\n| "+head+" |")
	if !ok {
		t.Fatalf("no table begins with %q", head)
	}
	for _, line := range strings.Split(after, "\n")[2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		cells = append(cells, row)
	}
	return cells
}

// same checks that the first cells of a table are the keys of the cases.
func same[T any](t *testing.T, cells [][]string, cases map[string]T) {
	t.Helper()
	var documented []string
	for _, row := range cells {
		documented = append(documented, row[0])
	}
	slices.Sort(documented)
	if have := slices.Sorted(maps.Keys(cases)); !slices.Equal(documented, have) {
		t.Errorf("the page has the rows\n%q\nand the test\n%q", documented, have)
	}
}

var code = regexp.MustCompile("`([^`]+)`")

// TestMembers: the table of members has those of an event with everything in it, and no
// other.
func TestMembers(t *testing.T) {
	full := beacon.Event{
		ID: "i", Name: "n", Time: time.UnixMilli(1), Received: time.UnixMilli(2), Sent: time.UnixMilli(3), Body: beacon.Empty{},
		Query: beacon.Form{{Name: "a", Value: "1"}}, Page: "p", Session: "s", View: "v", Series: "k", Seq: 1, Mode: beacon.ModeAppend,
		Request: beacon.Request{ID: "i", Method: "m", Host: "h", Path: "p", ContentType: "c", Encoding: "e", Origin: "o", UserAgent: "u",
			FetchSite: "s", FetchMode: "m", FetchDest: "d", Purpose: "p", ClientIP: netip.MustParseAddr("::1"), TLS: true},
		Privacy: beacon.Privacy{GPC: true, DNT: true}, Verified: true, Attrs: map[string]string{"a": "b"},
		Errors: []beacon.FieldError{{Key: "k", Value: "v", Reason: "r"}},
	}
	for _, v := range []any{full, full.Request, full.Privacy} {
		for i := range reflect.ValueOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Errorf("%T.%s is zero in the event that has everything", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	var request map[string]any
	if err := json.Unmarshal(members["request"], &request); err != nil {
		t.Fatal(err)
	}
	delete(members, "request")
	want := slices.Collect(maps.Keys(members))
	for name := range request {
		want = append(want, "request."+name)
	}
	var documented []string
	for _, row := range table(t, "member") {
		for _, name := range code.FindAllStringSubmatch(row[0], -1) {
			documented = append(documented, name[1])
		}
	}
	slices.Sort(want)
	slices.Sort(documented)
	if !slices.Equal(want, documented) {
		t.Errorf("an event has\n%q\nand the page\n%q", want, documented)
	}
}

// compact is JSON without white space.
func compact(t *testing.T, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// roundTrip reads an event and writes it again, without a copy of bytes that are not compact.
func roundTrip(t *testing.T, b []byte) (beacon.Event, string) {
	t.Helper()
	var e beacon.Event
	if err := json.Unmarshal([]byte(compact(t, b)), &e); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	again, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return e, string(again)
}

// TestExample: the event on the page is one, and its bodies are.
func TestExample(t *testing.T) {
	b, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	e, again := roundTrip(t, b)
	if again != compact(t, b) {
		t.Errorf("%s\nis written as\n%s", compact(t, b), again)
	}
	v, ok := beacon.PageViewOf(e)
	if !ok || v.Engaged != 12*time.Second || v.Visible != 30*time.Second || v.End.Sub(v.Start) != 30*time.Second || v.Seq != 2 || !v.HasOffset {
		t.Errorf("%+v, %v", v, ok)
	}
	kinds := map[string]beacon.Body{
		"empty": beacon.Empty{}, "text": beacon.Text("hello"), "json": beacon.JSON(`{"a":1}`), "binary": beacon.Binary{Type: "image/png", Data: []byte("\x89PNG")},
		"form":   beacon.Form{{Name: "a", Value: "1"}, {Name: "f", File: &beacon.File{Name: "x.txt", Type: "text/plain", Data: []byte("hi")}}},
		"ping":   beacon.Ping{From: "https://shop.example/", To: "https://elsewhere.example/"},
		"report": beacon.Report{Type: "deprecation", URL: "https://shop.example/", UserAgent: "agent", Age: 5, Body: json.RawMessage(`{"id":"x"}`)},
	}
	for _, row := range table(t, "a body") {
		body := code.FindStringSubmatch(row[0])[1]
		e, again := roundTrip(t, []byte(`{"v":1,"id":"i","body":`+body+`}`))
		if want := kinds[e.Body.Kind()]; !reflect.DeepEqual(e.Body, want) || !strings.Contains(again, compact(t, []byte(body))) {
			t.Errorf("%s: %+v, and again %s", body, e.Body, again)
		}
		delete(kinds, e.Body.Kind())
	}
	if len(kinds) != 0 {
		t.Errorf("the page has no %q", slices.Sorted(maps.Keys(kinds)))
	}
	// What has to be told apart from what encoders would make of it.
	for body, want := range map[beacon.Body]string{beacon.Text("caf\xe9"): `"text":{"base64":"Y2Fm6Q=="}`} {
		b, err := json.Marshal(beacon.Event{ID: "i", Body: body})
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s, %v", b, err)
		}
	}
	spaced, err := json.Marshal(beacon.Event{ID: "i", Body: beacon.JSON(`{ "a": 1 }`)})
	if err != nil || !strings.Contains(string(spaced), `"raw":"{ \"a\": 1 }"`) {
		t.Errorf("%s, %v", spaced, err)
	}
	for _, other := range []string{`{"v":2,"id":"i"}`, `{"id":"i"}`} {
		if json.Unmarshal([]byte(other), new(beacon.Event)) == nil {
			t.Errorf("%s is read", other)
		}
	}
	if err := json.Unmarshal([]byte(`{"v":1,"id":"i","later":1}`), new(beacon.Event)); err != nil {
		t.Errorf("what is added to a version is not passed over: %v", err)
	}
}

// TestCloudEvent: the table has the attributes that there are.
func TestCloudEvent(t *testing.T) {
	b, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	e, own := roundTrip(t, b)
	b, err = e.MarshalCloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range table(t, "attribute") {
		for _, name := range code.FindAllStringSubmatch(row[0], -1) {
			documented = append(documented, name[1])
		}
	}
	slices.Sort(documented)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, documented) {
		t.Errorf("%q, and the page has %q", names, documented)
	}
	for name, want := range map[string]string{
		"specversion": `"1.0"`, "type": `"com.github.pagebeacon.beacon.v1"`, "datacontenttype": `"application/json"`, "id": `"` + e.ID + `"`,
		"source": `"https://shop.example/_pb"`, "subject": `"Qm4kX2pA"`, "partitionkey": `"Qm4kX2pA"`, "time": `"2026-03-04T05:06:37.123Z"`, "data": own,
	} {
		if string(got[name]) != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
}

func handler(t *testing.T, c beacon.Config) (*beacon.Handler, *beacontest.Recorder) {
	t.Helper()
	rec := &beacontest.Recorder{}
	if c.Sink == nil {
		c.Sink = rec
	}
	h, err := beacon.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, rec
}

func send(h http.Handler, method, query, contentType, body string, also ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://shop.example/_pb"+query, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(also); i += 2 {
		r.Header.Set(also[i], also[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// kinds are what became of a body: the kinds of its events, with a + for a note.
func kinds(events []beacon.Event) string {
	var all []string
	for _, e := range events {
		kind := e.Body.Kind()
		if len(e.Errors) > 0 {
			kind += "+"
		}
		all = append(all, kind)
	}
	return strings.Join(all, " ")
}
