package beacontest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A watched is a program with a Watcher in it.
type watched struct {
	t       *testing.T
	watcher *beacontest.Watcher
	h       *beacon.Handler
	url     string
}

func newWatched(t *testing.T, c beacon.Config) *watched {
	t.Helper()
	w := &watched{t: t, watcher: &beacontest.Watcher{}}
	h, err := beacon.New(w.watcher.Config(c))
	if err != nil {
		t.Fatal(err)
	}
	w.h = h
	srv := httptest.NewServer(w.watcher)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// send has the browser of a test send a body, and returns the status.
func (w *watched) send(test string, body beacon.Body, change ...func(*http.Request)) int {
	r := beacontest.NewRequest("/_pb", body)
	if test != "" {
		r.AddCookie(&http.Cookie{Name: beacontest.TestCookie, Value: test})
	}
	for _, f := range change {
		f(r)
	}
	a := httptest.NewRecorder()
	w.h.ServeHTTP(a, r)
	return a.Code
}

// ask asks for what came, and returns the status and the answer.
func (w *watched) ask(query string) (int, []byte) {
	w.t.Helper()
	res, err := http.Get(w.url + "/?" + query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, b
}

// events asks for events that are there, and returns their bodies.
func (w *watched) events(query string) []string {
	w.t.Helper()
	status, b := w.ask(query)
	var events []beacon.Event
	if err := json.Unmarshal(b, &events); status != 200 || err != nil {
		w.t.Fatalf("%s: %d %s (%v)", query, status, b, err)
	}
	bodies := []string{}
	for _, e := range events {
		bodies = append(bodies, fmt.Sprint(e.Body))
	}
	return bodies
}

// A miss is the answer to a test whose events did not come.
type miss struct {
	Error   string
	Events  []beacon.Event
	Refused []struct {
		Status                                            int
		Reason, Error, Method, Path, Body, Dropped, Event string
	}
	Others map[string]int
}

func (w *watched) miss(query string) miss {
	w.t.Helper()
	status, b := w.ask(query)
	var m miss
	if err := json.Unmarshal(b, &m); status != http.StatusGatewayTimeout || err != nil {
		w.t.Fatalf("%s: %d %s (%v)", query, status, b, err)
	}
	return m
}

// TestWatcherTests: each test gets its own events, all of them, while others run.
func TestWatcherTests(t *testing.T) {
	var store beacontest.Recorder
	w := newWatched(t, beacon.Config{Sink: &store})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			test, want := fmt.Sprint("test ", i), []string{}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for j := range 10 {
					if code := w.send(fmt.Sprint("test ", i), beacon.Text(fmt.Sprint(i, " ", j))); code != 204 {
						t.Errorf("%d", code)
					}
				}
			}()
			got := w.events("n=10&timeout=1m&test=" + url.QueryEscape(test))
			<-sent
			for j := range 10 {
				want = append(want, fmt.Sprint(i, " ", j))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", test, diff)
			}
		})
	}
	wg.Wait()
	// The host's sink has them too, with the id of the test.
	if events := store.Events(); len(events) != 200 || events[0].Attrs[beacontest.TestCookie] == "" {
		t.Errorf("%d events, %v", len(events), events[0].Attrs)
	}
}

// envelope is what the browser client sends.
func envelope(mode, view, key string, items ...string) beacon.Body {
	return beacon.Text(fmt.Sprintf(`{"v":1,"m":%q,"k":%q,"b":"b","r":1,"sid":"s","pv":%q,"via":"now","at":%d,"ev":[%s]}`,
		mode, key, view, time.Now().UnixMilli(), strings.Join(items, ",")))
}

func item(n int, name, data string) string {
	return fmt.Sprintf(`{"n":%d,"t":%d,"e":%q,"d":%s}`, n, time.Now().UnixMilli(), name, data)
}

// TestWatcherSeries: what comes again, or in another order, or is not the last word,
// makes no difference to a test.
func TestWatcherSeries(t *testing.T) {
	w := newWatched(t, beacon.Config{})
	w.send("a", envelope("append", "v", "log", item(2, "log", `"second"`)))
	time.Sleep(2 * time.Millisecond)
	w.send("a", envelope("append", "v", "log", item(1, "log", `"first"`), item(2, "log", `"second"`)))
	time.Sleep(2 * time.Millisecond)
	w.send("a", envelope("replace", "v", "total", item(2, "total", `"last"`)))
	w.send("a", envelope("replace", "v", "total", item(1, "total", `"once"`)))
	if diff := cmp.Diff([]string{`"first"`, `"second"`, `"last"`}, w.events("test=a&n=3")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{`"last"`}, w.events("test=a&name=total")); diff != "" {
		t.Errorf("by name (-want +got)\n%s", diff)
	}
	// The next test's page sends again what this one's did not hear of.
	w.send("b", envelope("append", "v", "log", item(1, "log", `"first"`)))
	if got := w.events("test=b&n=0"); len(got) != 0 {
		t.Errorf("the next test has %q", got)
	}
	if m := w.miss("test=a&n=4&timeout=10ms"); len(m.Events) != 3 || !strings.Contains(m.Error, "3 of 4 events came within 10ms; in all: 2 log, 1 total.") {
		t.Errorf("%+v", m)
	}
}

// TestWatcherWaits: the answer comes with the last event that it waits for.
func TestWatcherWaits(t *testing.T) {
	w := newWatched(t, beacon.Config{})
	answered := make(chan []string)
	go func() { answered <- w.events("test=a&n=2&timeout=1m") }()
	w.send("b", beacon.Text("another's"))
	w.send("a", beacon.Text("one"))
	select {
	case got := <-answered:
		t.Fatalf("answered with %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	time.Sleep(2 * time.Millisecond)
	w.send("a", beacon.Text("two"))
	if diff := cmp.Diff([]string{"one", "two"}, <-answered); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := w.events("test=nobody&n=0"); len(got) != 0 {
		t.Errorf("%q", got)
	}
	// The id of the test may come as the cookie does from a browser.
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/?n=2", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: beacontest.TestCookie, Value: "a"})
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("by the cookie: %d", res.StatusCode)
	}
}

// TestWatcherSaysWhy: a test whose events do not come is told what became of them.
func TestWatcherSaysWhy(t *testing.T) {
	failing := errors.New("the disk is full")
	var err error
	var refused int
	w := newWatched(t, beacon.Config{
		Sink:  beacon.SinkFunc(func(context.Context, []beacon.Event) error { return err }),
		Admit: func(r *http.Request) error { return map[bool]error{true: beacon.ErrDrop}[r.Header.Get("Drop") != ""] },
		Enrich: func(_ *http.Request, e *beacon.Event) error {
			return map[bool]error{true: beacon.ErrDrop}[e.Privacy.GPC]
		},
		OnRefused: func(*http.Request, []byte, *beacon.RequestError) { refused++ },
	})
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	ask := func(test string, want ...string) miss {
		t.Helper()
		m := w.miss("timeout=1ms&test=" + test)
		for _, text := range want {
			if !strings.Contains(m.Error, text) {
				t.Errorf("%s: %q is not in %q", test, text, m.Error)
			}
		}
		return m
	}
	ask("silent", "0 of 1 events came within 1ms; in all: none.", "Nothing reached the handler.", "data-consent")

	w.send("elsewhere", beacon.Text("text of another site"), set("Sec-Fetch-Site", "cross-site"), set("Origin", "https://other.example"))
	if m := ask("elsewhere", "Not taken: 1 (403 origin)."); len(m.Refused) != 1 || m.Refused[0].Path != "/_pb" || m.Refused[0].Method != "POST" || !strings.Contains(m.Refused[0].Error, "other.example") {
		t.Errorf("%+v", m.Refused)
	}
	if refused != 1 {
		t.Errorf("the host's OnRefused was called %d times", refused)
	}
	err = failing
	w.send("failing", beacon.Text("x"))
	if m := ask("failing", "Not taken: 1 (503 sink"); m.Refused[0].Body != "x" || !strings.Contains(m.Refused[0].Error, "the disk is full") {
		t.Errorf("%+v", m.Refused)
	}
	err = nil
	w.send("private", beacon.Text("x"), set("Sec-GPC", "1"))
	ask("private", "Not taken: 1 (dropped by Config.Enrich).")
	w.send("limited", beacon.Text("x"), set("Drop", "1"))
	ask("limited", "Not taken: 1 (dropped by Config.Admit).")

	w.send("", beacon.Text("x"))
	w.send("", beacon.Text("x"), set("Sec-Fetch-Site", "cross-site"), set("Origin", "https://other.example"))
	m := ask("silent", "Nothing came with the cookie beacontest=silent; without a cookie came events: 1, origin: 1.")
	if diff := cmp.Diff(map[string]int{"events": 1, "origin": 1}, m.Others); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWatcherPartly: of a batch that the host's sink takes in part, that part came.
func TestWatcherPartly(t *testing.T) {
	w := newWatched(t, beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		return &beacon.PartialError{Failed: []int{0}, Err: errors.New("not this one")}
	})})
	w.send("a", envelope("append", "v", "log", item(1, "log", `"first"`), item(2, "log", `"second"`)))
	if diff := cmp.Diff([]string{`"second"`}, w.events("test=a")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWatcherKeepsToItself: nobody but this machine is answered, nothing is kept of
// visitors, and of tests not without end.
func TestWatcherKeepsToItself(t *testing.T) {
	w := newWatched(t, beacon.Config{})
	for name, change := range map[string]func(*http.Request){
		"another machine":       func(r *http.Request) { r.RemoteAddr = "192.0.2.7:999" },
		"a name of the network": func(r *http.Request) { r.Host = "attacker.example" },
		"a proxy":               func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") },
		"another site":          func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"no address":            func(r *http.Request) { r.RemoteAddr = "@" },
		"nginx, not told more":  func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0 },
	} {
		ask := func() int {
			r := httptest.NewRequest("GET", "/?test=a&n=0", nil)
			r.RemoteAddr, r.Host = "127.0.0.1:999", "localhost:8080"
			change(r)
			a := httptest.NewRecorder()
			w.watcher.ServeHTTP(a, r)
			return a.Code
		}
		if code := ask(); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
		w.watcher.Remote = true
		if code := ask(); code != http.StatusOK {
			t.Errorf("%s, with Remote: %d", name, code)
		}
		w.watcher.Remote = false
	}
	for host, want := range map[string]int{"[::1]:80": 200, "127.8.8.8": 200, "app.localhost:1": 200, "LOCALHOST": 200, "localhost.example": 403} {
		r := httptest.NewRequest("GET", "/?test=a&n=0", nil)
		r.RemoteAddr, r.Host = "[::1]:999", host
		a := httptest.NewRecorder()
		if w.watcher.ServeHTTP(a, r); a.Code != want {
			t.Errorf("%s: %d", host, a.Code)
		}
	}
	for query, want := range map[string]int{"": 400, "test=a&n=x": 400, "test=a&n=-1": 400, "test=a&timeout=5": 400, "test=a&timeout=2h": 400} {
		if code, text := w.ask(query); code != want {
			t.Errorf("%q: %d %s", query, code, text)
		}
	}
	sink := w.watcher.Config(beacon.Config{}).Sink
	given := 0
	give := func(test string, n int, body beacon.Body) {
		events := make([]beacon.Event, n)
		for i := range events {
			given++
			events[i] = beacon.Event{ID: fmt.Sprint(given), Body: body, Attrs: map[string]string{beacontest.TestCookie: test}}
		}
		if err := sink.Consume(t.Context(), events); err != nil {
			t.Error(err)
		}
	}
	there := func(want bool, after string) {
		t.Helper()
		if n := len(w.events("test=early&n=0")); n > 0 != want {
			t.Errorf("%d events of the first test are there after %s", n, after)
		}
	}
	give("early", 1, beacon.Empty{})
	give("greedy", 9_999, beacon.Empty{})
	there(true, "9,999 others")
	give("greedy", 1, beacon.Empty{})
	there(false, "10,000 others")
	give("early", 1, beacon.Empty{})
	give("large", 1, beacon.Text(strings.Repeat("x", 20<<20)))
	there(true, "20 MiB")
	give("large", 4, beacon.Text(strings.Repeat("x", 20<<20)))
	there(false, "100 MiB")
	long := strings.Repeat("x", 201)
	if w.send(long, beacon.Text("x")); len(w.events("n=0&test="+long)) != 0 {
		t.Error("kept under a name without end")
	}
}

// TestWatcherRefusalsAreShort: of what is refused no more is kept than somebody reads,
// however long the sender has made each part of it.
func TestWatcherRefusalsAreShort(t *testing.T) {
	w := newWatched(t, beacon.Config{})
	long := strings.Repeat("x", 100_000)
	w.send("a", beacon.Text(long), func(r *http.Request) {
		r.Method, r.URL.Path = "POST"+long, "/_pb"+long
		r.Header.Set("Content-Type", long)
		r.Header.Set("Origin", "https://"+long)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	w.send("a", beacon.Text(long), func(r *http.Request) {
		r.Header.Set("Origin", "https://"+long)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	status, answer := w.ask("test=a&timeout=1ms")
	if status != http.StatusGatewayTimeout || !strings.Contains(string(answer), `"refused"`) || len(answer) > 10_000 {
		t.Errorf("%d, %d bytes: %.3000s", status, len(answer), answer)
	}
}

// TestWatcherOutlastsTheServer: a test is told why nothing came, also where the server is
// in more of a hurry than the test.
func TestWatcherOutlastsTheServer(t *testing.T) {
	w := newWatched(t, beacon.Config{})
	for name, c := range map[string]struct {
		hurry func(*http.Server)
		query string
	}{
		"WriteTimeout": {func(s *http.Server) { s.WriteTimeout = 20 * time.Millisecond }, "test=a&timeout=100ms"},
		"a handler around it": {func(s *http.Server) {
			next := s.Handler
			s.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
				defer cancel()
				next.ServeHTTP(rw, r.WithContext(ctx))
			})
		}, "test=a&timeout=1m"},
	} {
		srv := httptest.NewUnstartedServer(w.watcher)
		c.hurry(srv.Config)
		srv.Start()
		defer srv.Close()
		w.url = srv.URL
		if m := w.miss(c.query); !strings.Contains(m.Error, "0 of 1 events came") {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestWatcherLeavesTheHostsAttrs: what the host gives all events is not changed for one.
func TestWatcherLeavesTheHostsAttrs(t *testing.T) {
	shared := map[string]string{"site": "a"}
	var store beacontest.Recorder
	w := newWatched(t, beacon.Config{Sink: &store, Enrich: func(_ *http.Request, e *beacon.Event) error {
		e.Attrs = shared
		return nil
	}})
	w.send("a", beacon.Text("x"))
	w.send("", beacon.Text("y"))
	if events := store.Events(); events[0].Attrs["site"] != "a" || events[0].Attrs[beacontest.TestCookie] != "a" || len(shared) != 1 || len(events[1].Attrs) != 1 {
		t.Errorf("%v, %v, %v", events[0].Attrs, events[1].Attrs, shared)
	}
}

type closing struct {
	beacontest.Recorder
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestWatcherClosesTheHostsSink(t *testing.T) {
	var c closing
	config := new(beacontest.Watcher).Config(beacon.Config{Sink: &c})
	if err := beacon.Close(t.Context(), config.Sink); err != nil || !c.closed {
		t.Errorf("%v, closed %v", err, c.closed)
	}
}

func TestRecorderWaits(t *testing.T) {
	var r beacontest.Recorder
	consume := func(names ...string) {
		for _, name := range names {
			if err := r.Consume(t.Context(), []beacon.Event{{Name: name, Body: beacon.Empty{}}}); err != nil {
				t.Error(err)
			}
		}
	}
	isLog := func(e beacon.Event) bool { return e.Name == "log" }
	go consume("log", "session", "", "log")
	if found, err := r.Wait(t.Context(), 2, isLog); err != nil || len(found) != 2 {
		t.Errorf("%d, %v", len(found), err)
	}
	if found, err := r.Wait(t.Context(), 4, nil); err != nil || len(found) != 4 {
		t.Errorf("%d, %v", len(found), err)
	}
	r.Fail(errors.New("down"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	found, err := r.Wait(ctx, 3, isLog)
	if len(found) != 2 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 of 3 events came") ||
		!strings.Contains(err.Error(), "others: 1 empty, 1 session") || !strings.Contains(err.Error(), "Consume fails since Fail: down") {
		t.Errorf("%d, %v", len(found), err)
	}
}
