package beacon_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
)

// TestCaptureAnyOrigin: the answer of a captured route is the host's own and may be for
// one visitor only, so AnyOrigin lets nobody read it who is not on the list.
func TestCaptureAnyOrigin(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec, AnyOrigin: true, Origins: []string{"https://app.example"}})
	route := h.Capture(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "secret of "+r.Header.Get("Cookie"))
	}))
	ask := func(handler http.Handler, method, origin string) http.Header {
		r := httptest.NewRequest(method, "/me", nil)
		r.Header = http.Header{"Origin": {origin}, "Sec-Fetch-Site": {"cross-site"}, "Cookie": {"session=alice"}}
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", "PUT")
		}
		res := serve(handler, r)
		if res.StatusCode/100 != 2 && method != http.MethodOptions {
			t.Errorf("%s from %s: %d", method, origin, res.StatusCode)
		}
		return res.Header
	}
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		for name, values := range ask(route, method, "https://evil.example") {
			if strings.HasPrefix(name, "Access-Control-Allow-O") || strings.HasPrefix(name, "Access-Control-Allow-C") {
				t.Errorf("%s: %s: %v", method, name, values)
			}
		}
	}
	if got := ask(route, "GET", "https://app.example").Get("Access-Control-Allow-Origin"); got != "https://app.example" {
		t.Errorf("listed: %q", got)
	}
	// A bare answer tells nothing, and the browser wants to see that it may.
	if got := ask(h, "POST", "https://evil.example").Get("Access-Control-Allow-Origin"); got != "https://evil.example" {
		t.Errorf("through ServeHTTP: %q", got)
	}
	if n := len(rec.Events()); n != 4 {
		t.Errorf("%d events", n)
	}
}

func TestCaptureWithoutBody(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}})
	route := h.Capture(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	for _, method := range []string{"GET", "HEAD", "POST"} {
		r, err := http.NewRequest(method, "/?a=1", nil) // as a client makes it: its Body is nil
		if err != nil {
			t.Fatal(err)
		}
		if res := serve(route, r); res.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
}

// TestShutdownWaitsForCapture: a request is in progress until what answers it returns.
func TestShutdownWaitsForCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}})
		route := h.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }))
		go serve(route, beacontest.NewRequest("/", beacon.Text("x")))
		synctest.Wait()
		if n := h.Stats().Active; n != 1 {
			t.Errorf("%d active while it is answered", n)
		}
		begun := time.Now()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// TestScriptUnderPrefix: a path that a prefix was stripped from is none of ours.
func TestScriptUnderPrefix(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}, NoScript: true})
	wrapped := http.StripPrefix("/app", h.Middleware(next))
	for _, path := range []string{"/app-", "/app", "/app/", "/app/_pb.js", "/app" + newHandler(t, beacon.Config{Sink: nowhere}).ScriptURL()} {
		if got := serve(wrapped, httptest.NewRequest("GET", path, nil)).StatusCode; got != http.StatusTeapot {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// TestScriptBeside: the files of the client are where the host has put the script, and
// what only looks like them is the host's.
func TestScriptBeside(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for scriptPath, stem := range map[string]string{"": "/_pb", "/assets/own.js": "/assets/own", "/a/_pb.js": "/a/_pb"} {
		h := newHandler(t, beacon.Config{Sink: nowhere, ScriptPath: scriptPath})
		wrapped := h.Middleware(next)
		for _, name := range client.Files() {
			for path, cache := range map[string]string{
				stem + strings.TrimPrefix(name, "_pb"):                "public, max-age=3600",
				stem + strings.TrimPrefix(client.Hashed(name), "_pb"): "public, max-age=31536000, immutable",
			} {
				res := serve(wrapped, httptest.NewRequest("GET", path, nil))
				if res.StatusCode != 200 || res.Header.Get("Cache-Control") != cache {
					t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
				}
				direct := serve(client.Handler(), httptest.NewRequest("GET", "/"+name, nil))
				if res.Header.Get("ETag") != direct.Header.Get("ETag") {
					t.Errorf("%s is not %s", path, name)
				}
			}
		}
		for _, path := range []string{
			stem + ".css", stem + ".js/", stem + ".js.map", stem + ".auto", stem + ".core.js", stem + ".other.js", stem + ".light.light.js", stem + "/_pb.light.js",
			stem + ".0000000.js", stem + ".000000000.js", stem + ".0000000g.js", stem + ".core.00000000.js", stem + "x.light.js", "/pb.js", "/x/_pb.js", "/x" + stem + ".light.js",
		} {
			if got := serve(wrapped, httptest.NewRequest("GET", path, nil)).StatusCode; got != http.StatusTeapot {
				t.Errorf("%s: %d", path, got)
			}
		}
		// Pages in a cache name the file of a release before; under a stem of the host's
		// that may be a file of the host's.
		want := http.StatusOK
		if stem == "/assets/own" {
			want = http.StatusTeapot
		}
		for _, ending := range []string{".00000000.js", ".light.0123abcd.js", ".core.00000000.mjs"} {
			res := serve(wrapped, httptest.NewRequest("GET", stem+ending, nil))
			if res.StatusCode != want || strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d %v", stem+ending, res.StatusCode, res.Header)
			}
		}
	}
}

// TestScriptTagFile: the file that a tag is for is the one that it names.
func TestScriptTagFile(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, ScriptPath: "/assets/own.js"})
	wrapped := h.Middleware(http.NotFoundHandler())
	url := regexp.MustCompile(`(?:src=|from|data-debug=)"([^"]+)"`)
	for name, tag := range map[string]client.Tag{
		client.Light: {Light: true, Integrity: true}, client.Module: {Module: true, Auto: true}, client.LightModule: {Light: true, Module: true},
		client.Script: {Auto: true, Debug: true, Integrity: true, Queue: true},
	} {
		html := string(h.ScriptTag(tag))
		found := url.FindAllStringSubmatch(html, -1)
		var named bool
		for _, m := range found {
			res := serve(wrapped, httptest.NewRequest("GET", m[1], nil))
			if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s in %s: %d", m[1], html, res.StatusCode)
			}
			named = named || m[1] == "/assets/own"+strings.TrimPrefix(client.Hashed(name), "_pb")
		}
		if !named {
			t.Errorf("no %s in %s", name, html)
		}
	}
}

var nowhere = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

// TestScriptTag: whatever the handler's paths are, the tag fits them, and one URL finds
// the script at the middleware and at the client's own handler.
func TestScriptTag(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, Path: "/signal", ScriptPath: "/assets/own.js"})
	tag := string(h.ScriptTag(client.Tag{Nonce: "n"}))
	if want := `<script src="` + h.ScriptURL() + `" nonce="n" data-endpoint="/signal" async></script>`; tag != want {
		t.Errorf("%s, want %s", tag, want)
	}
	tag = string(h.ScriptTag(client.Tag{Src: "/app/x.js", Endpoint: "/app/signal"}))
	if want := `<script src="/app/x.js" data-endpoint="/app/signal" async></script>`; tag != want {
		t.Errorf("%s, want %s", tag, want)
	}
	for _, host := range []http.Handler{h.Middleware(http.NotFoundHandler()), client.Handler()} {
		res := serve(host, httptest.NewRequest("GET", h.ScriptURL(), nil))
		if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%T: %d %v", host, res.StatusCode, res.Header)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a tag without a script")
		}
	}()
	newHandler(t, beacon.Config{Sink: nowhere, NoScript: true}).ScriptTag(client.Tag{})
}

// TestAnswer: what was taken is answered as the host has it, with the CORS headers that
// let its page see it; what was not is not.
func TestAnswer(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{
		Sink: &rec, Origins: []string{"https://app.example"},
		Admit: func(r *http.Request) error {
			if r.URL.RawQuery == "drop" {
				return beacon.ErrDrop
			}
			return nil
		},
		Answer: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "panic" {
				panic("boom")
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":1}`)
		},
	})
	var got []string
	for _, target := range []string{"/", "/?drop", "/?panic"} {
		r := beacontest.NewRequest(target, beacon.Text("x"))
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		res := serve(h, r)
		b, _ := io.ReadAll(res.Body)
		got = append(got, res.Status[:3]+string(b)+res.Header.Get("Access-Control-Allow-Origin"))
	}
	want := []string{`200{"status":1}https://app.example`, `200{"status":1}https://app.example`, "200https://app.example"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// The client takes nothing else for a yes.
	envelope := `{"v":1,"m":"append","k":"k","b":"b","r":1,"sid":"s","pv":"v","via":"now","at":1,"ev":[{"n":1,"t":1,"d":1}]}`
	if res := serve(h, beacontest.NewRequest("/", beacon.Text(envelope))); res.StatusCode != 204 {
		t.Errorf("an envelope: %d", res.StatusCode)
	}
	rec.Fail(io.ErrClosedPipe)
	if res := serve(h, beacontest.NewRequest("/", beacon.Text("x"))); res.StatusCode != 503 {
		t.Errorf("not taken: %d", res.StatusCode)
	}
	if st := h.Stats(); st.Delivered != 3 || st.Dropped != 1 || st.Failed != 1 || st.Received != 5 {
		t.Errorf("%+v", st)
	}
}

// TestAdmit: the host decides before the body is read, and its error is that of a sink.
func TestAdmit(t *testing.T) {
	var admit error
	h := newHandler(t, beacon.Config{
		Sink: &beacontest.Recorder{}, Origins: []string{"https://app.example"},
		Admit: func(*http.Request) error { return admit },
	})
	for _, c := range []struct {
		err    error
		status int
		after  string
	}{
		{nil, 204, ""}, {beacon.ErrDrop, 204, ""}, {beacon.ErrPermanent, 422, ""}, {io.EOF, 503, "5"},
		{&beacon.RequestError{Status: 429, Reason: "limited", RetryAfter: time.Minute}, 429, "60"},
	} {
		admit = c.err
		body := &counting{r: strings.NewReader("hello")}
		r := httptest.NewRequest("POST", "/", body)
		res := serve(h, r)
		if res.StatusCode != c.status || res.Header.Get("Retry-After") != c.after {
			t.Errorf("%v: %d %v", c.err, res.StatusCode, res.Header)
		}
		if (body.n > 0) != (c.err == nil) {
			t.Errorf("%v: %d bytes of the body were read", c.err, body.n)
		}
	}
	admit = io.EOF // a preflight is not a beacon
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.Header = http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"POST"}}
	if res := serve(h, r); res.StatusCode != 204 {
		t.Errorf("preflight: %d", res.StatusCode)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// TestType: a host that knows better than the Content-Type says so.
func TestType(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec, Type: func(r *http.Request) string {
		return map[string]string{"/lines": "application/x-ndjson", "/form": "application/x-www-form-urlencoded"}[r.URL.Path]
	}})
	var got []string
	for _, path := range []string{"/lines", "/form", "/other"} {
		rec.Reset()
		serve(h, beacontest.NewRequest(path, beacon.Text("{\"a\":1}\n{\"a\":2}")))
		for _, e := range rec.Events() {
			got = append(got, path+" "+e.Body.Kind()+" "+e.Request.ContentType)
		}
	}
	const as = "text/plain;charset=UTF-8"
	if diff := cmp.Diff([]string{"/lines json " + as, "/lines json " + as, "/form form " + as, "/other text " + as}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestStatusOfTheHost: a RequestError with a status that is no refusal cannot take the
// answer down, and each request gets an error of its own.
func TestStatusOfTheHost(t *testing.T) {
	var status int
	var whys []*beacon.RequestError
	h := newHandler(t, beacon.Config{
		Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			return &beacon.RequestError{Status: status, Reason: "own"}
		}),
		OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
			whys = append(whys, why)
			why.Reason = "changed"
		},
	})
	for in, want := range map[int]int{403: 403, 599: 599, 0: 503, 200: 500, 302: 500, 4290: 500, -1: 500} {
		status = in
		if got := serve(h, beacontest.NewRequest("/", beacon.Text("x"))).StatusCode; got != want {
			t.Errorf("status %d: answered %d, want %d", in, got, want)
		}
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := newHandler(t, beacon.Config{Sink: nowhere})
	_ = other.Shutdown(t.Context())
	for _, handler := range []http.Handler{h, other, h, other} {
		serve(handler, beacontest.NewRequest("/", beacon.Text("x")))
	}
	if res := serve(other, beacontest.NewRequest("/", beacon.Text("x"))); res.Header.Get("Beacon-Refused") != beacon.ReasonShuttingDown {
		t.Errorf("another handler's host has changed the reason: %v", res.Header)
	}
	if n := len(whys); n < 2 || slices.Contains(whys[:n-1], whys[n-1]) {
		t.Error("two requests got the same error")
	}
}
