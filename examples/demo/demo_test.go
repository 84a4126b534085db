package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// An output is a log that is read while what becomes of sessions is still written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Reset()
}

// start returns a demo, its routes, and the log it writes.
func start(t *testing.T) (*demo, http.Handler, *output) {
	t.Helper()
	return startIn(t, t.TempDir())
}

func startIn(t *testing.T, dir string) (*demo, http.Handler, *output) {
	t.Helper()
	var out output
	d, err := newDemo(log.New(&out, "", 0), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close(context.Background()) })
	return d, d.routes(), &out
}

// stored waits until what was taken is in the store and in the log.
func stored(t *testing.T, d *demo) {
	t.Helper()
	if err := d.events.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if r.Host == "example.com" { // that of httptest's requests
		r.Host = "localhost"
	}
	h.ServeHTTP(w, r)
	return w
}

func get(t *testing.T, h http.Handler, path string, v any) {
	t.Helper()
	w := send(h, httptest.NewRequest(http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		t.Fatalf("%s: %d %v", path, w.Code, err)
	}
}

func session(start, end, msg string) beacon.Form {
	return beacon.Form{{Name: "start", Value: start}, {Name: "end", Value: end}, {Name: "msg", Value: msg}}
}

func TestLog(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target string
		body   beacon.Body
		want   string
	}{
		{
			name: "seconds",
			body: session("1700000000000", "1700000012340", "clicked Save"),
			want: "In session for: 12.34 seconds\nTracking info: clicked Save\n",
		},
		{
			name: "minutes",
			body: session("1700000000000", "1700000075000", ""),
			want: "In session for: 1.25 minutes\nTracking info: \n",
		},
		{
			name: "a message that would forge a line",
			body: session("1700000000000", "1700000001000", "x\nIn session for: 9 years\x1b[2J"),
			want: "In session for: 1.00 seconds\nTracking info: \"x\\nIn session for: 9 years\\x1b[2J\"\n",
		},
		{
			name: "JSON",
			body: beacon.JSON(`{"start": 1700000000000, "end": 1700000001500, "msg": "tidy"}`),
			want: "In session for: 1.50 seconds\nTracking info: tidy\n",
		},
		{
			name:   "query",
			target: "/log-tracking?start=1700000000000&end=1700000002000&msg=pixel",
			body:   beacon.Empty{},
			want:   "In session for: 2.00 seconds\nTracking info: pixel\n",
		},
		{
			name: "time that is none",
			body: session("noon", "1700000001000", ""),
			want: `Session not readable: "beacon: field \"start\": not a time: \"noon\""` + "\n",
		},
		{
			name: "end before start",
			body: session("1700000001000", "1700000000000", ""),
			want: `Session not readable: "beacon: field \"end\": is before the start, 2023-11-14T22:13:21Z: \"2023-11-14T22:13:20Z\""` + "\n",
		},
		{
			name: "no session",
			body: beacon.Text("hello"),
			want: "Received: text, name \"\", type \"text/plain;charset=UTF-8\", 5 bytes\n",
		},
		{
			name: "named",
			body: beacon.Ping{To: "http://example.com/"},
			want: "Received: ping, name \"ping\", type \"text/ping\", to \"http://example.com/\"\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, h, out := start(t)
			target := "/log-tracking"
			if tt.target != "" {
				target = tt.target
			}
			if w := send(h, beacontest.NewRequest(target, tt.body)); w.Code != http.StatusNoContent {
				t.Errorf("status %d, want 204", w.Code)
			}
			stored(t, d)
			if got := out.String(); got != tt.want {
				t.Errorf("log:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestAPI(t *testing.T) {
	d, h, _ := start(t)
	var events []beacon.Event
	get(t, h, "/api/events", &events)
	if events == nil || len(events) > 0 {
		t.Errorf("at first: %v, want an empty list", events)
	}

	odd := beacon.Form{
		{Name: "na\"me\r\nx", Value: "<b>"},
		{Name: "f", File: &beacon.File{Name: `é".txt`, Type: "text/plain", Data: []byte("hi")}},
	}
	send(h, beacontest.NewRequest("/log-tracking", odd))
	send(h, beacontest.NewRequest("/log-tracking", beacon.Text("second")))
	stored(t, d)
	get(t, h, "/api/events", &events)
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	form, _ := events[0].Body.(beacon.Form)
	if form.Get("na\"me\r\nx") != "<b>" || form.File("f") == nil || form.File("f").Name != `é".txt` {
		t.Errorf("form: %+v", events[0].Body)
	}
	if events[1].Body != beacon.Text("second") {
		t.Errorf("text: %+v", events[1].Body)
	}

	if w := send(h, httptest.NewRequest(http.MethodDelete, "/log-tracking", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: status %d, want 405", w.Code)
	}
	foreign := beacontest.NewRequest("/log-tracking", beacon.Empty{})
	foreign.Header.Set("Origin", "https://elsewhere.example")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	send(h, foreign)
	var s beacon.Stats
	get(t, h, "/api/stats", &s)
	if s.Delivered != 2 || s.Refused[beacon.ReasonMethod] != 1 || s.Refused[beacon.ReasonOrigin] != 1 {
		t.Errorf("stats: %+v", s)
	}
}
