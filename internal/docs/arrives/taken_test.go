package arrives

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// answeredElsewhere sends a beacon to an application, whose answer is not the handler's: it
// has no reason, and the handler has counted nothing.
func answeredElsewhere(t *testing.T, h *beacon.Handler, app http.Handler, r *http.Request, statuses ...int) *httptest.ResponseRecorder {
	t.Helper()
	w := send(app, r)
	if !slices.Contains(statuses, w.Code) || w.Header().Get("Beacon-Refused") != "" || h.Stats().Received != 0 {
		t.Errorf("%d %v, %+v; want one of %d", w.Code, w.Header(), h.Stats(), statuses)
	}
	return w
}

var otherRows = map[string]func(*testing.T){
	"200 with a page": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil), Path: "/signal"})
		app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>Home</h1>") }))
		answeredElsewhere(t, h, app, plain(), 200)
		if tag := string(h.ScriptTag(client.Tag{})); !strings.Contains(tag, `data-endpoint="/signal"`) {
			t.Error(tag)
		}
	},
	"204, and `Received` is 0": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil), Path: "/signal"})
		answeredElsewhere(t, h, h.Middleware(handler(t, beacon.Config{Sink: taken(nil)})), plain(), 204)
	},
	"301, 302, 307, 308": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		mux := http.NewServeMux()
		mux.Handle("/_pb/", h)
		answeredElsewhere(t, h, mux, plain(), 301, 302, 307, 308)
	},
	"404": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		mux := http.NewServeMux()
		mux.Handle("/app/", h.Middleware(http.NotFoundHandler())) // and no StripPrefix
		r := plain()
		r.URL.Path = "/app/_pb"
		answeredElsewhere(t, h, mux, r, 404)
	},
	"405": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		mux := http.NewServeMux()
		mux.Handle("POST /_pb", h)
		answeredElsewhere(t, h, mux, httptest.NewRequest("GET", "/_pb?a=1", nil), 405)
	},
	"400, 403": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil), Origins: []string{"https://other.example"}})
		r := with("text/plain", "x", "Origin", "https://other.example", "Sec-Fetch-Site", "cross-site")()
		answeredElsewhere(t, h, http.NewCrossOriginProtection().Handler(h), r, 403)
	},
	"a preflight without `Access-Control-Allow-Origin`": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil), Origins: []string{"https://other.example"}})
		mux := http.NewServeMux()
		mux.Handle("POST /_pb", h)
		ask := func() *http.Request {
			r := httptest.NewRequest("OPTIONS", "http://shop.example/_pb", nil)
			r.Header.Set("Origin", "https://other.example")
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "content-type")
			return r
		}
		w := answeredElsewhere(t, h, mux, ask(), 405)
		if own := send(h, ask()); w.Header().Get("Access-Control-Allow-Origin") != "" || own.Header().Get("Access-Control-Allow-Origin") != "https://other.example" {
			t.Errorf("%v, %v", w.Header(), own.Header())
		}
	},
	"`ERR_BLOCKED_BY_CLIENT` in the network panel": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil), Path: "/seen", ScriptPath: "/assets/site.js"})
		app := h.Middleware(http.NotFoundHandler())
		tag := string(h.ScriptTag(client.Tag{}))
		if strings.Contains(tag, "_pb") || !strings.Contains(tag, `data-endpoint="/seen"`) || !strings.Contains(tag, `src="/assets/site.`) {
			t.Error(tag)
		}
		r := plain()
		r.URL.Path = "/seen"
		if post, script := send(app, r), send(app, httptest.NewRequest("GET", "/assets/site.js", nil)); post.Code != 204 || script.Code != 200 {
			t.Error(post.Code, script.Code)
		}
	},
	"`_pb.….js` is 404, or `Unexpected token '<'`": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		mux := http.NewServeMux()
		mux.Handle("/signal", h)
		script := func(tag template.HTML) *httptest.ResponseRecorder {
			src := regexp.MustCompile(`src="([^"]+)"`).FindStringSubmatch(string(tag))
			return send(mux, httptest.NewRequest("GET", src[1], nil))
		}
		if w := script(h.ScriptTag(client.Tag{})); w.Code != 404 {
			t.Error(w.Code)
		}
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>Home</h1>") })
		if w := script(h.ScriptTag(client.Tag{})); !strings.HasPrefix(w.Body.String(), "<") {
			t.Errorf("%q", w.Body)
		}
		mux.Handle("GET /assets/", client.Handler())
		tag := h.ScriptTag(client.Tag{Src: "/assets/" + client.Hashed(client.Script), Endpoint: "/signal"})
		if w := script(tag); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
			t.Error(w.Code, w.Header())
		}
	},
	"no request for `_pb.js` at all": func(t *testing.T) {
		h := handler(t, beacon.Config{Sink: taken(nil)})
		app := h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>Home</h1>") }))
		if w := send(app, httptest.NewRequest("GET", "/", nil)); strings.Contains(w.Body.String(), "script") {
			t.Error("the middleware puts the tag into pages by itself")
		}
	},
}

var takenRows = map[string]func(*testing.T){
	"`Dropped` grows": func(t *testing.T) {
		n := 0
		h := handler(t, beacon.Config{Sink: taken(nil, &n), Enrich: func(*http.Request, *beacon.Event) error { return beacon.ErrDrop }})
		if w := send(h, plain()); w.Code != 204 || n != 0 || h.Stats().Dropped != 1 || h.Stats().Events != 0 {
			t.Errorf("%d, %d events, %+v", w.Code, n, h.Stats())
		}
	},
	"`Events` grows, a Sink behind `sink.ByName` gets nothing": func(t *testing.T) {
		n := 0
		behind(t, 1, 0, &n, sink.ByName(map[string]beacon.Sink{"signup": taken(nil, &n)}, nil))
		behind(t, 1, 1, &n, sink.ByName(map[string]beacon.Sink{"signup": taken(nil)}, taken(nil, &n)))
	},
	"`Events` grows, a Sink behind `sink.Dedup` gets one": func(t *testing.T) {
		n := 0
		behind(t, 2, 1, &n, sink.Dedup(taken(nil, &n), sink.DedupOptions{}))
	},
	"`Events` grows, a Sink behind `sink.Filter` or `sink.Sample` gets fewer": func(t *testing.T) {
		n := 0
		behind(t, 1, 0, &n, sink.Filter(taken(nil, &n), func(e beacon.Event) bool { return e.Name == "signup" }))
		behind(t, 1, 0, &n, sink.Sample(taken(nil, &n), 0))
	},
	"`On` is called, and its fields are empty": func(t *testing.T) {
		type signup struct {
			Plan string `json:"plan"` // and no schema
			Name string `schema:"who" json:"who"`
			Size int    `schema:"size" json:"size"`
		}
		var got []string
		h := handler(t, beacon.Config{Sink: beacon.On(func(_ context.Context, e beacon.Event, s signup) error {
			got = append(got, fmt.Sprint(s, len(e.Errors)))
			return nil
		})})
		send(h, post("application/json", `{"plan":"pro","who":"Ada","size":"many"}`))
		send(h, post("application/x-www-form-urlencoded", "tariff=pro&who=Ada&size=1"))
		send(h, post("application/octet-stream", "\x00\x01"))
		if want := []string{"{pro Ada 0} 1", "{ Ada 1} 0", "{  0} 1"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	},
	"a form is `Binary` or `Text`": func(t *testing.T) {
		for _, typed := range []func(*http.Request) string{nil, func(*http.Request) string { return "application/x-www-form-urlencoded" }} {
			var rec beacontest.Recorder
			send(handler(t, beacon.Config{Sink: &rec, Type: typed}), post("text/plain", "a=1&b=2"))
			send(handler(t, beacon.Config{Sink: &rec, Type: typed}), post("image/png", "a=1&b=2"))
			for i, e := range rec.Events() {
				want := "form"
				if typed == nil {
					want = []string{"text", "binary"}[i]
				}
				if e.Body.Kind() != want {
					t.Errorf("%s, want %s", e.Body.Kind(), want)
				}
			}
		}
	},
}

// behind sends the same event several times, and expects so many to reach a Sink.
func behind(t *testing.T, sent, want int, n *int, s beacon.Sink) {
	t.Helper()
	*n = 0
	h := handler(t, beacon.Config{Sink: s})
	for range sent {
		if w := send(h, post("text/plain", "x", "Idempotency-Key", "one")); w.Code != 204 {
			t.Errorf("%d", w.Code)
		}
	}
	if *n != want || h.Stats().Events != uint64(sent) {
		t.Errorf("%d events, %+v; want %d", *n, h.Stats(), want)
	}
}

// spooled sends one event through a spool whose store returns err, and waits until the
// spool's numbers say what they should.
func spooled(t *testing.T, err error, o spool.Options, until func(spool.Stats) bool) (*spool.Spool, *beacon.Handler, string) {
	t.Helper()
	dir := t.TempDir()
	s, failed := spool.Open(dir, taken(err), o)
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	h := handler(t, beacon.Config{Sink: s})
	send(h, plain())
	for end := time.Now().Add(time.Minute); !until(s.Stats()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", s.Stats())
		}
	}
	return s, h, dir
}

var waitingRows = map[string]func(*testing.T){
	"`pending_events` grows, `stuck` has a text": func(t *testing.T) {
		spooled(t, errors.New("the database is away"), spool.Options{}, func(s spool.Stats) bool {
			return s.PendingEvents == 1 && strings.Contains(s.Stuck, "the database is away")
		})
	},
	"`dead` grows": func(t *testing.T) {
		_, _, dir := spooled(t, fmt.Errorf("no such site: %w", beacon.ErrPermanent), spool.Options{}, func(s spool.Stats) bool { return s.Dead == 1 })
		for r, err := range spool.Read(dir) {
			if r.State == spool.StateDead && strings.Contains(r.Why, "no such site") && err == nil {
				return
			}
		}
		t.Error("no dead letter says why")
	},
	"`refused` grows, the handler answers 503": func(t *testing.T) {
		s, h, _ := spooled(t, errors.New("away"), spool.Options{MaxBytes: 64 << 10, SegmentBytes: 16 << 10}, func(spool.Stats) bool { return true })
		for range 1000 {
			if w := send(h, post("text/plain", strings.Repeat("x", 1<<10))); w.Code == 503 {
				if w.Header().Get("Beacon-Refused") != "sink-failed" || w.Header().Get("Retry-After") == "" || s.Stats().Refused == 0 {
					t.Errorf("%v %+v", w.Header(), s.Stats())
				}
				return
			}
		}
		t.Error("it is never full")
	},
	"some events of a request are stored, and it is answered 503": func(t *testing.T) {
		n := 0
		h := handler(t, beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			n += len(events) - 1
			return &beacon.PartialError{Failed: []int{1}, Err: errors.New("not this one")}
		})})
		if w := send(h, post("application/x-ndjson", "1\n2\n3\n")); w.Code != 503 || n != 2 || h.Stats().Failed != 1 {
			t.Errorf("%d, %d, %+v", w.Code, n, h.Stats())
		}
	},
}

// visits are the sessions of what a handler takes.
func visits(t *testing.T, requests ...*http.Request) []sessions.Session {
	t.Helper()
	var rec beacontest.Recorder
	h := handler(t, beacon.Config{Sink: &rec})
	for _, r := range requests {
		if w := send(h, r); w.Code/100 != 2 {
			t.Fatal(w.Code, w.Header())
		}
	}
	var views []beacon.PageView
	for _, e := range rec.Events() {
		if v, ok := (sessions.Source{}).PageView(e); ok {
			views = append(views, v)
		}
	}
	return sessions.Of(views, sessions.Rules{})
}

// report is what the client says of a page view.
func report(session, view string, seen, engaged time.Duration, lasted time.Duration) *http.Request {
	end := time.Now().UnixMilli()
	return post("text/plain", fmt.Sprintf(`{"v":1,"m":"replace","k":"s","b":"b","r":1,"sid":%q,"pv":%q,"page":"http://shop.example/","via":"now","at":%d,`+
		`"ev":[{"n":1,"t":%[3]d,"e":"session","d":{"start":%[4]d,"end":%[3]d,"seen":%[5]d,"engaged":%[6]d}}]}`,
		session, view, end, end-lasted.Milliseconds(), seen.Milliseconds(), engaged.Milliseconds()))
}

var sessionRows = map[string]func(*testing.T){
	"pings, pixels and reports only": func(t *testing.T) {
		none := []*http.Request{
			httptest.NewRequest("GET", "/_pb?open=1", nil),
			post("text/ping", "PING", "Ping-From", "http://shop.example/", "Ping-To", "http://elsewhere.example/"),
			post("application/csp-report", `{"csp-report":{"document-uri":"http://shop.example/"}}`),
		}
		own := httptest.NewRequest("GET", fmt.Sprintf("/_pb?start=%d", time.Now().UnixMilli()), nil)
		if got := visits(t, none...); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		if got := visits(t, own); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	},
	"page views with `unseen`": func(t *testing.T) {
		if got := visits(t, report("s", "v", 0, 0, time.Minute)); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		if got := visits(t, report("s", "v", time.Second, 0, time.Minute)); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	},
	"`start` in seconds": func(t *testing.T) {
		r := post("application/x-www-form-urlencoded", "start=1700000000&end=1700000012")
		if got := visits(t, r); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		e := beacon.Event{Body: beacon.Form{{Name: "start", Value: "1700000000"}, {Name: "end", Value: "1700000012"}}}
		if _, err := beacon.SessionOf(e); err == nil || !strings.Contains(err.Error(), "seconds") {
			t.Error(err)
		}
	},
	"every page view is a session of its own": func(t *testing.T) {
		if got := visits(t, report("", "v1", time.Second, 0, time.Second), report("", "v2", time.Second, 0, time.Second)); len(got) != 2 {
			t.Errorf("%+v", got)
		}
		if got := visits(t, report("s", "v1", time.Second, 0, time.Second), report("s", "v2", time.Second, 0, time.Second)); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	},
	"the visit of an hour has a few seconds of `engaged`": func(t *testing.T) {
		got := visits(t, report("s", "v", time.Minute, 5*time.Second, time.Hour))
		if len(got) != 1 || got[0].Engaged != 5*time.Second || got[0].Elapsed() != time.Hour {
			t.Errorf("%+v", got)
		}
	},
}
