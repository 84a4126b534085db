package beacon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// receive sends one body of this type and returns what the sink got.
func receive(t *testing.T, contentType, body string, change ...func(h map[string][]string)) []beacon.Event {
	t.Helper()
	var rec beacontest.Recorder
	r := httptest.NewRequest("POST", "/b", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	for _, f := range change {
		f(r.Header)
	}
	if res := serve(newHandler(t, beacon.Config{Sink: &rec}), r); res.StatusCode != 204 {
		t.Fatalf("%s %.60q: %d %s", contentType, body, res.StatusCode, res.Header.Get("Beacon-Refused"))
	}
	return rec.Events()
}

// show is one line for each event: kind of the body, its text, and the notes.
func show(events []beacon.Event) (lines []string) {
	for _, e := range events {
		var line strings.Builder
		line.WriteString(e.Body.Kind())
		switch b := e.Body.(type) {
		case beacon.JSON:
			line.WriteString(" " + b.String())
		case beacon.Binary:
			line.WriteString(fmt.Sprintf(" %.12q", b.Data))
		case beacon.Text:
			line.WriteString(fmt.Sprintf(" %.12q", string(b)))
		case beacon.Form:
			line.WriteString(fmt.Sprintf(" %d", len(b)))
		case beacon.Report:
			line.WriteString(" " + b.Type)
		}
		for _, n := range e.Errors {
			line.WriteString(" !" + n.Key + ": " + n.Reason)
		}
		lines = append(lines, line.String())
	}
	return lines
}

// TestBatchesAreNotRefusedForAnItem: too deep, malformed or odd, an item costs only
// itself.
func TestBatchesAreNotRefusedForAnItem(t *testing.T) {
	deep := strings.Repeat("[", 513) + strings.Repeat("]", 513)
	const tooDeep = ` !body: JSON nests deeper than 512`
	for _, c := range []struct {
		contentType, body string
		want              []string
	}{
		{"application/x-ndjson", "{\"good\":1}\n" + deep + "\n{bad\n{\"good\":2}", []string{
			`json {"good":1}`, `binary "[[[[[[[[[[[["` + tooDeep, `binary "{bad" !body: not valid JSON`, `json {"good":2}`,
		}},
		{"application/reports+json", `[{"type":"a"},` + deep + `,5,{"type":"b"}]`, []string{
			`report a`, `binary "[[[[[[[[[[[["` + tooDeep, `json 5 !body: not a report`, `report b`,
		}},
		{"application/csp-report", `{"csp-report":{"a":` + deep + `}}`, []string{`binary "{\"csp-report"` + tooDeep}},
		{"text/plain", `{"v":1,"m":"append","k":"k","pv":"v","ev":[{"n":1,"d":1},{"n":2,"d":` + deep + `},{"n":"x"},{"n":3,"d":3}]}`, []string{
			`json 1`, `binary "[[[[[[[[[[[["` + tooDeep, `json {"n":"x"} !ev: not an event of an envelope`, `json 3`,
		}},
	} {
		if diff := cmp.Diff(c.want, show(receive(t, c.contentType, c.body))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.contentType, diff)
		}
	}
}

// TestTypesOfOtherClients: what people send under types that are not quite right.
func TestTypesOfOtherClients(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		contentType, body string
		want              []string
	}{
		{form, `{"requests":["?url=http%3A%2F%2Fx%2F%3Fa%3D1%26b%3D2&e_a=x"]}`, []string{`json {"requests":["?url=http%3A%2F%2Fx%2F%3Fa%3D1%26b%3D2&e_a=x"]}`}},
		{form, ` [{"a":1}]`, []string{`json  [{"a":1}]`}},
		{form, `{a=1&b=2`, []string{`form 2`}},
		{form, `[a]=1`, []string{`form 1`}},
		{"application/octet-stream", `{"a":1}`, []string{`json {"a":1}`}},
		{"application/octet-stream", `{"a":`, []string{`binary "{\"a\":"`}},
		{"application/x-json-stream", "{\"a\":1}\n{\"a\":2}\n", []string{`json {"a":1}`, `json {"a":2}`}},
		{"application/vnd.x+ndjson", "1\n2", []string{`json 1`, `json 2`}},
		{"application/vnd.x+x-ndjson;charset=utf-8", "1\n2", []string{`json 1`, `json 2`}},
		{"application/json", "{\"a\":1}\n{\"a\":2}\n", []string{`json {"a":1}`, `json {"a":2}`}},
		{"application/json", "{\"a\":1}\r\n\r\n[2]", []string{`json {"a":1}`, `json [2]`}},
		{"application/json", "{\"a\":1}\n{\"a\":", []string{`binary "{\"a\":1}\n{\"a\"" !body: not valid JSON`}},
		{"application/json", "1\n2", []string{`binary "1\n2" !body: not valid JSON`}},
		{"application/json", "{\"a\":1}\n", []string{"json {\"a\":1}\n"}},
		{"text/plain", "{\"a\":1}\n{\"a\":2}\n", []string{`text "{\"a\":1}\n{\"a\""`}},
		// A page's own JSON may begin as an envelope does.
		{"text/plain", `{"v":1,"m":"user clicked save"}`, []string{`json {"v":1,"m":"user clicked save"}`}},
		{"text/plain", `{"v":1,"m":"append"}`, []string{`json {"v":1,"m":"append"} !k: no usable identity`}},
	} {
		if diff := cmp.Diff(c.want, show(receive(t, c.contentType, c.body))); diff != "" {
			t.Errorf("%s %q (-want +got)\n%s", c.contentType, c.body, diff)
		}
	}
}

// TestOwnCapacity: what a host appends to one event's body reaches nobody else.
func TestOwnCapacity(t *testing.T) {
	for _, body := range []string{`{"a":1}`, strings.Repeat(" ", 600) + `{"a":1}`} {
		r := httptest.NewRequest("POST", "/b", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = -1 // so that the buffer is larger
		var rec beacontest.Recorder
		serve(newHandler(t, beacon.Config{Sink: &rec}), r)
		b := rec.Events()[0].Body.(beacon.JSON)
		x, y := append(b, 'x'), append(b, 'y')
		if x[len(b)] != 'x' || y[len(b)] != 'y' {
			t.Errorf("%d bytes: two copies share what is behind them", len(body))
		}
	}
}

// TestQueryLimit: a query counts, as a body does.
func TestQueryLimit(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	for n, want := range map[int]int{64<<10 - 2: 204, 64<<10 - 1: 413} {
		r := httptest.NewRequest("POST", "/?a="+strings.Repeat("x", n), nil)
		if res := serve(h, r); res.StatusCode != want || want == 413 && res.Header.Get("Beacon-Refused") != beacon.ReasonQueryTooLarge {
			t.Errorf("%d: %d %v", n, res.StatusCode, res.Header)
		}
	}
	tiny := newHandler(t, beacon.Config{Sink: &rec, Limits: beacon.Limits{MaxQuery: 3}})
	if got := serve(tiny, httptest.NewRequest("GET", "/?abcd", nil)).StatusCode; got != 413 {
		t.Error(got)
	}
}

// TestIdentity: where the ID of an event comes from.
func TestIdentity(t *testing.T) {
	key := func(v ...string) func(map[string][]string) {
		return func(h map[string][]string) { h["Idempotency-Key"] = v }
	}
	ids := func(events []beacon.Event) (list []string) {
		for _, e := range events {
			list = append(list, strings.ReplaceAll(e.ID, events[0].Request.ID, "<request>"))
			if e.Request.ID != events[0].Request.ID || len(e.Request.ID) != 36 {
				t.Errorf("request IDs %q and %q", e.Request.ID, events[0].Request.ID)
			}
		}
		return list
	}
	const ndjson, envelope = "application/x-ndjson", `{"v":1,"m":"append","k":"clicks","pv":"v1","ev":[{"n":7},{"n":0}]}`
	for name, c := range map[string]struct {
		got  []beacon.Event
		want []string
	}{
		"alone":                 {receive(t, "text/plain", "x"), []string{"<request>"}},
		"batch":                 {receive(t, ndjson, "1\n2\n3"), []string{"<request>.0", "<request>.1", "<request>.2"}},
		"header":                {receive(t, "text/plain", "x", key("k1")), []string{"k1"}},
		"header, structured":    {receive(t, "text/plain", "x", key(`"k1"`)), []string{"k1"}},
		"header, first":         {receive(t, "text/plain", "x", key("k1", "k2")), []string{"k1"}},
		"header, empty":         {receive(t, "text/plain", "x", key("")), []string{"<request>"}},
		"header, too long":      {receive(t, "text/plain", "x", key(strings.Repeat("k", 257))), []string{"<request>"}},
		"header of a batch":     {receive(t, ndjson, "1\n2", key("k1")), []string{"k1.0", "k1.1"}},
		"envelope":              {receive(t, "text/plain", envelope), []string{"v1:clicks:7", "<request>.1"}},
		"header of an envelope": {receive(t, "text/plain", envelope, key("k1")), []string{"v1:clicks:7", "k1.1"}},
	} {
		if diff := cmp.Diff(c.want, ids(c.got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	if e := receive(t, "text/plain", "x", key(strings.Repeat("k", 257)))[0]; len(e.Errors) != 1 || e.Errors[0].Key != "Idempotency-Key" {
		t.Errorf("a key that is not used: %v", e.Errors)
	}
	// A series is of the request, so the events of a batch are not it.
	var rec beacontest.Recorder
	serve(newHandler(t, beacon.Config{Sink: &rec}), beacontest.NewRequest("/b?_b=s.1", beacon.Binary{Type: ndjson, Data: []byte("1\n2")}))
	for i, e := range rec.Events() {
		if e.Series != "" || e.Seq != 0 || e.Mode != "" || e.ID != fmt.Sprint("s:1.", i) {
			t.Errorf("event %d of a batch: series %q, seq %d, id %q", i, e.Series, e.Seq, e.ID)
		}
	}
}

// TestJSONIsJSON: it marshals, prints and logs as what it is.
func TestJSONIsJSON(t *testing.T) {
	body := beacon.Body(beacon.JSON(`{"a":[1,"<"]}`))
	got, err := json.Marshal(map[string]any{"body": body})
	if want := `{"body":{"a":[1,"\u003c"]}}`; err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "body", body)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "body", body)
	for _, want := range []string{`"body":{"a":[1,"<"]}}`, `body="{\"a\":[1,\"<\"]}"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log without %s: %s", want, log.String())
		}
	}
	if got := fmt.Sprint(body); got != `{"a":[1,"<"]}` {
		t.Errorf("prints %s", got)
	}
	for in, want := range map[string]string{"": "null", "5": "5"} {
		if got, err := json.Marshal(beacon.JSON(in)); err != nil || string(got) != want {
			t.Errorf("%q: %s %v", in, got, err)
		}
	}
	if _, err := json.Marshal(beacon.JSON(`{`)); err == nil {
		t.Error("what is not JSON marshals")
	}
	var back struct{ Body beacon.JSON }
	if err := json.Unmarshal(got, &back); err == nil {
		_ = json.Unmarshal([]byte(`{"body":{"x": 1}}`), &back)
	}
	if back.Body.String() != `{"x": 1}` {
		t.Errorf("read back %s", back.Body)
	}
}

// TestPathOfLongRequestLine: the path and the method do not hold the request line.
func TestPathOfLongRequestLine(t *testing.T) {
	u, err := url.Parse("/the/path?a=" + strings.Repeat("x", 2000))
	if err != nil {
		t.Fatal(err)
	}
	r := beacontest.NewRequest("/", beacon.Empty{})
	r.URL = u
	events, err := beacon.Decode(r, nil, beacon.Limits{})
	if err != nil || events[0].Request.Path != "/the/path" || len(events[0].Query.Get("a")) != 2000 {
		t.Errorf("%v %+v", err, events[0].Request)
	}
}
