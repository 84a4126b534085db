package beacon_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

func newHandler(t testing.TB, c beacon.Config) *beacon.Handler {
	t.Helper()
	h, err := beacon.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// sum is what Stats promises Received to be.
func sum(s beacon.Stats) uint64 {
	n := s.Delivered + s.Dropped + s.Preflights + s.Failed
	for _, x := range s.Refused {
		n += x
	}
	return n
}

// TestAnswers is the table of answers, row by row.
func TestAnswers(t *testing.T) {
	form := beacon.Form{{Name: "msg", Value: "hello"}}
	post := func(edit ...func(*http.Request)) *http.Request {
		r := beacontest.NewRequest("/b", form)
		for _, f := range edit {
			f(r)
		}
		return r
	}
	header := func(key, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(key, value) }
	}
	body := func(s string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s))
		}
	}
	crossSite := header("Sec-Fetch-Site", "cross-site")
	chunked := func(r *http.Request) { r.ContentLength = -1 }

	tests := []struct {
		name    string
		request *http.Request
		sink    error // what the sink returns
		enrich  error
		status  int
		reason  string
		headers map[string]string // "" means absent
	}{
		{name: "taken", request: post(), status: 204,
			headers: map[string]string{"Cache-Control": "", "Vary": "", "Access-Control-Allow-Origin": "", "Content-Type": ""}}, // no cache keeps a POST's
		{name: "dropped on purpose", request: post(), enrich: beacon.ErrDrop, status: 204},
		{name: "image", request: httptest.NewRequest("GET", "/b?e=1", nil), status: 200,
			headers: map[string]string{"Content-Type": "image/gif", "Content-Length": "43", "Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "no-store", "Vary": "Origin"}},
		{name: "image head", request: httptest.NewRequest("HEAD", "/b?e=1", nil), status: 200,
			headers: map[string]string{"Content-Type": "image/gif", "Content-Length": "43"}},
		{name: "no content type", request: post(func(r *http.Request) { r.Header.Del("Content-Type") }), status: 204},
		{name: "unparsable content type", request: post(header("Content-Type", "[object Object]")), status: 204},

		{name: "malformed multipart", request: post(body("--nothing like it")), status: 400, reason: "malformed-multipart"},
		{name: "malformed gzip", request: post(header("Content-Encoding", "gzip"), body("\x1f\x8b\x08 and then no gzip at all")), status: 400, reason: "malformed-encoding"},
		{name: "percent-encoding is never malformed", status: 204,
			request: post(header("Content-Type", "application/x-www-form-urlencoded"), body("a=%zz&%=%4"))},

		{name: "foreign origin", request: post(crossSite, header("Origin", "https://evil.example")), status: 403, reason: "origin",
			headers: map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{name: "null origin", request: post(crossSite, header("Origin", "null")), status: 403, reason: "origin"},
		{name: "null origin of a page of ours", request: post(header("Origin", "null")), status: 204},
		{name: "allowed origin", request: post(crossSite, header("Origin", "https://app.example.com")), status: 204,
			headers: map[string]string{"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true", "Vary": "Origin", "Cache-Control": "no-store"}},
		{name: "allowed origin sees errors", request: post(crossSite, header("Origin", "https://app.example.com")), sink: errors.New("down"), status: 503, reason: "sink-failed",
			headers: map[string]string{"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "Retry-After, Beacon-Refused"}},

		{name: "method", request: post(func(r *http.Request) { r.Method = "PUT" }), status: 405, reason: "method",
			headers: map[string]string{"Allow": "GET, HEAD, POST, OPTIONS"}},
		{name: "method in lower case", request: post(func(r *http.Request) { r.Method = "post" }), status: 405, reason: "method"},

		{name: "too large", request: post(body(strings.Repeat("x", 5000))), status: 413, reason: "body-too-large"},
		{name: "too large without a length", request: post(body(strings.Repeat("x", 5000)), chunked), status: 413, reason: "body-too-large"},
		{name: "as large as allowed", request: post(header("Content-Type", "text/plain"), body(strings.Repeat("x", 4096))), status: 204},
		{name: "as large as allowed without a length", request: post(header("Content-Type", "text/plain"), body(strings.Repeat("x", 4096)), chunked), status: 204},
		{name: "gzip bomb", request: post(header("Content-Type", "text/plain"), header("Content-Encoding", "gzip"), body(bomb())), status: 413, reason: "inflates-too-large"},
		{name: "gzip bomb undeclared", request: post(header("Content-Type", ""), body(bomb())), status: 413, reason: "inflates-too-large"},
		{name: "too many fields", request: post(header("Content-Type", "application/x-www-form-urlencoded"), body(strings.Repeat("a&", 1001))), status: 413, reason: "too-many-fields"},
		{name: "too many in the query", request: httptest.NewRequest("GET", "/b?"+strings.Repeat("a&", 1001), nil), status: 413, reason: "too-many-fields"},
		{name: "too deep", request: post(header("Content-Type", "application/json"), body(strings.Repeat("[", 513)+strings.Repeat("]", 513))), status: 413, reason: "json-too-deep"},
		{name: "too many events", request: post(header("Content-Type", "application/x-ndjson"), body(strings.Repeat("1\n", 1001))), status: 413, reason: "too-many-events"},
		{name: "connection ends in the body", request: post(func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(r.Body, iotest.ErrReader(io.ErrUnexpectedEOF)))
		}), status: 400, reason: "body-broken"},

		{name: "sink refuses", request: post(), sink: fmt.Errorf("%w: no such site", beacon.ErrPermanent), status: 422, reason: "sink-refused"},
		{name: "sink fails", request: post(), sink: errors.New("disk full"), status: 503, reason: "sink-failed", headers: map[string]string{"Retry-After": "5"}},
		{name: "sink says when", request: post(), sink: &beacon.RetryAfterError{After: 1500 * time.Millisecond, Err: errors.New("busy")}, status: 503, reason: "sink-failed", headers: map[string]string{"Retry-After": "2"}},
		{name: "host limits the rate", request: post(), enrich: &beacon.RequestError{Status: 429, Reason: "rate", RetryAfter: time.Minute}, status: 429, reason: "rate", headers: map[string]string{"Retry-After": "60"}},
		{name: "enrich fails", request: post(), enrich: errors.New("no user store"), status: 503, reason: "sink-failed"},

		{name: "preflight", status: 204,
			request: options("https://app.example.com", "POST", "content-encoding,content-type"),
			headers: map[string]string{
				"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true",
				"Access-Control-Allow-Headers": "content-encoding,content-type", "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
				"Access-Control-Max-Age": "7200",
			}},
		{name: "preflight of a foreign origin", request: options("https://evil.example", "POST", "content-type"), status: 403, reason: "origin",
			headers: map[string]string{"Access-Control-Allow-Origin": ""}},
		{name: "preflight for a method that is not taken", request: options("https://app.example.com", "PUT", ""), status: 405, reason: "method"},
		{name: "options", request: httptest.NewRequest("OPTIONS", "/b", nil), status: 204, headers: map[string]string{"Allow": "GET, HEAD, POST, OPTIONS"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var refused []string
			var rec beacontest.Recorder
			rec.Fail(tt.sink)
			h := newHandler(t, beacon.Config{
				Sink:    &rec,
				Origins: []string{"https://app.example.com"},
				MaxBody: 4096,
				Enrich:  func(*http.Request, *beacon.Event) error { return tt.enrich },
				OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
					refused = append(refused, why.Reason)
				},
			})
			res := serve(h, tt.request)
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.status {
				t.Fatalf("status %d %q, want %d", res.StatusCode, text, tt.status)
			}
			if got := res.Header.Get("Beacon-Refused"); got != tt.reason {
				t.Errorf("Beacon-Refused %q, want %q", got, tt.reason)
			}
			if tt.status == 204 && len(text) != 0 {
				t.Errorf("204 with a body: %q", text)
			}
			if tt.reason != "" && tt.request.Method != "HEAD" && !strings.Contains(string(text), tt.reason) {
				t.Errorf("answer %q does not say %q", text, tt.reason)
			}
			for k, want := range tt.headers {
				if got := res.Header.Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
			if loc := res.Header.Get("Location"); loc != "" || res.Header.Get("Set-Cookie") != "" {
				t.Errorf("redirect or cookie: %v", res.Header)
			}

			taken := tt.status < 300 && tt.enrich == nil && tt.request.Method != "OPTIONS"
			if got := len(rec.Events()) > 0; got != taken {
				t.Errorf("events taken: %v, want %v", got, taken)
			}
			var wantRefused []string
			if tt.reason != "" {
				wantRefused = []string{tt.reason}
			}
			if diff := cmp.Diff(wantRefused, refused); diff != "" {
				t.Errorf("OnRefused (-want +got)\n%s", diff)
			}
			s := h.Stats()
			if s.Received != 1 || sum(s) != 1 || s.Active != 0 {
				t.Errorf("stats %+v", s)
			}
			if tt.status < 500 && tt.reason != "" && s.Refused[tt.reason] != 1 {
				t.Errorf("not counted as refused for %q: %+v", tt.reason, s)
			}
		})
	}
}

func options(origin, method, headers string) *http.Request {
	r := httptest.NewRequest("OPTIONS", "/b", nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", method)
	if headers != "" {
		r.Header.Set("Access-Control-Request-Headers", headers)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

// bomb is a gzip body of 4 KB at most that inflates a thousandfold.
func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 4<<20))
	_ = w.Close()
	return b.String()[:min(b.Len(), 4096)]
}

func TestNewReportsAllMistakes(t *testing.T) {
	_, err := beacon.New(beacon.Config{
		Path: "b", Origins: []string{"null", "example.com", "https://*", "https://a.example/b", "https://bücher.example", "https://ok.example"},
		Methods: []string{"OPTIONS", "a b"}, MaxBody: -1, ReadTimeout: -1, ClientIP: 9,
		TrustedProxies: []netip.Prefix{{}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Sink", `"b"`, `"null"`, `"example.com"`, `"https://*"`, `"https://a.example/b"`, `"https://bücher.example"`, `"OPTIONS"`, `"a b"`, "MaxBody", "ReadTimeout", "ClientIP", "TrustedProxies"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not mention %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "ok.example") {
		t.Error("complains about a good origin")
	}
}

func TestOrigins(t *testing.T) {
	tests := []struct {
		allowed, origin string
		want            bool
	}{
		{"https://example.com", "https://example.com", true},
		{"https://example.com:443", "https://example.com", true},
		{"HTTPS://Example.COM", "https://example.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://*.example.com", "https://www.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://evilexample.com", false},
		{"https://*.example.com", "https://evil.com/.example.com", false},
		{"https://*.example.com", "https://evil.com:80.example.com", false},
		{"https://*.example.com", "https://user@x.example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://www.example.com:8443", false},
		{"https://*.example.com:8443", "https://www.example.com:8443", true},
		{"https://*.example.com", "http://www.example.com", false},
		{"any", "https://anything.example", true},
		{"any", "capacitor://localhost", true},
		{"any", "null", false},
	}
	for _, tt := range tests {
		c := beacon.Config{Sink: &beacontest.Recorder{}, AnyOrigin: tt.allowed == "any"}
		if !c.AnyOrigin {
			c.Origins = []string{tt.allowed}
		}
		h := newHandler(t, c)
		r := beacontest.NewRequest("http://collect.example/b", beacon.Text("x"))
		r.Header.Set("Origin", tt.origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		res := serve(h, r)
		if got := res.StatusCode == 204; got != tt.want {
			t.Errorf("%s on the list, from %s: allowed %v, want %v", tt.allowed, tt.origin, got, tt.want)
		}
		if echo := res.Header.Get("Access-Control-Allow-Origin"); (echo == tt.origin) != tt.want {
			t.Errorf("%s on the list, from %s: echoed %q", tt.allowed, tt.origin, echo)
		}
	}
	// Browsers without Sec-Fetch-Site: Origin and Host tell.
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}})
	for origin, want := range map[string]int{"https://own.example": 204, "https://other.example": 403, "https://own.example:1": 403, "null": 403} {
		r := beacontest.NewRequest("https://own.example/b", beacon.Text("x"))
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Set("Origin", origin)
		if got := serve(h, r).StatusCode; got != want {
			t.Errorf("from %s to own.example: %d, want %d", origin, got, want)
		}
	}
}

// TestHangUp is the life of a beacon: the client sends it and is gone.
func TestHangUp(t *testing.T) {
	requests := 10000
	if testing.Short() {
		requests = 1000
	}
	var delivered, cancelled atomic.Int64
	h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			cancelled.Add(1)
			return ctx.Err()
		}
		delivered.Add(int64(len(events)))
		return nil
	})})
	srv := httptest.NewServer(h)
	defer srv.Close()

	body := beacontest.FormData(beacon.Form{{Name: "msg", Value: "bye"}}, beacontest.Boundary)
	request := fmt.Appendf(nil, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s",
		beacontest.Boundary, len(body), body)
	var clients sync.WaitGroup
	slots := make(chan struct{}, 128)
	for range requests {
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Write(request); err != nil {
				t.Error(err)
			}
			_ = c.Close()
		})
	}
	clients.Wait()
	for deadline := time.Now().Add(20 * time.Second); h.Stats().Received < uint64(requests) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if delivered.Load() != int64(requests) || cancelled.Load() != 0 {
		t.Errorf("delivered %d of %d, cancelled %d; %+v", delivered.Load(), requests, cancelled.Load(), h.Stats())
	}
}

// dial serves h and returns a connection to it, for what http.Client does not do.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // no test takes longer
	return c
}

// TestSlowBody sends half a body and then nothing.
func TestSlowBody(t *testing.T) {
	var dead []byte
	h := newHandler(t, beacon.Config{
		Sink: &beacontest.Recorder{}, ReadTimeout: 100 * time.Millisecond,
		OnRefused: func(_ *http.Request, body []byte, _ *beacon.RequestError) { dead = body },
	})
	c := dial(t, h)
	_, _ = io.WriteString(c, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusRequestTimeout || res.Header.Get("Beacon-Refused") != beacon.ReasonBodyTooSlow || !res.Close {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if string(dead) != "half" {
		t.Errorf("dead letter %q", dead)
	}
}

// TestSlowUnwantedBody is the same for a body that is refused before it is read:
// net/http reads some of it all the same, and must not wait for ever.
func TestSlowUnwantedBody(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, ReadTimeout: 100 * time.Millisecond})
	c := dial(t, h)
	_, _ = io.WriteString(c, "POST /b HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 10\r\n\r\nhalf")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("connection stays: %v", err)
	}
}

// TestTrickle sends a byte now and then, which must not buy time.
func TestTrickle(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, ReadTimeout: 200 * time.Millisecond})
	c := dial(t, h)
	start := time.Now()
	_, _ = io.WriteString(c, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
	go func() {
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("%v, %v", res, err)
	}
	if d := time.Since(start); d < 200*time.Millisecond || d > 2*time.Second {
		t.Errorf("cut after %v", d)
	}
}

// TestReadTimeoutEnds checks that the deadline of one body does not cut the next
// request on the same connection, or a sink that takes longer.
func TestReadTimeoutEnds(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{ReadTimeout: 50 * time.Millisecond, Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		time.Sleep(120 * time.Millisecond)
		return rec.Consume(ctx, events)
	})})
	srv := httptest.NewServer(h)
	defer srv.Close()
	for range 3 {
		res, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 204 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	if n := len(rec.Events()); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestMaxInFlight holds the whole budget with one slow upload.
func TestMaxInFlight(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	h := newHandler(t, beacon.Config{
		MaxBody: 1000, Limits: beacon.Limits{MaxDecoded: 1000}, MaxInFlight: 2000,
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if events[0].Body == beacon.Text(strings.Repeat("h", 900)) {
				held <- struct{}{}
				<-hold
			}
			return nil
		}),
	})
	post := func(n int, c string) *http.Response {
		return serve(h, beacontest.NewRequest("/b", beacon.Text(strings.Repeat(c, n))))
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if res := post(900, "h"); res.StatusCode != 204 {
				t.Errorf("holder: %d", res.StatusCode)
			}
		})
		<-held
	}
	res := post(900, "x")
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "1" || res.Header.Get("Beacon-Refused") != beacon.ReasonTooBusy {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res := post(200, "x"); res.StatusCode != 204 {
		t.Errorf("what fits: %d", res.StatusCode)
	}
	wg.Go(func() { // one who waits is served when there is room
		if res := post(900, "x"); res.StatusCode != 204 {
			t.Errorf("waiter: %d", res.StatusCode)
		}
	})
	time.Sleep(10 * time.Millisecond)
	close(hold)
	wg.Wait()
	if res := post(1000, "x"); res.StatusCode != 204 {
		t.Errorf("after all: %d; something was not given back", res.StatusCode)
	}
}

func TestPanic(t *testing.T) {
	var logged bytes.Buffer
	boom := func() { panic("boom") }
	for name, c := range map[string]beacon.Config{
		"sink":      {Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { boom(); return nil })},
		"enrich":    {Sink: &beacontest.Recorder{}, Enrich: func(*http.Request, *beacon.Event) error { boom(); return nil }},
		"onrefused": {Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { boom(); return nil }), OnRefused: func(*http.Request, []byte, *beacon.RequestError) { boom() }},
	} {
		logged.Reset()
		c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		h := newHandler(t, c)
		res := serve(h, beacontest.NewRequest("/b", beacon.Text("x")))
		if res.StatusCode != 500 || res.Header.Get("Beacon-Refused") != beacon.ReasonPanic {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
		if s := h.Stats(); s.Failed != 1 || s.Received != 1 {
			t.Errorf("%s: %+v", name, s)
		}
		if !strings.Contains(logged.String(), "boom") || !strings.Contains(logged.String(), "handler_test.go") {
			t.Errorf("%s: log without cause and place: %s", name, &logged)
		}
		if b, _ := io.ReadAll(res.Body); strings.Contains(string(b), "boom") {
			t.Errorf("%s: cause goes to the client: %s", name, b)
		}
	}
}

// TestSinkContext checks the four things that the Sink's contract says of it.
func TestSinkContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var kept context.Context
		h := newHandler(t, beacon.Config{SinkTimeout: 3 * time.Second, Sink: beacon.SinkFunc(func(ctx context.Context, _ []beacon.Event) error {
			kept = ctx
			if ctx.Value(key{}) != "v" {
				t.Error("value of the request is gone")
			}
			if err := ctx.Err(); err != nil {
				t.Errorf("cancelled from the start: %v", err)
			}
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != 3*time.Second {
				t.Errorf("deadline in %v", time.Until(d))
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			start := time.Now()
			<-child.Done()
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("ended after %v", got)
			}
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				t.Errorf("err %v, cause %v", ctx.Err(), context.Cause(ctx))
			}
			return ctx.Err()
		})})
		ctx, hangUp := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		hangUp()
		res := serve(h, beacontest.NewRequest("/b", beacon.Text("x")).WithContext(ctx))
		if res.StatusCode != 503 {
			t.Errorf("status %d", res.StatusCode)
		}
		<-kept.Done()
	})
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(ctx context.Context, _ []beacon.Event) error {
			kept = ctx
			time.Sleep(10 * time.Second)
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // without anyone asking for Done
				t.Errorf("after the timeout: %v", ctx.Err())
			}
			return nil
		})})
		serve(h, beacontest.NewRequest("/b", beacon.Text("x")))
		select {
		case <-kept.Done():
		default:
			t.Error("still alive after Consume returned")
		}
	})
}

func TestOnRefusedGetsTheBody(t *testing.T) {
	type letter struct {
		reason, body string
	}
	var got []letter
	h := newHandler(t, beacon.Config{
		Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errors.New("down") }), MaxBody: 20,
		OnRefused: func(_ *http.Request, body []byte, why *beacon.RequestError) {
			got = append(got, letter{why.Reason, string(body)})
		},
	})
	foreign := beacontest.NewRequest("/b", beacon.Text("from elsewhere"))
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	put := beacontest.NewRequest("/b", beacon.Text("put"))
	put.Method = "PUT"
	large := beacontest.NewRequest("/b", beacon.Text(strings.Repeat("0123456789", 3)))
	failed := beacontest.NewRequest("/b", beacon.Text("sink is down"))
	for _, r := range []*http.Request{foreign, put, large, failed} {
		serve(h, r)
	}
	want := []letter{
		{"origin", "from elsewhere"}, {"method", "put"},
		{"body-too-large", strings.Repeat("0123456789", 2)}, {"sink-failed", "sink is down"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("dead letters (-want +got)\n%s", diff)
	}
}

func TestEnrich(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec, Enrich: func(r *http.Request, e *beacon.Event) error {
		if e.Body == nil || e.ID == "" {
			t.Error("called with an unfinished event")
		}
		if string(e.Body.(beacon.JSON)) == "2" {
			return fmt.Errorf("%w: opted out", beacon.ErrDrop)
		}
		e.Attrs = map[string]string{"user": r.Header.Get("X-User")}
		return nil
	}})
	r := beacontest.NewRequest("/b", beacon.Binary{Type: "application/x-ndjson", Data: []byte("1\n2\n3\n")})
	r.Header.Set("X-User", "7")
	if res := serve(h, r); res.StatusCode != 204 {
		t.Fatal(res.Status)
	}
	var got []string
	for _, e := range rec.Events() {
		got = append(got, string(e.Body.(beacon.JSON))+e.Attrs["user"])
	}
	if want := []string{"17", "37"}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if s := h.Stats(); s.Delivered != 1 || s.Dropped != 0 || s.Events != 2 {
		t.Errorf("%+v", s)
	}
}

func TestStatsUnderLoad(t *testing.T) {
	var n atomic.Int64
	h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		switch n.Add(1) % 4 {
		case 0:
			return errors.New("temporary")
		case 1:
			return beacon.ErrPermanent
		case 2:
			panic("boom")
		}
		return nil
	})})
	stop := make(chan struct{})
	var watcher, clients sync.WaitGroup
	watcher.Go(func() {
		for {
			if s := h.Stats(); s.Received != sum(s) {
				t.Errorf("received %d, sum %d", s.Received, sum(s))
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 8 {
		clients.Go(func() {
			for i := range 200 {
				r := beacontest.NewRequest("/b", beacon.Text("x"))
				if i%5 == 0 {
					r.Method = "DELETE"
				}
				serve(h, r)
			}
		})
	}
	clients.Wait()
	close(stop)
	watcher.Wait()
	s := h.Stats()
	if s.Received != 1600 || s.Refused["method"] != 320 || s.Delivered == 0 || s.Failed == 0 || s.Refused["sink-refused"] == 0 {
		t.Errorf("%+v", s)
	}
}

func TestLogIsBoundedAndEscaped(t *testing.T) {
	var logged bytes.Buffer
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 50 {
		r := beacontest.NewRequest("/b", beacon.Text("x"))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header["Origin"] = []string{"https://evil.example\r\nlevel=ERROR msg=forged \x1b[31m\u202e" + strings.Repeat("x", 5000)}
		serve(h, r)
	}
	lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
	if len(lines) != 1 {
		t.Errorf("%d records for 50 refusals within a second:\n%s", len(lines), &logged)
	}
	if l := lines[0]; len(l) > 500 || strings.ContainsAny(l, "\x1b\u202e\r") || !strings.Contains(l, "reason=origin") {
		t.Errorf("record %q", l)
	}
}

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name    string
		policy  beacon.IPPolicy
		proxies []netip.Prefix
		remote  string
		xff     []string
		want    string // "" for none
	}{
		{"off", beacon.IPNone, trusted, "203.0.113.7:1", nil, ""},
		{"truncated", beacon.IPTruncated, nil, "203.0.113.7:1", nil, "203.0.113.0"},
		{"truncated v6", beacon.IPTruncated, nil, "[2001:db8:1:2:3::4]:1", nil, "2001:db8:1::"},
		{"mapped", beacon.IPTruncated, nil, "[::ffff:203.0.113.7]:1", nil, "203.0.113.0"},
		{"zone", beacon.IPFull, nil, "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"nobody trusted", beacon.IPFull, nil, "203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7"},
		{"peer not trusted", beacon.IPFull, trusted, "203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7"},
		{"behind a proxy", beacon.IPFull, trusted, "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"forged to the left", beacon.IPFull, trusted, "10.0.0.1:1", []string{"8.8.8.8, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"several headers", beacon.IPFull, trusted, "10.0.0.1:1", []string{"8.8.8.8", "198.51.100.1", "fd00::2"}, "198.51.100.1"},
		{"with ports", beacon.IPFull, trusted, "10.0.0.1:1", []string{"198.51.100.1:55, [fd00::2]:80"}, "198.51.100.1"},
		{"garbage ends the walk", beacon.IPFull, trusted, "10.0.0.1:1", []string{"198.51.100.1, unknown, 10.0.0.3"}, "10.0.0.3"},
		{"empty entry", beacon.IPFull, trusted, "10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"unix socket", beacon.IPFull, trusted, "@", []string{"8.8.8.8, 198.51.100.1"}, "198.51.100.1"},
		{"named unix socket", beacon.IPTruncated, trusted, "/run/proxy.sock", []string{"198.51.100.1"}, "198.51.100.0"},
		{"unix socket, nobody trusted", beacon.IPFull, nil, "@", []string{"198.51.100.1"}, ""},
		{"unix socket, nobody forwarded", beacon.IPFull, trusted, "@", nil, ""},
	}
	for _, tt := range tests {
		var rec beacontest.Recorder
		h := newHandler(t, beacon.Config{Sink: &rec, ClientIP: tt.policy, TrustedProxies: tt.proxies})
		r := beacontest.NewRequest("/b", beacon.Text("x"))
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.xff
		serve(h, r)
		got := ""
		if ip := rec.Events()[0].Request.ClientIP; ip.IsValid() {
			got = ip.String()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestRequestAndPrivacy(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	r := beacontest.NewRequest("https://own.example/collect%20it?q=1", beacon.Text("x"))
	r.Header.Set("Sec-Purpose", "prefetch;prerender")
	r.Header["Sec-Gpc"] = []string{"0", "1"}
	r.Header.Set("DNT", "1")
	r.Header.Set("Cookie", "secret=1")
	r.Header.Set("Authorization", "Bearer secret")
	serve(h, r)
	got := rec.Events()[0]
	if got.ID != got.Request.ID || len(got.ID) != 36 {
		t.Errorf("ID %q of a single event, request %q", got.ID, got.Request.ID)
	}
	got.ID, got.Request.ID, got.Time, got.Received = "", "", time.Time{}, time.Time{}
	want := beacon.Event{
		Body: beacon.Text("x"), Query: beacon.Form{{Name: "q", Value: "1"}}, Page: "http://own.example/page",
		Request: beacon.Request{
			Method: "POST", Host: "own.example", Path: "/collect it", ContentType: "text/plain;charset=UTF-8",
			Origin: "http://own.example", UserAgent: r.Header.Get("User-Agent"),
			FetchSite: "same-origin", FetchMode: "no-cors", FetchDest: "empty", Purpose: "prefetch;prerender", TLS: true,
		},
		Privacy: beacon.Privacy{GPC: true, DNT: true},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("event (-want +got)\n%s", diff)
	}
	if s := fmt.Sprintf("%+v", got); strings.Contains(s, "secret") {
		t.Errorf("credentials in the event: %s", s)
	}
}

// TestHostileHeaders sends what a server lets through and a browser never would.
func TestHostileHeaders(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	long := strings.Repeat("x", 100_000)
	r := beacontest.NewRequest("/"+long+"?q=1", beacon.Ping{From: long, To: long})
	for _, name := range []string{"User-Agent", "Referer", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Purpose", "X-Forwarded-For", "Accept", "Content-Encoding"} {
		r.Header[name] = []string{long, long}
	}
	r.Header.Set("Sec-GPC", long)
	if res := serve(h, r); res.StatusCode != 204 {
		t.Fatal(res.Status)
	}
	e := rec.Events()[0]
	roundTrip(t, e)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 120_000 || len(e.Errors) == 0 || e.Privacy.GPC {
		t.Errorf("event of %d bytes, notes %v", len(b), e.Errors)
	}
	for _, origin := range []string{"", "://", "https://", "null null", "https://a b", "\x00", long} {
		r := beacontest.NewRequest("/b", beacon.Text("x"))
		r.Header.Del("Sec-Fetch-Site")
		r.Header["Origin"] = []string{origin}
		res := serve(h, r)
		if res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("origin %.20q: %d %v", origin, res.StatusCode, res.Header)
		}
		p := options(origin, "POST", long)
		if res := serve(h, p); res.StatusCode != 403 {
			t.Errorf("preflight of %.20q: %d", origin, res.StatusCode)
		}
	}
}

func TestReportTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec beacontest.Recorder
		h := newHandler(t, beacon.Config{Sink: &rec})
		serve(h, beacontest.NewRequest("/b", beacon.Report{Type: "crash", URL: "https://own.example/", Age: 90 * time.Second}))
		serve(h, beacontest.NewRequest("/b", beacon.Report{Type: "crash", URL: "https://own.example/", Age: 1e6 * time.Hour}))
		events := rec.Events()
		if got := events[0].Received.Sub(events[0].Time); got != 90*time.Second {
			t.Errorf("happened %v before it was received", got)
		}
		if got := events[1].Received.Sub(events[1].Time); got != 30*24*time.Hour {
			t.Errorf("absurd age moved the time by %v", got)
		}
		if !events[0].Received.Equal(time.Now()) || events[0].Received.Location() != time.UTC {
			t.Errorf("received %v", events[0].Received)
		}
	})
}

func TestIDs(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	for range 1000 {
		serve(h, beacontest.NewRequest("/b", beacon.Empty{}))
	}
	seen := map[string]bool{}
	for _, e := range rec.Events() {
		ms, err := strconv.ParseInt(strings.ReplaceAll(e.ID[:13], "-", ""), 16, 64)
		if err != nil || len(e.ID) != 36 || e.ID[14] != '7' || !strings.ContainsRune("89ab", rune(e.ID[19])) {
			t.Fatalf("not a UUIDv7: %q", e.ID)
		}
		if d := e.Received.Sub(time.UnixMilli(ms)); d < 0 || d >= time.Millisecond {
			t.Errorf("id %s is %v off", e.ID, d)
		}
		seen[e.ID] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different ids of 1000", len(seen))
	}
}

func TestMiddleware(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec, Path: "/signal"})
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	wrapped := h.Middleware(next)
	for path, want := range map[string]int{"/signal": 204, "/signal?x=1": 204, "/signal/": 418, "/": 418, "/other": 418} {
		if got := serve(wrapped, beacontest.NewRequest(path, beacon.Text("x"))).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if n := len(rec.Events()); n != 2 {
		t.Errorf("%d events", n)
	}
	for path, want := range map[string]string{
		"/_pb.js": "public, max-age=3600", h.ScriptURL(): "public, max-age=31536000, immutable",
	} {
		res := serve(wrapped, httptest.NewRequest("GET", path, nil))
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != want {
			t.Errorf("%s: %d, %q", path, res.StatusCode, res.Header.Get("Cache-Control"))
		}
	}
	none := newHandler(t, beacon.Config{Sink: &rec, NoScript: true})
	if got := serve(none.Middleware(next), httptest.NewRequest("GET", "/_pb.js", nil)).StatusCode; got != 418 || none.ScriptURL() != "" {
		t.Errorf("script that is not to be served: %d %q", got, none.ScriptURL())
	}
	empty := httptest.NewRequest("GET", "/", nil) // "GET http://host" has no path
	empty.URL.Path = ""
	if got := serve(none.Middleware(next), empty).StatusCode; got != 418 {
		t.Errorf("empty path: %d", got)
	}
	var w nopWriter
	r := httptest.NewRequest("GET", "/other", nil)
	quiet := h.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if n := testing.AllocsPerRun(100, func() { quiet.ServeHTTP(w, r) }); n != 0 {
		t.Errorf("%v allocations on other routes", n)
	}
}

type nopWriter struct{}

func (nopWriter) Header() http.Header         { return http.Header{} }
func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriter) WriteHeader(int)             {}

func TestCapture(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{
		Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			err := rec.Consume(ctx, events)
			clear(events) // the sink's to do with as it likes
			return err
		}),
		Enrich: func(_ *http.Request, e *beacon.Event) error {
			e.Attrs = map[string]string{"k": "v"}
			return nil
		},
	})
	var got []beacon.Event
	var form map[string][]string
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h.Capture(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = beacon.FromContext(r.Context())
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Errorf("body is not readable: %v", err)
		}
		form = r.MultipartForm.Value
		w.WriteHeader(http.StatusAccepted)
	})))
	form1 := beacon.Form{{Name: "start", Value: "1"}, {Name: "msg", Value: "hi"}}
	res := serve(mux, beacontest.NewRequest("/log-tracking", form1))
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("status %d is not next's", res.StatusCode)
	}
	if diff := cmp.Diff(beacon.Body(form1), got[0].Body); diff != "" || got[0].Attrs["k"] != "v" {
		t.Errorf("events in the context: %v %s", got[0].Attrs, diff)
	}
	if diff := cmp.Diff(map[string][]string{"start": {"1"}, "msg": {"hi"}}, form); diff != "" {
		t.Errorf("form (-want +got)\n%s", diff)
	}
	if len(rec.Events()) != 1 {
		t.Errorf("sink has %d events", len(rec.Events()))
	}

	got = nil
	rec.Fail(errors.New("down"))
	if res := serve(mux, beacontest.NewRequest("/log-tracking", form1)); res.StatusCode != 503 || got != nil {
		t.Errorf("next ran although the sink failed: %d", res.StatusCode)
	}
	if beacon.FromContext(t.Context()) != nil {
		t.Error("events in a context without any")
	}
}

func TestHTTP2(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	res, err := srv.Client().Post(srv.URL+"/b", "application/x-www-form-urlencoded", strings.NewReader("a=1"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 204 || res.ProtoMajor != 2 {
		t.Fatal(res.Proto, res.Status)
	}
	e := rec.Events()[0]
	if !e.Request.TLS || !cmp.Equal(e.Body, beacon.Body(beacon.Form{{Name: "a", Value: "1"}})) {
		t.Errorf("%+v", e)
	}
}

// TestKeepAlive checks that no answer costs the connection but where it must:
// browsers send a beacon again whose connection was closed.
func TestKeepAlive(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, MaxBody: 100})
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	for range 3 {
		for _, body := range []string{"ok", strings.Repeat("x", 200)} {
			for _, origin := range []string{"", "https://evil.example"} {
				r, _ := http.NewRequest("POST", srv.URL, strings.NewReader(body))
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				res, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	want := map[string]uint64{"body-too-large": 3, "origin": 6}
	if got := h.Stats().Refused; !maps.Equal(got, want) {
		t.Errorf("refused %v, want %v", got, want)
	}
}

// TestAdmitChangesRequest: what a hook of the host's takes away or puts right is so in
// events, though it was looked at before.
func TestAdmitChangesRequest(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec, ClientIP: beacon.IPFull, Admit: func(r *http.Request) error {
		r.Header.Del("Referer")
		r.Header.Set("User-Agent", "some browser")
		r.RemoteAddr = r.Header.Get("X-Client") + ":0"
		return nil
	}})
	r := httptest.NewRequest(http.MethodPost, "/b", strings.NewReader("x"))
	r.Header.Set("Referer", "https://example.com/private")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	r.Header.Set("X-Client", "203.0.113.7")
	if res := serve(h, r); res.StatusCode != http.StatusNoContent {
		t.Fatal(res.Status)
	}
	if e := rec.Events()[0]; e.Page != "" || e.Request.UserAgent != "some browser" || e.Request.ClientIP != netip.MustParseAddr("203.0.113.7") {
		t.Errorf("%q, %q, %v", e.Page, e.Request.UserAgent, e.Request.ClientIP)
	}
}
