package formats

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

const multipart = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n" +
	"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"C:\\x.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B--\r\n"

// pack compresses a text.
func pack(to func(io.Writer) io.WriteCloser, text string) string {
	var b bytes.Buffer
	w := to(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func zip(w io.Writer) io.WriteCloser     { return gzip.NewWriter(w) }
func deflate(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }

// sent is a request, and the kinds of the events that it becomes.
type sent struct {
	method, query, contentType, body string
	also                             []string
	want                             string
}

var accepted = map[string][]sent{
	"`sendBeacon(url)`, `sendBeacon(url, \"\")`, empty buffers": {
		{"POST", "", "", "", nil, "empty"}, {"POST", "", "text/plain;charset=UTF-8", "", nil, "empty"}},
	"`new Image().src`, GET and HEAD": {{"GET", "?a=1", "", "", nil, "empty"}, {"HEAD", "?a=1", "", "", nil, "empty"}},
	"a string": {
		{"POST", "", "text/plain;charset=UTF-8", "hello", nil, "text"}, {"POST", "", "text/plain;charset=UTF-8", `{"a":1}`, nil, "json"},
		{"POST", "", "text/plain;charset=UTF-8", `[1,2]`, nil, "json"}, {"POST", "", "text/plain;charset=UTF-8", `1`, nil, "text"}},
	"JSON under a form's type, as some clients send it": {{"POST", "", "application/x-www-form-urlencoded", `{"a":1}`, nil, "json"}},
	"a JSON Blob, `fetch` with a JSON type": {
		{"POST", "", "application/json", `{"a":1}`, nil, "json"}, {"POST", "", "application/vnd.api+json", `"a"`, nil, "json"},
		{"POST", "", "application/json", `{"a":`, nil, "binary+"}},
	"`FormData`, `<form enctype=\"multipart/form-data\">`": {{"POST", "", "multipart/form-data; boundary=B", multipart, nil, "form"}},
	"`URLSearchParams`, `<form>`":                          {{"POST", "", "application/x-www-form-urlencoded;charset=UTF-8", "a=1&a=2", nil, "form"}},
	"`ArrayBuffer`, typed arrays, untyped `Blob`": {
		{"POST", "", "", "\x00\x01", nil, "binary"}, {"POST", "", "application/octet-stream", "\x00", nil, "binary"}, {"POST", "", "", `{"a":1}`, nil, "json"}},
	"a `Blob` of any other type, or an unparsable one": {
		{"POST", "", "image/png", "\x89PNG", nil, "binary"}, {"POST", "", "text/csv", "a,b", nil, "text"}, {"POST", "", "[object object]", "x", nil, "binary"}},
	"`<a ping>`": {{"POST", "", "text/ping", "PING", []string{"Ping-To", "https://elsewhere.example/"}, "ping"}},
	"Reporting API": {
		{"POST", "", "application/reports+json", `[{"age":1,"type":"crash","url":"u","body":{}},{"age":1,"type":"x","url":"u","body":{}}]`, nil, "report report"},
		{"POST", "", "application/reports+json", `{"age":1,"type":"crash","url":"u","body":{}}`, nil, "report"}},
	"CSP `report-uri`": {{"POST", "", "application/csp-report", `{"csp-report":{"document-uri":"u"}}`, nil, "report"}},
	"newline-delimited JSON": {
		{"POST", "", "application/x-ndjson", "{}\n{}\n", nil, "json json"}, {"POST", "", "application/jsonl", "{}\n{}", nil, "json json"},
		{"POST", "", "application/x-json-stream", "{}\n{}", nil, "json json"}, {"POST", "", "application/vnd.x+ndjson", "{}\nbad\n{}", nil, "json binary+ json"},
		{"POST", "", "application/json", "{}\n{}", nil, "json json"}},
	"any of these compressed": {
		{"POST", "", "application/json", pack(zip, `{"a":1}`), []string{"Content-Encoding", "gzip"}, "json"},
		{"POST", "", "text/plain", pack(deflate, "hello"), []string{"Content-Encoding", "deflate"}, "text"},
		{"POST", "", "", pack(zip, `{"a":1}`), nil, "json"}},
	"brotli, zstd": {
		{"POST", "", "text/plain", "\x0b\x02\x80hello\x03", []string{"Content-Encoding", "br"}, "binary"},
		{"POST", "", "application/json", "\x28\xb5\x2f\xfd", []string{"Content-Encoding", "zstd"}, "binary"}},
}

// TestAccepted: what is sent becomes what the row says.
func TestAccepted(t *testing.T) {
	same(t, table(t, "what the page does"), accepted)
	for row, all := range accepted {
		for _, s := range all {
			h, rec := handler(t, beacon.Config{})
			w := send(h, s.method, s.query, s.contentType, s.body, s.also...)
			if got := kinds(rec.Events()); w.Code/100 != 2 || got != s.want {
				t.Errorf("%s: %s %q %q: %d, %q; want %q", row, s.method, s.contentType, s.body, w.Code, got, s.want)
			}
			packed := row == "any of these compressed" || row == "brotli, zstd"
			for _, e := range rec.Events() {
				if (e.Request.Encoding != "") != packed || s.query != "" && e.Query.Get("a") != "1" {
					t.Errorf("%s: encoding %q, query %v", row, e.Request.Encoding, e.Query)
				}
			}
		}
	}
}

// TestIDs: whose the ID is, and how it is numbered.
func TestIDs(t *testing.T) {
	for _, tt := range []struct{ contentType, body, key, want string }{
		{"text/plain", "x", "own", "own"}, {"text/plain", "x", "", "request"},
		{"application/x-ndjson", "1\n2\n", "own", "own.0 own.1"}, {"application/x-ndjson", "1\n2\n", "", "request.0 request.1"},
	} {
		h, rec := handler(t, beacon.Config{})
		send(h, "POST", "", tt.contentType, tt.body, "Idempotency-Key", tt.key)
		var got []string
		for _, e := range rec.Events() {
			got = append(got, strings.Replace(e.ID, e.Request.ID, "request", 1))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s, key %q: %q, want %q", tt.contentType, tt.key, got, tt.want)
		}
	}
}

// TestArray: one event, for each element of which On calls.
func TestArray(t *testing.T) {
	calls := 0
	h, _ := handler(t, beacon.Config{Sink: beacon.On(func(context.Context, beacon.Event, struct{}) error { calls++; return nil })})
	if w := send(h, "POST", "", "application/json", `[{},{},{}]`); w.Code != 204 || calls != 3 || h.Stats().Events != 1 {
		t.Errorf("%d, %d calls, %+v", w.Code, calls, h.Stats())
	}
}

// answered is what a handler with a Config answers.
type answered struct {
	config beacon.Config
	sent   sent
	status int
	header string // one that has to be there
}

func returning(err error) beacon.Sink {
	return beacon.SinkFunc(func(context.Context, []beacon.Event) error { return err })
}

var asImage = []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin"}

var answers = map[string][]answered{
	"the Sink took it, or you dropped it on purpose": {
		{beacon.Config{}, sent{"POST", "", "text/plain", "x", nil, ""}, 204, ""},
		{beacon.Config{}, sent{"GET", "?a", "", "", asImage, ""}, 200, "Content-Type"},
		{beacon.Config{Enrich: func(*http.Request, *beacon.Event) error { return beacon.ErrDrop }}, sent{"POST", "", "text/plain", "x", nil, ""}, 204, ""}},
	"preflight of an allowed origin": {{beacon.Config{Origins: []string{"https://other.example"}},
		sent{"OPTIONS", "", "", "", []string{"Origin", "https://other.example", "Access-Control-Request-Method", "POST"}, ""}, 204, "Access-Control-Allow-Origin"}},
	"the body breaks its own framing": {{beacon.Config{}, sent{"POST", "", "multipart/form-data; boundary=B", "--B\r\n", nil, ""}, 400, "Beacon-Refused"}},
	"origin or host not allowed, no token where one is required": {
		{beacon.Config{}, sent{"POST", "", "text/plain", "x", []string{"Origin", "https://other.example"}, ""}, 403, "Beacon-Refused"},
		{beacon.Config{Hosts: []string{"example.org"}}, sent{"POST", "", "text/plain", "x", nil, ""}, 403, "Beacon-Refused"},
		{beacon.Config{TokenKeys: [][]byte{make([]byte, 16)}, RequireToken: true}, sent{"POST", "", "text/plain", "x", nil, ""}, 403, "Beacon-Refused"}},
	"method": {{beacon.Config{}, sent{"PUT", "", "text/plain", "x", nil, ""}, 405, "Allow"}},
	"body too slow, too large (also after decompression)": {
		{beacon.Config{MaxBody: 2}, sent{"POST", "", "text/plain", "xxx", nil, ""}, 413, "Beacon-Refused"},
		{beacon.Config{Limits: beacon.Limits{MaxDecoded: 10}}, sent{"POST", "", "text/plain", pack(zip, "eleven bytes"), nil, ""}, 413, "Beacon-Refused"}},
	"too much in flight, in all or of its network; more than its network may send": {
		{beacon.Config{Admit: func(*http.Request) error {
			return &beacon.RequestError{Status: 429, Reason: beacon.ReasonLimited, RetryAfter: time.Second}
		}}, sent{"POST", "", "text/plain", "x", nil, ""}, 429, "Retry-After"}},
	"the Sink refused for good (`beacon.ErrPermanent`)": {{beacon.Config{Sink: returning(beacon.ErrPermanent)}, sent{"POST", "", "text/plain", "x", nil, ""}, 422, "Beacon-Refused"}},
	"the Sink failed, or the handler shuts down":        {{beacon.Config{Sink: returning(errors.New("away"))}, sent{"POST", "", "text/plain", "x", nil, ""}, 503, "Retry-After"}},
	"a panic; a body that a middleware has read before": {{beacon.Config{Enrich: func(*http.Request, *beacon.Event) error { panic("mistake") }},
		sent{"POST", "", "text/plain", "x", nil, ""}, 500, "Beacon-Refused"}},
}

// TestAnswered: each situation has the answer of its row. What takes more than a request to
// bring about is in package arrives, beside this one.
func TestAnswered(t *testing.T) {
	cells := table(t, "situation")
	same(t, cells, answers)
	for _, row := range cells {
		for _, a := range answers[row[0]] {
			h, _ := handler(t, a.config)
			w := send(h, a.sent.method, a.sent.query, a.sent.contentType, a.sent.body, a.sent.also...)
			if w.Code != a.status || a.header != "" && w.Header().Get(a.header) == "" {
				t.Errorf("%s: %d %v", row[0], w.Code, w.Header())
			}
			if !strings.Contains(row[1], strconv.Itoa(w.Code)) {
				t.Errorf("%s: answered %d, and the page says %q", row[0], w.Code, row[1])
			}
			if w.Code >= 400 && !strings.Contains(w.Body.String(), w.Header().Get("Beacon-Refused")) {
				t.Errorf("%s: %q", row[0], w.Body)
			}
			if w.Code == 200 && w.Body.Len() != 43 {
				t.Errorf("an image of %d bytes", w.Body.Len())
			}
		}
	}
}
