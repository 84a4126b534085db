package hosts

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
)

// TestProtocols makes a whole visit over each version of HTTP, on one connection.
func TestProtocols(t *testing.T) {
	for name, p := range map[string]protocol{
		"HTTP1": serveHTTP1, "HTTP2": serveHTTP2, "h2c": serveH2C, "HTTP3": serveHTTP3,
	} {
		for _, w := range ways {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				s := p.start(t, w.mount(h))
				visit{w, s, h}.run(t)
				if a := s.expect(t, s.request(t, jsonBody), w.taken(), ""); a.Proto != p.name {
					t.Errorf("protocol %s, want %s", a.Proto, p.name)
				}
				if n := s.connections.Load(); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
			})
		}
	}
}

// A wire is a connection on which a test says each byte itself.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func (s *site) dial(t *testing.T) wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return wire{conn, bufio.NewReader(conn)}
}

// say sends lines as they stand in HTTP.
func (c wire) say(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
}

// hear reads one answer.
func (c wire) hear(t *testing.T, status int, reason string) {
	t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Beacon-Refused"); res.StatusCode != status || got != reason {
		t.Errorf("answer %d %q, want %d %q", res.StatusCode, got, status, reason)
	}
}

func texts(h *host) (got []string) {
	for _, e := range h.events.Events() {
		text, _ := e.Body.(beacon.Text)
		got = append(got, string(text))
	}
	return got
}

// TestHTTP10: nginx speaks it to what is behind it, unless told otherwise.
func TestHTTP10(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, w.mount(h))
			post := "POST " + endpoint + " HTTP/1.0"

			c := s.dial(t)
			c.say(t, post, "Content-Type: text/plain", "Content-Length: 3", "", "one")
			c.hear(t, w.taken(), "")
			if n, err := c.r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the answer: %d bytes, %v; want io.EOF", n, err)
			}

			c = s.dial(t) // two on one connection
			c.say(t, post, "Connection: keep-alive", "Content-Type: text/plain", "Content-Length: 3", "", "two")
			c.hear(t, w.taken(), "")
			c.say(t, post, "Connection: keep-alive", "Content-Type: text/plain", "Content-Length: 5", "", "three")
			c.hear(t, w.taken(), "")

			c = s.dial(t) // without a length there is no body
			c.say(t, post, "", "")
			c.hear(t, w.taken(), "")

			if diff := cmp.Diff([]string{"one", "two", "three", ""}, texts(h)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPipelining: all requests are out before the first answer is read. One of them
// is refused, and its body must not become the next one's first line.
func TestPipelining(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []func(*beacon.Config)
	}{
		{"with OnRefused", nil},
		{"without OnRefused", []func(*beacon.Config){func(c *beacon.Config) { c.OnRefused = nil }}},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				h := newHost(t, tt.changes...)
				s := serve(t, w.mount(h))
				post := "POST " + endpoint + " HTTP/1.1\r\nHost: " + s.addr() + "\r\nContent-Type: text/plain"
				c := s.dial(t)
				c.say(t,
					post, "Content-Length: 3", "", "one"+
						post, "Transfer-Encoding: chunked", "", "1", "t", "2", "wo", "0", "", ""+
						post, "Origin: "+unlisted, "Content-Length: 3", "", "bad"+
						post, "Content-Length: 0", "", ""+
						post, "Transfer-Encoding: chunked", "", "0", "", ""+
						post, "Content-Length: 5", "", "three")
				c.hear(t, w.taken(), "")
				c.hear(t, w.taken(), "")
				c.hear(t, http.StatusForbidden, beacon.ReasonOrigin)
				c.hear(t, w.taken(), "")
				c.hear(t, w.taken(), "")
				c.hear(t, w.taken(), "")
				if diff := cmp.Diff([]string{"one", "two", "", "", "three"}, texts(h)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestTrailers: what comes after a chunked body belongs to it, and not to the next
// request on the connection.
func TestTrailers(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, w.mount(h))
			post := "POST " + endpoint + " HTTP/1.1\r\nHost: " + s.addr() + "\r\nContent-Type: text/plain"
			c := s.dial(t)
			c.say(t, post, "Transfer-Encoding: chunked", "Trailer: X-Sum", "", "3;ext=1", "one", "0", "X-Sum: 1", "", "")
			c.hear(t, w.taken(), "")
			c.say(t, post, "Content-Length: 3", "", "two")
			c.hear(t, w.taken(), "")
			if diff := cmp.Diff([]string{"one", "two"}, texts(h)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExpectContinue: who asks before it sends the body is told to go on, or spared
// the body. OnRefused would want it, so the host has none here.
func TestExpectContinue(t *testing.T) {
	for _, tt := range []struct {
		name, method, header string
		length               string
		status               int
		reason               string
	}{
		{name: "taken", length: "3"},
		{name: "origin", header: "Origin: " + unlisted, length: "3", status: http.StatusForbidden, reason: beacon.ReasonOrigin},
		{name: "too large", length: "2000000", status: http.StatusRequestEntityTooLarge, reason: beacon.ReasonBodyTooLarge},
		{name: "method", method: "PATCH", length: "3", status: http.StatusMethodNotAllowed, reason: beacon.ReasonMethod},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				h := newHost(t, func(c *beacon.Config) { c.OnRefused = nil })
				s := serve(t, w.mount(h))
				method := "POST"
				if tt.method != "" {
					method = tt.method
				}
				header := "X-Nothing: 1"
				if tt.header != "" {
					header = tt.header
				}
				c := s.dial(t)
				c.say(t, method+" "+endpoint+" HTTP/1.1", "Host: "+s.addr(), "Content-Type: text/plain",
					"Content-Length: "+tt.length, "Expect: 100-continue", header, "", "")
				if tt.status != 0 {
					c.hear(t, tt.status, tt.reason)
					return
				}
				c.hear(t, http.StatusContinue, "")
				c.say(t, "one")
				c.hear(t, w.taken(), "")
				if diff := cmp.Diff([]string{"one"}, texts(h)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		}
	}
}
