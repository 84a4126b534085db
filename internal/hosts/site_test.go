package hosts

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A site is a server on the loopback interface, and a client that speaks its
// protocol.
type site struct {
	origin      string
	path        string // of the endpoint
	listens     string // the address of the server, if its name leads nowhere
	client      *http.Client
	connections *atomic.Int64 // that the server was asked for
}

// serve serves h over HTTP/1.1.
func serve(t *testing.T, h http.Handler) *site { return serveHTTP1.start(t, h) }

// A protocol is one of the ways to reach a server.
type protocol struct {
	name  string // Response.Proto
	start func(*testing.T, http.Handler) *site
}

var (
	serveHTTP1 = protocol{"HTTP/1.1", startHTTP1}
	serveHTTP2 = protocol{"HTTP/2.0", startHTTP2}
	serveH2C   = protocol{"HTTP/2.0", startH2C}
	serveHTTP3 = protocol{"HTTP/3.0", startHTTP3}
)

func startHTTP1(t *testing.T, h http.Handler) *site {
	s, srv := unstarted(t, h)
	srv.Start()
	return s.reach(srv.URL, srv.Client().Transport)
}

func startHTTP2(t *testing.T, h http.Handler) *site {
	s, srv := unstarted(t, h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	return s.reach(srv.URL, srv.Client().Transport)
}

func startH2C(t *testing.T, h http.Handler) *site {
	s, srv := unstarted(t, h)
	var both, only http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	only.SetUnencryptedHTTP2(true)
	srv.Config.Protocols = &both
	srv.Start()
	transport := &http.Transport{Protocols: &only}
	t.Cleanup(transport.CloseIdleConnections)
	return s.reach(srv.URL, transport)
}

func startHTTP3(t *testing.T, h http.Handler) *site {
	s, srv := unstarted(t, app)
	srv.StartTLS() // for its certificate, which its client trusts
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{
		Handler:   h,
		TLSConfig: http3.ConfigureTLSConfig(srv.TLS),
		ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context {
			s.connections.Add(1)
			return ctx
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(conn) }()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
	}
	t.Cleanup(func() {
		transport.Close()
		server.Close()
		<-served
		conn.Close()
	})
	return s.reach("https://"+conn.LocalAddr().String(), transport)
}

func unstarted(t *testing.T, h http.Handler) (*site, *httptest.Server) {
	s := &site{connections: new(atomic.Int64)}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	t.Cleanup(srv.Close)
	return s, srv
}

// reach completes s for a server at origin.
func (s *site) reach(origin string, transport http.RoundTripper) *site {
	s.origin, s.path = origin, endpoint
	s.client = &http.Client{
		Transport: transport,
		Timeout:   30 * time.Second, // a test that hangs says where
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // browsers lose the body of a beacon on one
		},
	}
	return s
}

// at returns the same site with the endpoint elsewhere.
func (s *site) at(path string) *site {
	elsewhere := *s
	elsewhere.path = path
	return &elsewhere
}

// addr is where a client without HTTP finds the server.
func (s *site) addr() string {
	if s.listens != "" {
		return s.listens
	}
	_, addr, _ := strings.Cut(s.origin, "://")
	return addr
}

// request returns the request with which a page of the site itself sends body.
func (s *site) request(t *testing.T, body beacon.Body) *http.Request {
	t.Helper()
	r := beacontest.NewRequest(s.origin+s.path, body).WithContext(t.Context())
	r.RequestURI = "" // it is a client's
	r.Header.Set("Origin", s.origin)
	r.Header.Set("Referer", s.origin+"/page")
	return r
}

// raw returns a request with these bytes as its body. Without a length it is
// chunked, or what HTTP/2 has for that.
func (s *site) raw(t *testing.T, contentType string, body []byte, withLength bool) *http.Request {
	t.Helper()
	r := s.request(t, beacon.Binary{Type: contentType, Data: body})
	if !withLength {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
	}
	return r
}

// An answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

func (a answer) reason() string { return a.Header.Get("Beacon-Refused") }

func (s *site) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// expect sends r and checks what comes back; reason is empty for what is taken.
func (s *site) expect(t *testing.T, r *http.Request, status int, reason string) answer {
	t.Helper()
	a := s.do(t, r)
	if a.StatusCode != status || a.reason() != reason {
		t.Errorf("answer %d %q, want %d %q; body %.80q", a.StatusCode, a.reason(), status, reason, a.body)
	}
	return a
}
