package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func request(body string) []byte {
	return fmt.Appendf(nil, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// served runs a load against a handler, and returns how many whole requests that got.
func served(t *testing.T, o Options, h http.HandlerFunc) (int, Result) {
	t.Helper()
	var whole atomic.Int64
	_, body, _ := bytes.Cut(o.Request, []byte("\r\n\r\n"))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err == nil && bytes.Equal(got, body) {
			whole.Add(1)
		}
		r.Header.Set("Body", string(got))
		h(w, r)
	}))
	defer s.Close()
	o.Addr = s.Listener.Addr().String()
	r, err := Run(o)
	if err != nil {
		t.Fatal(err)
	}
	return int(whole.Load()), r
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func TestRequests(t *testing.T) {
	var n atomic.Int64
	tests := []struct {
		name     string
		conns    int
		requests int
		body     string
		handler  http.HandlerFunc
		refused  int
	}{
		{"one connection", 1, 50, "abc", noContent, 0},
		{"more connections than requests", 8, 3, "abc", noContent, 0},
		{"answers with a body", 4, 400, "abc", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, 0},
		{"answers in parts", 4, 40, "abc", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "200000")
			for range 20 {
				_, _ = io.WriteString(w, strings.Repeat("x", 10000))
				_ = http.NewResponseController(w).Flush()
			}
		}, 0},
		{"a body that fills the socket", 4, 16, strings.Repeat("x", 8<<20), noContent, 0},
		{"each third is refused", 4, 300, "abc", func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%3 == 0 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
			}
		}, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			whole, r := served(t, Options{Request: request(test.body), Conns: test.conns, Requests: test.requests}, test.handler)
			if whole != test.requests || r.Total != test.requests || r.Answers != test.requests {
				t.Errorf("the server got %d whole requests; %d answers, %d of them measured; want %d", whole, r.Total, r.Answers, test.requests)
			}
			if r.Refused != test.refused || (r.Refused > 0) != (r.Status == 503) {
				t.Errorf("%d refused, the last with %d; want %d", r.Refused, r.Status, test.refused)
			}
			if r.Elapsed <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.P99 > 2*r.Elapsed {
				t.Errorf("in %v: p50 %v, p99 %v", r.Elapsed, r.P50, r.P99)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	var during atomic.Int64
	start := time.Now()
	whole, r := served(t, Options{Request: request("abc"), Conns: 8, Warm: 100 * time.Millisecond, Window: 200 * time.Millisecond, PID: os.Getpid()},
		func(w http.ResponseWriter, _ *http.Request) {
			if time.Since(start) > 100*time.Millisecond {
				during.Add(1)
			}
			noContent(w, nil)
		})
	if whole != r.Total || r.Answers == 0 || r.Answers > r.Total {
		t.Errorf("the server got %d requests; %d answers, %d of them measured", whole, r.Total, r.Answers)
	}
	if r.Answers > int(during.Load()) {
		t.Errorf("%d answers measured, of %d after the warming up", r.Answers, during.Load())
	}
	if r.Elapsed < 200*time.Millisecond || r.CPU <= 0 || r.CPU > time.Since(start)*64 {
		t.Errorf("in %v, %v of CPU", r.Elapsed, r.CPU)
	}
}

// TestWithoutAnswer: a server that nobody let run within the window, or that has had its CPU
// time before its first answer, gets the time for one.
func TestWithoutAnswer(t *testing.T) {
	for _, o := range []Options{{Window: time.Millisecond}, {Window: time.Minute, Enough: time.Microsecond}} {
		o.Request, o.Conns, o.PID = request("abc"), 2, os.Getpid()
		_, r := served(t, o, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(100 * time.Millisecond)
			noContent(w, nil)
		})
		if r.Answers == 0 || r.Elapsed < 100*time.Millisecond || r.P50 == 0 {
			t.Errorf("%d answers in %v, p50 %v", r.Answers, r.Elapsed, r.P50)
		}
	}
}

func TestNext(t *testing.T) {
	var seen sync.Map
	next := func(conn, n int) []byte { return request(fmt.Sprintf("visit=%d&n=%d", conn, n)) }
	_, r := served(t, Options{Next: next, Conns: 12, Requests: 120},
		func(w http.ResponseWriter, r *http.Request) {
			if _, again := seen.LoadOrStore(r.Header.Get("Body"), true); again {
				w.WriteHeader(http.StatusConflict)
				return
			}
			noContent(w, r)
		})
	if r.Refused != 0 {
		t.Errorf("%d of them came twice", r.Refused)
	}
	for conn := range 12 {
		if _, ok := seen.Load(fmt.Sprintf("visit=%d&n=0", conn)); !ok {
			t.Errorf("connection %d sent nothing, or did not begin with 0", conn)
		}
	}
}

// TestEnough: where others have the processor, a turn lasts as long as it takes the
// server to have had its part.
func TestEnough(t *testing.T) {
	_, r := served(t, Options{Request: request("abc"), Conns: 8, Window: time.Minute, Enough: 50 * time.Millisecond, PID: os.Getpid()}, noContent)
	if r.CPU < 50*time.Millisecond || r.CPU > 10*time.Second || r.Elapsed >= time.Minute {
		t.Errorf("in %v, %v of CPU", r.Elapsed, r.CPU)
	}
}

// TestServe: connections are kept for the runs that follow, and opened anew for another
// number of them.
func TestServe(t *testing.T) {
	var opened, whole atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whole.Add(1)
		noContent(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	var in, out bytes.Buffer
	questions, answers := json.NewEncoder(&in), json.NewDecoder(&out)
	for _, o := range []Options{{Conns: 3, Requests: 20, Keep: true}, {Conns: 3, Requests: 30, Keep: true}, {Conns: 5, Requests: 40}, {Conns: 5, Requests: 50}} {
		o.Addr, o.Request = s.Listener.Addr().String(), request("abc")
		if err := questions.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := Serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{20, 30, 40, 50} {
		var r Result
		if err := answers.Decode(&r); err != nil || r.Total != want || r.Answers != want {
			t.Errorf("%d answers, %d measured, want %d (error: %v)", r.Total, r.Answers, want, err)
		}
	}
	if opened.Load() != 3+5+5 || whole.Load() != 20+30+40+50 {
		t.Errorf("%d connections, %d requests", opened.Load(), whole.Load())
	}
}

func TestErrors(t *testing.T) {
	talk := func(say string) string {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 100))
				_, _ = io.WriteString(c, say)
				c.Close()
			}
		}()
		return l.Addr().String()
	}
	closed := talk("")
	tests := []struct{ name, addr, want string }{
		{"closed before the answer", closed, "closed connection 0"},
		{"not HTTP", talk("SSH-2.0-x\r\n\r\n"), "not an answer of HTTP/1.1"},
		{"chunked", talk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "not read here"},
		{"one too many", talk("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), "nobody asked for"},
		{"a name", "localhost:80", "localhost"},
		{"IPv6", "[::1]:80", "not an IPv4 address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Run(Options{Addr: test.addr, Request: request("abc"), Conns: 1, Requests: 2})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	for _, o := range []Options{{}, {Addr: closed, Request: request(""), Conns: 1}, {Addr: closed, Request: request(""), Conns: 1, Requests: 1, Warm: 1}} {
		if _, err := Run(o); err == nil || !strings.Contains(err.Error(), "makes no sense") {
			t.Errorf("%+v: error %v", o, err)
		}
	}
}

// TestManyConnections is what a curve needs, and more than most limits of open files
// are by default.
func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 4,096 connections")
	}
	whole, r := served(t, Options{Request: request("abc"), Conns: 4096, Requests: 10000}, noContent)
	if whole != 10000 || r.Refused != 0 {
		t.Errorf("the server got %d requests of 10000, %d refused", whole, r.Refused)
	}
}

func TestLatency(t *testing.T) {
	var l Latency
	for ms := 1; ms <= 1000; ms++ {
		l.Add(time.Duration(ms) * time.Millisecond)
	}
	for _, part := range []float64{0, 0.001, 0.5, 0.99, 1} {
		want := time.Duration(1+part*999) * time.Millisecond
		if got := l.Quantile(part); got < want || float64(got) > float64(want)*1.016+1 {
			t.Errorf("quantile %v is %v, want %v to within a bucket", part, got, want)
		}
	}
	for _, d := range []time.Duration{0, 1, 63, 64, 127, 128, 1<<62 + 12345, 1<<63 - 1} {
		l := Latency{}
		l.Add(d)
		if got := l.Quantile(0.5); got < d || float64(got-d) > float64(d)/64 {
			t.Errorf("%d is counted as %d", d, got)
		}
	}
	if got := new(Latency).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
