package beacon_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// TestDecompressedOutside: a middleware that swaps the body leaves a Content-Length that
// is not the new one's. What it says neither cuts the body nor breaks it.
func TestDecompressedOutside(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	for _, body := range []string{strings.Repeat("k=aaaaaaaaaaaaaaaa&", 20) + "last=1", "last=1", strings.Repeat("k=a&", 900) + "last=1", "k=" + strings.Repeat("x", 300_000) + "&last=1"} {
		for name, length := range map[string]func(compressed int) int64{
			"left": func(n int) int64 { return int64(n) }, "unknown": func(int) int64 { return -1 }, "none": func(int) int64 { return 0 },
			"one": func(int) int64 { return 1 }, "right": func(int) int64 { return int64(len(body)) }, "one less": func(int) int64 { return int64(len(body)) - 1 },
		} {
			var gz bytes.Buffer
			zw := gzip.NewWriter(&gz)
			_, _ = zw.Write([]byte(body))
			_ = zw.Close()
			r := httptest.NewRequest("POST", "/b", nil)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.ContentLength = length(gz.Len())
			zr, err := gzip.NewReader(&gz)
			if err != nil {
				t.Fatal(err)
			}
			r.Body = io.NopCloser(bufio.NewReaderSize(zr, 100))
			rec.Reset()
			if res := serve(h, r); res.StatusCode != 204 {
				t.Fatalf("%d bytes, length %s: %d %s", len(body), name, res.StatusCode, res.Header.Get("Beacon-Refused"))
			}
			form := rec.Events()[0].Body.(beacon.Form)
			if len(form) != strings.Count(body, "&")+1 || form.Get("last") != "1" {
				t.Errorf("%d bytes, length %s: %d fields, last %q", len(body), name, len(form), form.Get("last"))
			}
		}
	}
}

// TestBodyReadBefore: a body that somebody has consumed is not an empty one.
func TestBodyReadBefore(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	form := beacon.Form{{Name: "a", Value: "1"}}
	for name, c := range map[string]struct {
		body   beacon.Body
		before func(*http.Request)
		status int
	}{
		"ParseForm":              {nil, func(r *http.Request) { _ = r.ParseForm() }, 500},
		"ParseForm, chunked":     {nil, func(r *http.Request) { r.ContentLength = -1; _ = r.ParseForm() }, 500},
		"FormValue of multipart": {form, func(r *http.Request) { r.FormValue("a") }, 500},
		"multipart, chunked":     {form, func(r *http.Request) { r.ContentLength = -1; r.FormValue("a") }, 500},
		"read by a logger":       {beacon.Text("x"), func(r *http.Request) { _, _ = io.ReadAll(r.Body) }, 500},
		"ParseForm of a text":    {beacon.Text("x"), func(r *http.Request) { _ = r.ParseForm() }, 204},
		"ParseForm of nothing":   {beacon.Empty{}, func(r *http.Request) { _ = r.ParseForm() }, 204},
		"empty and chunked":      {beacon.Empty{}, func(r *http.Request) { r.ContentLength = -1; _ = r.ParseForm() }, 204},
	} {
		r := beacontest.NewRequest("/b", c.body)
		if c.body == nil {
			r = httptest.NewRequest("POST", "/b", strings.NewReader("a=1"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		c.before(r)
		res := serve(h, r)
		reason := res.Header.Get("Beacon-Refused")
		if res.StatusCode != c.status || c.status == 500 && reason != beacon.ReasonBodyRead {
			t.Errorf("%s: %d %s", name, res.StatusCode, reason)
		}
	}
	if n := len(rec.Events()); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestBodiesAtTheBudget: bodies that wait for the budget hold little of it, so all of
// many that come at once get through.
func TestBodiesAtTheBudget(t *testing.T) {
	for _, uploads := range []int{16, 32} {
		h := newHandler(t, beacon.Config{Sink: nowhere, MaxInFlight: 8 << 20})
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range uploads {
			wg.Go(func() {
				r := httptest.NewRequest("POST", "/b", &dribble{left: 1 << 20})
				r.ContentLength = 1 << 20
				if res := serve(h, r); res.StatusCode == 204 {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if n := taken.Load(); n != int64(uploads) {
			t.Errorf("%d of %d taken", n, uploads)
		}
	}
}

// A dribble is a body that comes in pieces.
type dribble struct{ left int }

func (d *dribble) Read(b []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	runtime.Gosched()
	n := min(len(b), d.left, 32<<10)
	d.left -= n
	return n, nil
}

// TestSlowBodyWithoutDeadline: behind a ResponseWriter that knows no deadline nothing can
// end a read, but the operator is told, and what comes through too late is refused.
func TestSlowBodyWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		h := newHandler(t, beacon.Config{
			Sink: nowhere, ReadTimeout: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for wait, want := range map[time.Duration]int{500 * time.Millisecond: 204, 5 * time.Second: 408, 20 * time.Second: 408} {
			pr, pw := io.Pipe()
			go func() {
				_, _ = io.WriteString(pw, "ab")
				time.Sleep(wait)
				_, _ = io.WriteString(pw, "cd")
				_ = pw.Close()
			}()
			w := httptest.NewRecorder()
			h.ServeHTTP(struct{ http.ResponseWriter }{w}, httptest.NewRequest("POST", "/b", pr))
			if w.Code != want {
				t.Errorf("after %v: %d, want %d", wait, w.Code, want)
			}
		}
		if n := strings.Count(log.String(), "ReadTimeout cannot"); n != 1 || !strings.Contains(log.String(), "Unwrap") {
			t.Errorf("log: %s", log.String())
		}
	})
}

// TestSlowStream: a stream of HTTP/2 that is too slow costs no other stream.
func TestSlowStream(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, ReadTimeout: 100 * time.Millisecond})
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	var dials atomic.Int64
	transport := srv.Client().Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	for range 5 {
		pr, pw := io.Pipe()
		go func() { _, _ = io.WriteString(pw, "ab") }()
		r, err := http.NewRequest("POST", srv.URL, pr)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 10
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		_ = pw.Close()
		if res.StatusCode != http.StatusRequestTimeout || res.ProtoMajor != 2 {
			t.Errorf("%s %d", res.Proto, res.StatusCode)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections for five slow streams", n)
	}
}

// TestGoexitInSink: whatever ends the goroutine of a request, its share of the budget
// is free again.
func TestGoexitInSink(t *testing.T) {
	h := newHandler(t, beacon.Config{
		MaxBody: 1000, Limits: beacon.Limits{MaxDecoded: 1000}, MaxInFlight: 2000,
		Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { runtime.Goexit(); return nil }),
	})
	for range 5 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			serve(h, beacontest.NewRequest("/b", beacon.Text(strings.Repeat("x", 900))))
		}()
		<-done
	}
	if n := h.Stats().Active; n != 0 {
		t.Errorf("%d active", n)
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	held := newHandler(t, beacon.Config{Sink: nowhere, MaxBody: 1000, Limits: beacon.Limits{MaxDecoded: 1000}, MaxInFlight: 2000})
	for range 5 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := httptest.NewRequest("POST", "/b", goexit{})
			r.ContentLength = 900
			serve(held, r)
		}()
		<-done
	}
	if res := serve(held, beacontest.NewRequest("/b", beacon.Text(strings.Repeat("x", 1000)))); res.StatusCode != 204 {
		t.Errorf("the budget leaked: %d", res.StatusCode)
	}
}

type goexit struct{}

func (goexit) Read([]byte) (int, error) { runtime.Goexit(); return 0, nil }

// TestSinkContextChildren: a sink that derives contexts, as database/sql does in each
// call, costs no goroutine.
func TestSinkContextChildren(t *testing.T) {
	var grown int
	h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(ctx context.Context, _ []beacon.Event) error {
		before := runtime.NumGoroutine()
		for range 10 {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			grand, cancel2 := context.WithCancel(child)
			defer cancel2()
			if grand.Err() != nil {
				t.Error(grand.Err())
			}
		}
		grown = runtime.NumGoroutine() - before
		return nil
	})})
	serve(h, beacontest.NewRequest("/b", beacon.Text("x")))
	if grown > 0 {
		t.Errorf("%d goroutines for 20 children", grown)
	}
}

// TestConcurrentShutdowns: all that wait hear of it.
func TestConcurrentShutdowns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-gate; return nil })})
		go serve(h, beacontest.NewRequest("/", beacon.Text("a")))
		synctest.Wait()
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				errs <- h.Shutdown(ctx)
			}()
		}
		synctest.Wait()
		close(gate)
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Shutdown(ended); err != nil {
			t.Errorf("with nothing to wait for: %v", err)
		}
	})
}

// TestConfigThatCannotWork: what no browser sends, or must not be, is no configuration.
func TestConfigThatCannotWork(t *testing.T) {
	good := []beacon.Config{
		{Methods: []string{"PUT", "DELETE", "PATCH", "patch", "REPORT"}}, {MaxBody: 1 << 40, Limits: beacon.Limits{MaxDecoded: 1 << 40}},
		{Origins: []string{"https://*.example.com", "http://127.0.0.1:8080", "https://app.example"}, AnyOrigin: true},
	}
	for _, c := range good {
		c.Sink = nowhere
		if _, err := beacon.New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	bad := map[string]beacon.Config{
		`"*" is not a pattern`: {Origins: []string{"*"}}, "file": {Origins: []string{"file://x"}},
		"public suffix": {Origins: []string{"https://*.co.uk"}}, `origin "https://*.com"`: {Origins: []string{"https://*.com"}},
		`"CONNECT" cannot`: {Methods: []string{"CONNECT"}}, `"TRACE" cannot`: {Methods: []string{"TRACE"}}, `"options" cannot`: {Methods: []string{"options"}},
		`"put" is always sent as "PUT"`: {Methods: []string{"put"}}, "MaxQuery is negative": {Limits: beacon.Limits{MaxQuery: -1}},
		"more than there is memory": {MaxBody: 1<<63 - 1}, "less than one request can need": {MaxInFlight: 1 << 20},
		`ScriptPath "-"`: {ScriptPath: "-"},
	}
	for _, s := range []string{":", ":0443", ":99999", ":0", "?", "#", "/", "/a", "?a", "#a"} {
		bad[fmt.Sprintf("origin %q", "https://example.com"+s)] = beacon.Config{Origins: []string{"https://example.com" + s}}
	}
	bad[`origin "https://*..example.com"`] = beacon.Config{Origins: []string{"https://*..example.com"}}
	for want, c := range bad {
		c.Sink = nowhere
		if _, err := beacon.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestCSPReportFromAnywhere: browsers send reports of frame-ancestors with the origin
// "null". No page can send the type without a preflight, which is refused.
func TestCSPReportFromAnywhere(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	const report = `{"csp-report":{"document-uri":"https://a.example/","violated-directive":"frame-ancestors"}}`
	send := func(method, contentType, origin string) *http.Response {
		r := httptest.NewRequest(method, "/csp", strings.NewReader(report))
		r.Header = http.Header{"Origin": {origin}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {contentType}}
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "content-type")
		}
		return serve(h, r)
	}
	for _, origin := range []string{"null", "https://other.example"} {
		if res := send("POST", "application/csp-report", origin); res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("report from %s: %d %v", origin, res.StatusCode, res.Header)
		}
		for method, contentType := range map[string]string{"POST": "application/reports+json", "PUT": "application/csp-report", "GET": "application/csp-report", "OPTIONS": "application/csp-report"} {
			if res := send(method, contentType, origin); res.StatusCode != 403 {
				t.Errorf("%s %s from %s: %d", method, contentType, origin, res.StatusCode)
			}
		}
	}
	if events := rec.Events(); len(events) != 2 || events[0].Name != "csp-violation" {
		t.Errorf("%v", events)
	}
}

// TestOriginHint: the most common reason why a site's own pages are refused is a proxy
// that does not pass Host on.
func TestOriginHint(t *testing.T) {
	var log strings.Builder
	h := newHandler(t, beacon.Config{Sink: nowhere, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := beacontest.NewRequest("http://127.0.0.1:9170/b", beacon.Text("x"))
	r.Header.Set("Origin", "http://intranet.test")
	r.Header.Del("Sec-Fetch-Site")
	if res := serve(h, r); res.StatusCode != 403 {
		t.Fatal(res.StatusCode)
	}
	for _, want := range []string{"intranet.test", "127.0.0.1:9170", "does the proxy pass it on?"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log without %q: %s", want, log.String())
		}
	}
}

// TestEmptyBodyOfUnknownLength is what adapters and tests make of a reader.
func TestEmptyBodyOfUnknownLength(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	r, err := http.NewRequest("POST", "http://h.example/b", bufio.NewReader(strings.NewReader("hello")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	if res := serve(h, r); res.StatusCode != 204 || r.ContentLength != 0 {
		t.Fatal(res.StatusCode, r.ContentLength)
	}
	if diff := cmp.Diff(beacon.Body(beacon.Text("hello")), rec.Events()[0].Body); diff != "" {
		t.Error(diff)
	}
	broken := httptest.NewRequest("POST", "/b", io.MultiReader(strings.NewReader("ab"), errReader{}))
	if res := serve(h, broken); res.StatusCode != 400 || res.Header.Get("Beacon-Refused") != beacon.ReasonBodyBroken {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("gone") }

// TestBorrowedMemory: an adapter may make a request of a server's own buffers, which it
// fills again for the next visitor. What a sink keeps stays as it was.
func TestBorrowedMemory(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	buffer := []byte("text/plain the-agent https://example.com/page value")
	borrowed := func(s string) string {
		i := bytes.Index(buffer, []byte(s))
		return unsafe.String(&buffer[i], len(s))
	}
	type key struct{}
	r := httptest.NewRequest("POST", "/b", strings.NewReader("hello")).WithContext(context.WithValue(t.Context(), key{}, "an adapter's"))
	r.Header = http.Header{"Content-Type": {borrowed("text/plain")}, "User-Agent": {borrowed("the-agent")}, "Referer": {borrowed("https://example.com/page")}}
	r.URL.RawQuery = "a=" + borrowed("value")
	if res := serve(h, r); res.StatusCode != 204 {
		t.Fatal(res.StatusCode)
	}
	e := rec.Events()[0]
	want, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range buffer {
		buffer[i] = 'X'
	}
	if got, _ := e.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("the event became\n%s\nit was\n%s", got, want)
	}
}

// TestBorrowedRefusal: why a request was refused, too, may be kept for longer than the
// request, and says what it said.
func TestBorrowedRefusal(t *testing.T) {
	var kept []*beacon.RequestError
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, Hosts: []string{"example.com"}, OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
		kept = append(kept, why)
	}})
	buffer := []byte("DELETE evil.example https://evil.example")
	borrowed := func(from, to int) string { return unsafe.String(&buffer[from], to-from) }
	for _, change := range []func(r *http.Request){
		func(r *http.Request) { r.Method = borrowed(0, 6) },
		func(r *http.Request) { r.Host = borrowed(7, 19) },
		func(r *http.Request) { r.Header.Set("Origin", borrowed(20, 40)) },
		func(r *http.Request) {
			r.Header["Origin"], r.Header["Sec-Fetch-Site"] = []string{borrowed(20, 40)}, []string{"cross-site"}
		},
		func(r *http.Request) {
			r.Method, r.Host = http.MethodOptions, "example.com"
			r.Header["Origin"], r.Header["Access-Control-Request-Method"] = []string{"https://example.com"}, []string{borrowed(0, 6)}
		},
	} {
		r := httptest.NewRequest(http.MethodPost, "/b", strings.NewReader("hello"))
		change(r)
		serve(h, r)
	}
	var want []string
	for _, why := range kept {
		want = append(want, strings.Clone(why.Error()))
	}
	if len(want) != 5 {
		t.Fatalf("%d were refused: %q", len(want), want)
	}
	for i := range buffer {
		buffer[i] = 'X'
	}
	for i, why := range kept {
		if got := why.Error(); got != want[i] {
			t.Errorf("%s became %s", want[i], got)
		}
	}
}

// TestInflatedCounts: what a compressed body becomes is held, and what it might have
// become is not.
func TestInflatedCounts(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	h := newHandler(t, beacon.Config{
		MaxBody: 2000, Limits: beacon.Limits{MaxDecoded: 100_000}, MaxInFlight: 102_000,
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if strings.HasPrefix(string(events[0].Body.(beacon.Text)), "hold") {
				held <- struct{}{}
				<-hold
			}
			return nil
		}),
	})
	post := func(text string, compress bool) int {
		body := bytes.NewBufferString(text)
		r := httptest.NewRequest("POST", "/b", nil)
		if compress {
			body.Reset()
			zw := gzip.NewWriter(body)
			_, _ = zw.Write([]byte(text))
			_ = zw.Close()
			r.Header.Set("Content-Encoding", "gzip")
		}
		r.Header.Set("Content-Type", "text/plain")
		r.Body, r.ContentLength = io.NopCloser(body), int64(body.Len())
		return serve(h, r).StatusCode
	}
	var all sync.WaitGroup
	holder := func(text string) {
		refused := make(chan int, 1)
		all.Go(func() {
			if code := post(text, true); code != 204 {
				refused <- code
			}
		})
		select {
		case <-held:
		case code := <-refused:
			t.Errorf("holder: %d", code)
		}
	}
	holder("hold " + strings.Repeat("x", 3000)) // which might have become 64 KiB and more
	if code := post(strings.Repeat("y", 1900), false); code != 204 {
		t.Errorf("beside a small one: %d", code)
	}
	holder("hold " + strings.Repeat("x", 40_000))
	if code := post(strings.Repeat("y", 60_000), true); code != http.StatusTooManyRequests {
		t.Errorf("beside a large one: %d", code)
	}
	close(hold)
	all.Wait()
	if code := post(strings.Repeat("y", 60_000), true); code != 204 {
		t.Errorf("afterwards: %d", code)
	}
}
