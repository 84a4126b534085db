package hosts

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// A foreign request is what a client of another maker sends.
type foreign struct {
	method, path, contentType, body string
	header                          map[string]string
}

func (s *site) foreign(t *testing.T, f foreign) *http.Request {
	t.Helper()
	r := s.at(cmp.Or(f.path, s.path)).raw(t, f.contentType, []byte(f.body), true)
	r.Method = cmp.Or(f.method, http.MethodPost)
	if f.contentType == "" {
		r.Header.Del("Content-Type")
	}
	for name, value := range f.header {
		r.Header.Set(name, value)
	}
	return r
}

// TestClients holds the table of docs/clients.md: what comes of a client's request
// without the line that closes the gap, and with it. want is each event's body, behind
// what is said of it.
func TestClients(t *testing.T) {
	answer := func(c *beacon.Config) { c.Answer = jsonObject }
	lines := func(c *beacon.Config) { c.Type = func(*http.Request) string { return "application/x-ndjson" } }
	key := func(c *beacon.Config) { c.Enrich = writeKey }
	split := func(c *beacon.Config) { c.Sink = sink.Split(c.Sink, batch) }
	deep := strings.Repeat(`{"childNodes":[`, 200) + strings.Repeat(`]}`, 200)
	for _, tt := range []struct {
		name string
		foreign
		closes        func(*beacon.Config) // nil: nothing is needed
		without, with string               // the status, and events
	}{
		{"empty 204", foreign{contentType: "application/json", body: `{"e":1}`}, answer,
			`204 "" JSON {"e":1}`, `200 {"status":1,"result":"Success"} JSON {"e":1}`},
		{"list in a member", foreign{contentType: "application/json", body: `{"batch":[{"messageId":"a"},{"messageId":"b"}]}`}, split,
			`204 "" JSON {"batch":[{"messageId":"a"},{"messageId":"b"}]}`, `204 "" a JSON {"messageId":"a"} b JSON {"messageId":"b"}`},
		{"JSON as text", foreign{contentType: "text/plain;charset=UTF-8", body: `{"e":1}`}, nil, `204 "" JSON {"e":1}`, ""},
		{"JSON without a type", foreign{body: `{"e":1}`}, nil, `204 "" JSON {"e":1}`, ""},
		{"JSON under a form's type", foreign{contentType: "application/x-www-form-urlencoded", body: `{"requests":["?url=http%3A%2F%2Fx%2F%3Fa%3D1&e_a=x"]}`}, nil,
			`204 "" JSON {"requests":["?url=http%3A%2F%2Fx%2F%3Fa%3D1&e_a=x"]}`, ""},
		{"JSON as octets", foreign{contentType: "application/octet-stream", body: `{"e":1}`}, nil, `204 "" JSON {"e":1}`, ""},
		{"compressed, and says so nowhere", foreign{contentType: "text/plain", body: string(gzipped(t, []byte(`{"e":1}`)))}, nil, `204 "" JSON {"e":1}`, ""},
		{"lines as text", foreign{contentType: "text/plain", body: "{\"dsn\":1}\n{\"type\":\"event\"}"}, lines,
			"204 \"\" Text {\"dsn\":1}\n{\"type\":\"event\"}", `204 "" JSON {"dsn":1} JSON {"type":"event"}`},
		{"lines under a JSON type", foreign{contentType: "application/json", body: "{\"a\":1}\n{\"a\":2}"}, nil, `204 "" JSON {"a":1} JSON {"a":2}`, ""},
		{"key in a header", foreign{contentType: "application/json", body: `{"e":1}`, header: map[string]string{"Authorization": "Basic c2hvcDo="}}, key,
			`204 "" JSON {"e":1}`, `204 "" project=shop JSON {"e":1}`},
		{"no key", foreign{contentType: "application/json", body: `{"e":1}`}, key, `204 "" JSON {"e":1}`, `401 no-write-key`},
		{"deep", foreign{contentType: "application/json", body: deep}, nil, `204 "" JSON ` + deep, ""},
		{"PUT", foreign{method: "PUT", contentType: "application/json", body: `{"e":1}`}, func(c *beacon.Config) { c.Methods = []string{"PUT"} },
			`405 method`, `204 "" JSON {"e":1}`},
		{"all in the query", foreign{path: endpoint + "?e_c=video&e_a=play", contentType: "application/x-www-form-urlencoded"}, nil,
			`204 "" e_c=video e_a=play Form`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, closed := range []bool{false, true} {
				h := newHost(t)
				want := tt.without
				if closed && tt.closes == nil {
					break
				} else if closed {
					h, want = newHost(t, tt.closes), tt.with
				}
				if got := outcome(t, serve(t, h), h, tt.foreign); got != want {
					t.Errorf("closed %v:\n%s, want\n%s", closed, got, want)
				}
			}
		})
	}
}

// outcome is how a request was answered, and what became of it.
func outcome(t *testing.T, s *site, h *host, f foreign) string {
	t.Helper()
	a := s.do(t, s.foreign(t, f))
	said := a.reason()
	if said == "" {
		said = cmp.Or(a.body, `""`)
	}
	all := []string{fmt.Sprint(a.StatusCode), said}
	for _, e := range h.events.Events() {
		if e.ID != e.Request.ID && !strings.HasPrefix(e.ID, e.Request.ID+".") {
			all = append(all, e.ID)
		}
		for name, value := range e.Attrs {
			all = append(all, name+"="+value)
		}
		for _, f := range e.Query {
			all = append(all, f.Name+"="+f.Value)
		}
		switch b := e.Body.(type) {
		case beacon.JSON:
			all = append(all, "JSON", string(b))
		case beacon.Text:
			all = append(all, "Text", string(b))
		default:
			all = append(all, strings.TrimPrefix(fmt.Sprintf("%T", b), "beacon."))
		}
		if len(e.Errors) > 0 {
			all = append(all, fmt.Sprint(e.Errors))
		}
	}
	return strings.Join(all, " ")
}

func jsonObject(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":1,"result":"Success"}`)
}

func writeKey(r *http.Request, e *beacon.Event) error {
	key, _, ok := r.BasicAuth()
	if !ok {
		return &beacon.RequestError{Status: http.StatusUnauthorized, Reason: "no-write-key"}
	}
	e.Attrs = map[string]string{"project": key}
	return nil
}

func batch(e beacon.Event) []beacon.Event {
	var all struct {
		Batch []json.RawMessage `json:"batch"`
	}
	if body, _ := e.Body.(beacon.JSON); json.Unmarshal(body, &all) != nil {
		return []beacon.Event{e}
	}
	events := make([]beacon.Event, len(all.Batch))
	for i, raw := range all.Batch {
		var item struct {
			ID string `json:"messageId"`
		}
		_ = json.Unmarshal(raw, &item)
		events[i] = e
		events[i].ID, events[i].Body = item.ID, beacon.JSON(raw)
	}
	return events
}

// TestClientsTwins: what a client sends again after an answer that failed comes with
// another ID, unless it has one of its own, in a header or in what it sends.
func TestClientsTwins(t *testing.T) {
	withKey := map[string]string{"Idempotency-Key": "k7"}
	for _, tt := range []struct {
		name string
		foreign
		change func(*beacon.Config)
		events int // of two requests
	}{
		{"no id", foreign{contentType: "application/json", body: `{"e":1}`}, func(*beacon.Config) {}, 2},
		{"Idempotency-Key", foreign{contentType: "application/json", body: `{"e":1}`, header: withKey}, func(*beacon.Config) {}, 1},
		{"Idempotency-Key of lines", foreign{contentType: "application/x-ndjson", body: "{\"a\":1}\n{\"a\":2}", header: withKey}, func(*beacon.Config) {}, 2},
		{"id in the item", foreign{contentType: "application/json", body: `{"batch":[{"messageId":"a"},{"messageId":"b"}]}`},
			func(c *beacon.Config) { c.Sink = sink.Split(c.Sink, batch) }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// The store has it, and its answer is lost.
			stored := map[string]bool{}
			var mu sync.Mutex
			lost := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				mu.Lock()
				defer mu.Unlock()
				first := len(stored) == 0
				for _, e := range events {
					stored[e.ID] = true
				}
				if first {
					return io.ErrUnexpectedEOF
				}
				return nil
			})
			s := serve(t, newHost(t, func(c *beacon.Config) { c.Sink = lost; tt.change(c) }))
			s.expect(t, s.foreign(t, tt.foreign), http.StatusServiceUnavailable, beacon.ReasonSinkFailed)
			s.expect(t, s.foreign(t, tt.foreign), http.StatusNoContent, "")
			if len(stored) != tt.events {
				t.Errorf("%d events stored, want %d: %v", len(stored), tt.events, stored)
			}
		})
	}
}

// TestClientsAnswer: what Config.Answer says is said to images too, and not to the
// envelopes of the browser client.
func TestClientsAnswer(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) { c.Answer = jsonObject })
	s := serve(t, h)
	if a := s.expect(t, s.pixelRequest(t, "a=1"), http.StatusOK, ""); a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("an image gets %q", a.Header.Get("Content-Type"))
	}
	s.expect(t, s.request(t, beacon.Text(goodbye)), http.StatusNoContent, "")
}

// TestClientsPreflight: the headers that a client of another origin wants to send are
// allowed, whatever they are called.
func TestClientsPreflight(t *testing.T) {
	s := serve(t, newHost(t))
	r := s.preflightRequest(t, listed)
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-write-key")
	a := s.expect(t, r, http.StatusNoContent, "")
	if got := a.Header.Get("Access-Control-Allow-Headers"); got != "authorization,content-type,x-write-key" {
		t.Errorf("allowed headers %q", got)
	}
}

// TestClientsOnePath: an SDK asks for its configuration and announces its start under its
// prefix. Whoever mounts all of it gets events that are none.
func TestClientsOnePath(t *testing.T) {
	for pattern, events := range map[string]uint64{"/sdk/": 3, "/sdk/v1/batch": 1} {
		h := newHost(t)
		mux := http.NewServeMux()
		mux.Handle(pattern, h)
		s := serve(t, mux)
		for _, f := range []foreign{
			{method: "GET", path: "/sdk/v1/config?key=shop"},
			{path: "/sdk/v1/start", contentType: "application/json", body: `{"sdk":"3.1"}`},
			{path: "/sdk/v1/batch", contentType: "application/json", body: `{"event":"open"}`},
		} {
			s.do(t, s.foreign(t, f))
		}
		if got := h.Stats().Events; got != events {
			t.Errorf("%s: %d events, want %d", pattern, got, events)
		}
	}
}

// TestClientsTypes: On reads what a client sends now as JSON, then as a form, then in the
// query, to the same Go value, and says so of what it cannot read.
func TestClientsTypes(t *testing.T) {
	type action struct {
		Category string `schema:"e_c" json:"e_c"`
	}
	var mu sync.Mutex
	var got []string
	on := beacon.On(func(_ context.Context, e beacon.Event, a action) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(a.Category, len(e.Errors)))
		return nil
	})
	s := serve(t, newHost(t, func(c *beacon.Config) { c.Sink = on }))
	for _, f := range []foreign{
		{contentType: "text/plain", body: `{"e_c":"json"}`},
		{contentType: "application/json", body: `[{"e_c":"one"},{"e_c":"two"}]`},
		{contentType: "application/x-www-form-urlencoded", body: "e_c=form"},
		{path: endpoint + "?e_c=query", contentType: "application/x-www-form-urlencoded"},
		{contentType: "text/plain", body: "e_c=text"},
	} {
		s.expect(t, s.foreign(t, f), http.StatusNoContent, "")
	}
	if want := "[json0 one0 two0 form0 query0 1]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
