package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
)

func make1(t testing.TB, o Options) *Live {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

func take(l *Live, events ...beacon.Event) {
	if err := l.Consume(context.Background(), events); err != nil {
		panic(err)
	}
}

// report is what the client says of a page view.
func clientReport(key, view string, seq uint64, start, end time.Time, seen, engaged time.Duration) beacon.Event {
	return beacon.Event{
		ID: fmt.Sprintf("%s:t:%d", view, seq), Name: "session", Session: key, View: view, Series: "t", Seq: seq, Mode: beacon.ModeReplace,
		Page: "https://a.example/" + view, Time: end, Received: end, Sent: end,
		Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"seen":%d,"engaged":%d}`, start.UnixMilli(), end.UnixMilli(), seen.Milliseconds(), engaged.Milliseconds())),
	}
}

// A frame is one server-sent event.
type frame struct{ id, event, data string }

// A listener reads the stream of a server.
type listener struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
}

func listen(t *testing.T, url, lastID string) *listener {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<24)
	return &listener{t, resp, lines}
}

func (l *listener) next() (m frame, ok bool) {
	for l.lines.Scan() {
		key, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch key {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "":
			if m.event != "" {
				return m, true
			}
		}
	}
	return m, false
}

// until reads on to the first frame of a kind that has a text in it.
func (l *listener) until(event, text string) frame {
	l.t.Helper()
	for {
		m, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended before %s with %s: %v", event, text, l.lines.Err())
		}
		if m.event == event && strings.Contains(m.data, text) {
			return m
		}
	}
}

// serve mounts l at a prefix of a server that ends with the test.
func serve(t *testing.T, l *Live) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/admin/live/", l)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Cleanup(func() { l.Close(context.Background()) })
	return srv.URL + "/admin/live"
}

// TestStream: what was there, what comes, and what a page that comes back has not had.
func TestStream(t *testing.T) {
	l := make1(t, Options{Title: "A & B", MaxEvents: 3, Stats: func() beacon.Stats { return beacon.Stats{Delivered: 7} }})
	url := serve(t, l)
	now := time.Now()
	take(l, beacon.Event{ID: "a", Received: now, Body: beacon.Text("early")})
	take(l, clientReport("key", "home", 1, now.Add(-10*time.Second), now, 8*time.Second, 5*time.Second))

	s := listen(t, url, "")
	if got := s.resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	s.until("hello", `"title":"A \u0026 B"`)
	early := s.until("event", `"text":"early"`)
	s.until("event", `"said":"10.00 seconds"`)
	var all struct {
		All  bool
		Rows []row
	}
	if err := json.Unmarshal([]byte(s.until("sessions", "").data), &all); err != nil || !all.All || len(all.Rows) != 1 ||
		all.Rows[0].Elapsed != 10e3 || all.Rows[0].Engaged != 5e3 || all.Rows[0].Entry != "https://a.example/home" {
		t.Errorf("sessions %+v, %v", all, err)
	}
	s.until("totals", `"sessions":1`)
	s.until("stats", `"delivered":7`)

	take(l, beacon.Event{ID: "b", Received: now, Body: beacon.Text("late")})
	s.until("event", `"text":"late"`)
	// A session is counted while it lasts.
	take(l, clientReport("key", "home", 2, now.Add(-10*time.Second), now.Add(5*time.Second), 13*time.Second, 9*time.Second))
	s.until("sessions", `"elapsed":15000,"engaged":9000`)
	l.Refused(httptest.NewRequest("POST", "/_pb", nil), []byte("x"), &beacon.RequestError{Status: 403, Reason: "origin", Err: errors.New("why")})
	s.until("refused", `"reason":"origin","why":"why"`)

	again := listen(t, url, early.id)
	again.until("hello", l.run)
	if m, _ := again.next(); m.event != "event" || !strings.Contains(m.data, "10.00 seconds") {
		t.Errorf("after %s came %+v", early.id, m)
	}
	take(l, beacon.Event{ID: "c", Body: beacon.Empty{}}) // "early" and the first report are gone now
	behind := listen(t, url, early.id)
	behind.until("missed", "1")
	behind.until("event", `"text":"late"`)
	for _, id := range []string{"another-5", l.run + "-9999", l.run + "-x"} {
		listen(t, url, id).until("event", `"text":"late"`)
	}
}

// TestTwin: an event that comes again is said to, and counts once.
func TestTwin(t *testing.T) {
	l := make1(t, Options{})
	now := time.Now()
	e := clientReport("key", "home", 1, now.Add(-10*time.Second), now, 8*time.Second, 5*time.Second)
	take(l, e, e, e)
	s := listen(t, serve(t, l), "")
	if m := s.until("event", "session"); strings.Contains(m.data, "again") {
		t.Errorf("the first: %s", m.data)
	}
	s.until("event", `{"again":true,"id":`)
	s.until("sessions", `"elapsed":10000,"engaged":5000,"views":1`)
}

// TestEnds: shutting the server down ends the streams, without being told to; so does
// Close; and then there are no goroutines left.
func TestEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	l := make1(t, Options{Checks: []Check{{Name: "c", Stats: func() any { return map[string]int{"n": 1} }}}})
	other := serve(t, l)
	srv := httptest.NewUnstartedServer(l)
	srv.Start()
	s := listen(t, srv.URL, "")
	s.until("health", `"n":1`)
	stays := listen(t, other, "")
	stays.until("hello", "")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := srv.Config.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for ok := true; ok; _, ok = s.next() {
	}
	take(l, beacon.Event{Body: beacon.Text("still there")})
	stays.until("event", "still there")
	if err := beacon.Close(ctx, l); err != nil {
		t.Error(err)
	}
	for ok := true; ok; _, ok = stays.next() {
	}
	take(l, beacon.Event{Body: beacon.Empty{}}) // and nothing fails
	if resp := listen(t, other, "").resp; resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("after Close: %v", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	srv.Close()
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+4; time.Sleep(10 * time.Millisecond) { // those of the other server
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
	if l.viewers != 0 {
		t.Errorf("%d viewers", l.viewers)
	}
}

// TestViewers: there is a bound, and who leaves makes room.
func TestViewers(t *testing.T) {
	l := make1(t, Options{MaxViewers: 2})
	url := serve(t, l)
	one := listen(t, url, "")
	one.until("hello", "")
	listen(t, url, "").until("hello", "")
	if resp := listen(t, url, "").resp; resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "10" {
		t.Errorf("the third: %s", resp.Status)
	}
	one.resp.Body.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if listen(t, url, "").resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("who left still takes a place")
		}
	}
}

// TestPace: a flood of events is not as many writes, and not as many events, to each viewer.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make1(t, Options{})
		ctx, leave := context.WithCancel(t.Context())
		w := &counter{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			l.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stream", nil).WithContext(ctx))
			close(ended)
		}()
		synctest.Wait()
		const floods = 10_000
		for range floods {
			take(l, beacon.Event{Body: beacon.Empty{}})
			time.Sleep(time.Second / floods)
		}
		time.Sleep(5 * time.Second)
		if got, most := w.flushed.Load(), int64(time.Second/pace)+9; got > most {
			t.Errorf("%d flushes, want at most %d", got, most)
		}
		time.Sleep(2 * heartbeat)
		leave()
		<-ended
		body := w.Body.String()
		sent := strings.Count(body, "event: event\n")
		if most := burst * int(time.Second/pace+2); sent > most || sent < burst {
			t.Errorf("%d events, want at most %d", sent, most)
		}
		var missed int
		for part := range strings.SplitSeq(body, "event: missed\ndata: ") {
			var n int
			fmt.Sscan(part, &n)
			missed += n
		}
		if sent+missed != floods {
			t.Errorf("%d sent and %d missed, of %d", sent, missed, floods)
		}
		if n := strings.Count(body, "\n:\n"); n < 2 {
			t.Errorf("%d heartbeats", n)
		}
	})
}

// A counter counts the flushes of a response.
type counter struct {
	*httptest.ResponseRecorder
	flushed atomic.Int64
}

func (c *counter) Flush() { c.flushed.Add(1) }

// TestSlowReader: one who does not read is dropped, and holds up nobody.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make1(t, Options{})
		w := &stuck{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			l.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stream", nil))
			close(ended)
		}()
		synctest.Wait()
		began := time.Now()
		for range 100 {
			take(l, beacon.Event{Body: beacon.Empty{}})
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("Consume waited %v for a reader", d)
		}
		<-ended
		if d := time.Since(began); d > writeTimeout+time.Second {
			t.Errorf("dropped after %v", d)
		}
	})
}

// stuck is a connection that takes nothing: a write lasts until its deadline.
type stuck struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *stuck) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }
func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, errors.New("i/o timeout")
}

// TestSluggish: who reads a little at a time does not hold up the end.
func TestSluggish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make1(t, Options{})
		for range 500 {
			take(l, beacon.Event{Body: beacon.Empty{}})
		}
		ended := make(chan struct{})
		go func() {
			l.ServeHTTP(sluggish{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/stream", nil))
			close(ended)
		}()
		time.Sleep(time.Minute)
		l.Close(t.Context())
		began := time.Now()
		<-ended
		if d := time.Since(began); d > writeTimeout {
			t.Errorf("it went on for %v after Close", d)
		}
	})
}

// sluggish is a connection that takes each piece just in time.
type sluggish struct{ *httptest.ResponseRecorder }

func (s sluggish) Write(b []byte) (int, error) {
	time.Sleep(writeTimeout - time.Second)
	return s.ResponseRecorder.Write(b)
}

// TestNoFlush: in front of a middleware that keeps the answer to the end, the stream ends
// after each piece, and the next one goes on where it stopped.
func TestNoFlush(t *testing.T) {
	l := make1(t, Options{})
	srv := httptest.NewServer(http.TimeoutHandler(l, 20*time.Second, "too slow"))
	t.Cleanup(srv.Close)
	take(l, beacon.Event{Body: beacon.Text("one")})
	s := listen(t, srv.URL, "")
	one := s.until("event", `"text":"one"`)
	for ok := true; ok; _, ok = s.next() {
	}
	take(l, beacon.Event{Body: beacon.Text("two")})
	s = listen(t, srv.URL, one.id)
	s.until("hello", l.run)
	if m, _ := s.next(); !strings.Contains(m.data, `"text":"two"`) {
		t.Errorf("got %+v", m)
	}
	for ok := true; ok; _, ok = s.next() {
	}
	if !strings.Contains(get(t, srv.URL+"/live.js", nil).body, "EventSource") {
		t.Error("no script")
	}
}

type answer struct {
	*http.Response
	body string
}

func get(t *testing.T, url string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// TestSink: behind a Tee it sees what a handler takes, and refusals.
func TestSink(t *testing.T) {
	l := make1(t, Options{Source: sessions.Source{Start: "from", End: "to"}})
	store := sink.Tee(sink.Required(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })), sink.BestEffort(l, nil))
	h, err := beacon.New(beacon.Config{Sink: store, OnRefused: l.Refused})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-time.Minute).UnixMilli()
	r := beacontest.NewRequest("/_pb", beacon.Form{{Name: "from", Value: fmt.Sprint(start)}, {Name: "to", Value: fmt.Sprint(start + 4321)}})
	r.Header.Set("Referer", "https://a.example/p")
	for _, r := range []*http.Request{r, httptest.NewRequest("DELETE", "/_pb", nil)} {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	s := listen(t, serve(t, l), "")
	s.until("event", `"kind":"form"`)
	s.until("refused", `"status":405`)
	s.until("sessions", `"elapsed":4321`)
}
