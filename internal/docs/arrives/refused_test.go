package arrives

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/limit"
)

// refused provokes a refusal: its status and reason are in the answer, the counts and the
// log.
func refused(status int, reason string, c beacon.Config, requests ...func() *http.Request) func(*testing.T) {
	return func(t *testing.T) {
		var out bytes.Buffer
		c := c
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
		if c.Sink == nil {
			c.Sink = taken(nil)
		}
		h := handler(t, c)
		for _, r := range requests {
			w := send(h, r())
			if w.Code != status || w.Header().Get("Beacon-Refused") != reason {
				t.Errorf("%d %q, want %d %q", w.Code, w.Header().Get("Beacon-Refused"), status, reason)
			}
			s := h.Stats()
			if n := uint64(len(requests)); s.Received > n || status < 500 && s.Refused[reason] == 0 || status >= 500 && s.Failed == 0 {
				t.Errorf("%+v", s)
			}
		}
		if !strings.Contains(out.String(), "reason="+reason) {
			t.Errorf("the log has\n%s", &out)
		}
	}
}

// with returns a beacon that another one is made of.
func with(contentType, body string, also ...string) func() *http.Request {
	return func() *http.Request { return post(contentType, body, also...) }
}

func method(name string) func() *http.Request {
	return func() *http.Request {
		r := post("text/plain", "x")
		r.Method = name
		return r
	}
}

// each runs several that stand in one row.
func each(tests ...func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		for _, test := range tests {
			test(t)
		}
	}
}

var plain = with("text/plain", "hello")

var refusedRows = map[string]func(*testing.T){
	"`origin` (403)": func(t *testing.T) {
		refused(403, "origin", beacon.Config{}, with("text/plain", "x", "Origin", "https://evil.example"))(t)
		// A proxy that does not pass Host on: the log shows both.
		var out bytes.Buffer
		h := handler(t, beacon.Config{Sink: taken(nil), Logger: slog.New(slog.NewTextHandler(&out, nil))})
		r := plain()
		r.Host = "127.0.0.1:8080"
		if w := send(h, r); w.Code != 403 || !strings.Contains(out.String(), "127.0.0.1:8080") || !strings.Contains(out.String(), "http://shop.example") {
			t.Errorf("%d\n%s", w.Code, &out)
		}
	},
	"`host` (403)":            refused(403, "host", beacon.Config{Hosts: []string{"example.org"}}, plain),
	"`token` (403)":           refused(403, "token", beacon.Config{TokenKeys: [][]byte{[]byte("sixteen or more!")}, RequireToken: true}, plain),
	"`method` (405)":          refused(405, "method", beacon.Config{}, method("PUT"), method("DELETE")),
	"`body-too-slow` (408)":   slowBody,
	"`body-too-large` (413)":  refused(413, "body-too-large", beacon.Config{MaxBody: 10}, with("text/plain", "eleven bytes")),
	"`query-too-large` (413)": refused(413, "query-too-large", beacon.Config{}, func() *http.Request { return httptest.NewRequest("GET", "/_pb?"+strings.Repeat("a", 65<<10), nil) }),
	"`inflates-too-large` (413)": refused(413, "inflates-too-large", beacon.Config{Limits: beacon.Limits{MaxDecoded: 100}},
		with("text/plain", zipped(strings.Repeat("a", 200)), "Content-Encoding", "gzip")),
	"`too-many-fields`, `too-many-events` (413)": each(
		refused(413, "too-many-fields", beacon.Config{Limits: beacon.Limits{MaxFields: 2}}, with("application/x-www-form-urlencoded", "a=1&b=2&c=3")),
		refused(413, "too-many-events", beacon.Config{Limits: beacon.Limits{MaxEvents: 2}}, with("application/x-ndjson", "1\n2\n3\n"))),
	"`json-too-deep` (413)": refused(413, "json-too-deep", beacon.Config{}, with("application/json", strings.Repeat("[", 600)+strings.Repeat("]", 600))),
	"`limited` (429)": func(t *testing.T) {
		limiter, err := limit.New(limit.Options{Events: 1, EventBurst: 1})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		h := handler(t, limiter.Guard(beacon.Config{Sink: taken(nil), Logger: slog.New(slog.NewTextHandler(&out, nil))}))
		for range 20 {
			r := plain()
			r.RemoteAddr = "203.0.113.7:1"
			if w := send(h, r); w.Header().Get("Beacon-Refused") == "limited" {
				if top := limiter.Top(10); w.Code != 429 || w.Header().Get("Retry-After") == "" || len(top) != 1 {
					t.Errorf("%d %v %v", w.Code, w.Header(), top)
				}
				return
			}
		}
		t.Error("nothing was limited")
	},
	"`too-busy` (429)": func(t *testing.T) {
		hold, entered := make(chan struct{}), make(chan struct{})
		h := handler(t, beacon.Config{MaxRequests: 1, Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			close(entered)
			<-hold
			return nil
		})})
		done := make(chan struct{})
		go func() { defer close(done); send(h, plain()) }()
		<-entered
		if w := send(h, plain()); w.Code != 429 || w.Header().Get("Beacon-Refused") != "too-busy" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		close(hold)
		<-done
	},
	"`body-broken` (400)": refused(400, "body-broken", beacon.Config{}, func() *http.Request {
		r := plain()
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{}))
		return r
	}),
	"`malformed-multipart`, `malformed-encoding` (400)": each(
		refused(400, "malformed-multipart", beacon.Config{}, with("multipart/form-data; boundary=B", "--B\r\nno form")),
		refused(400, "malformed-encoding", beacon.Config{}, with("text/plain", zipped("cut")[:15], "Content-Encoding", "gzip"))),
	"`body-already-read` (500)": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.FormValue("who") // as a middleware does
			h.ServeHTTP(w, r)
		}))
		defer srv.Close()
		resp, err := http.Post(srv.URL+"/_pb", "application/x-www-form-urlencoded", strings.NewReader("a=1"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 500 || resp.Header.Get("Beacon-Refused") != "body-already-read" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	},
	"`sink-refused` (422)": refused(422, "sink-refused", beacon.Config{Sink: taken(beacon.ErrPermanent)}, plain),
	"`sink-failed` (503)":  refused(503, "sink-failed", beacon.Config{Sink: taken(errors.New("the database is away"))}, plain),
	"`shutting-down` (503)": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		if err := h.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if w := send(h, plain()); w.Code != 503 || w.Header().Get("Beacon-Refused") != "shutting-down" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	},
	"`panic` (500)": refused(500, "panic", beacon.Config{Enrich: func(*http.Request, *beacon.Event) error { panic("a mistake") }}, plain),
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// slowBody sends a part of a body, and no more.
func slowBody(t *testing.T) {
	h := handler(t, beacon.Config{Sink: taken(nil), ReadTimeout: 300 * time.Millisecond})
	srv := httptest.NewServer(h)
	defer srv.Close()
	body, end := io.Pipe()
	defer end.Close()
	go func() { _, _ = end.Write([]byte("begun")) }()
	resp, err := http.Post(srv.URL+"/_pb", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 408 || resp.Header.Get("Beacon-Refused") != "body-too-slow" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}
