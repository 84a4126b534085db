package hosts

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
)

// behindProxy is the configuration of docs/proxies.md.
func behindProxy(c *beacon.Config) {
	c.ClientIP = beacon.IPFull
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// TestProxies makes a whole visit through each proxy, as it is configured in
// docs/proxies.md, and looks at all that a proxy can get wrong: whose the pages are, who
// the visitor is, the script, what is too large, and the stream of the live page.
func TestProxies(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name(), func(t *testing.T) {
			t.Parallel()
			l, err := live.New(live.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close(context.Background()) })
			h := newHost(t, behindProxy, func(c *beacon.Config) {
				c.Sink = sink.Tee(sink.Required(c.Sink), sink.BestEffort(l, nil))
			})
			mux := http.NewServeMux()
			mux.Handle("/", app)
			mux.Handle("/admin/live/", l)
			s := p.start(t, serve(t, h.Middleware(mux)))

			visit{ways[0], s, h}.run(t)
			checkAddresses(t, s, h)
			checkScript(t, s, h, h.ScriptURL(), "/_pb.js")
			checkStream(t, s)
			r := s.request(t, beacon.Binary{Data: make([]byte, 1<<20+1)})
			if strings.HasPrefix(p.config, "nginx") {
				s.expect(t, r, http.StatusRequestEntityTooLarge, "") // its own: 1m is its default
			} else {
				s.expect(t, r, http.StatusRequestEntityTooLarge, beacon.ReasonBodyTooLarge)
			}
			r = s.request(t, beacon.Binary{Data: make([]byte, 1<<20)})
			s.expect(t, r, http.StatusNoContent, "")
		})
	}
}

// checkAddresses: events have the visitor's address, which is the one that the proxy saw,
// whatever the visitor says.
func checkAddresses(t *testing.T, s *site, h *host) {
	t.Helper()
	r := s.request(t, jsonBody)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	s.expect(t, r, http.StatusNoContent, "")
	for _, e := range h.events.Events() {
		if got, want := e.Request.ClientIP, netip.MustParseAddr(visitor); got != want {
			t.Errorf("ClientIP = %v, want %v", got, want)
		}
	}
}

// checkScript: the client comes through, whatever compresses it.
func checkScript(t *testing.T, s *site, h *host, paths ...string) {
	t.Helper()
	for _, path := range paths {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		// The client of net/http asks for gzip and undoes it.
		a := s.expect(t, r, http.StatusOK, "")
		if !strings.Contains(a.Header.Get("Content-Type"), "javascript") || !strings.Contains(a.body, "PendingPostBeacon") {
			t.Errorf("%s: %q, %d bytes", path, a.Header.Get("Content-Type"), len(a.body))
		}
	}
}

// checkStream: what happens is on the live page when it happens, and not when a buffer is
// full.
func checkStream(t *testing.T, s *site) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+"/admin/live/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<24)
	// A text that is told from all before it.
	const marker = "seen on the live page"
	s.expect(t, s.request(t, beacon.Text(marker)), http.StatusNoContent, "")
	for lines.Scan() {
		if strings.Contains(lines.Text(), marker) {
			return
		}
	}
	t.Errorf("the stream ended without the event: %v", lines.Err())
}

// TestProxyOfEndpoint: nginx has the site, and hands the endpoint and the script alone to
// the program.
func TestProxyOfEndpoint(t *testing.T) {
	h := newHost(t, behindProxy, func(c *beacon.Config) { c.Path = "" })
	s := nginx("nginx-endpoint.conf", false).start(t, serve(t, h.Middleware(app))).at("/_pb")
	visit{ways[0], s, h}.run(t)
	checkAddresses(t, s, h)
	checkScript(t, s, h, h.ScriptURL(), "/_pb.js", "/_pb.core.mjs", "/"+client.Hashed(client.Light))
	elsewhere := s.at("/other")
	s.expect(t, elsewhere.request(t, jsonBody), http.StatusNotFound, "") // of nginx
}

// TestProxyWithoutHost: nginx tells the handler its own address as the Host. Over plain
// http that makes a stranger of each page, and the log says what to look at. Over https,
// and from localhost, browsers say by themselves whose page it is.
func TestProxyWithoutHost(t *testing.T) {
	h := newHost(t)
	backend := serve(t, h)
	s := nginx("nginx-wrong.conf", false).start(t, backend)
	s.expect(t, s.request(t, jsonBody), http.StatusForbidden, beacon.ReasonOrigin)
	checkStats(t, h, counts{Refused: map[string]uint64{beacon.ReasonOrigin: 1}})
	want := fmt.Sprintf("%q; if that is the site's own, Host is %q: does the proxy pass it on?", s.origin, backend.addr())
	if got := h.log.texts(); !strings.Contains(got, want) {
		t.Errorf("the log has %q, want %q in it", got, want)
	}
	secure := *s
	secure.client = &http.Client{Transport: s.client.Transport.(plain).Transport}
	s.expect(t, s.request(t, jsonBody), http.StatusForbidden, beacon.ReasonOrigin)
	secure.expect(t, secure.request(t, jsonBody), http.StatusNoContent, "")
}

// TestProxyLimits: Caddy finds out in the middle of a body that it is too large. Its
// answer is a 502, so that clients try again what can't come through; newer versions may
// say 413. The handler has nothing, or half of it, and takes neither.
func TestProxyLimits(t *testing.T) {
	h := newHost(t)
	s := caddy("Caddyfile.limit", false).start(t, serve(t, h))
	s.expect(t, s.request(t, beacon.Binary{Data: make([]byte, 512<<10)}), http.StatusNoContent, "")
	a := s.do(t, s.request(t, beacon.Binary{Data: make([]byte, 512<<10+1)}))
	if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusRequestEntityTooLarge || a.reason() != "" {
		t.Errorf("answer %d %q", a.StatusCode, a.reason())
	}
	for _, reason := range h.refusals() {
		if reason != beacon.ReasonBodyBroken {
			t.Errorf("refused for %s", reason)
		}
	}
	if n := len(h.events.Events()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestProxyBuffers: of a body that does not come to its end the handler never hears
// behind nginx, which reads it first unless it is told not to, and behind Caddy, if it is
// shorter than a buffer. Of others it does, and Config.ReadTimeout bounds them.
func TestProxyBuffers(t *testing.T) {
	long := strings.Repeat("x", 32<<10)
	for _, tt := range []struct {
		proxy
		part  string
		heard bool
	}{
		{nginx("nginx.conf", false), "01", false},
		{nginx("nginx.conf", false), long, false},
		{nginx("nginx-unbuffered.conf", false), "01", true},
		{caddy("Caddyfile", false), "01", false},
		{caddy("Caddyfile", false), long, true},
		{haproxy("haproxy.cfg", false), "01", true},
	} {
		t.Run(fmt.Sprint(tt.config, " ", len(tt.part)), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(c *beacon.Config) { c.ReadTimeout = readTimeout })
			s := tt.start(t, serve(t, h))
			c := s.half(t, tt.part)
			if tt.heard {
				for deadline := time.Now().Add(time.Minute); len(h.refusals()) == 0 && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond)
				}
				if got := fmt.Sprint(h.refusals()); got != "["+beacon.ReasonBodyTooSlow+"]" {
					t.Errorf("refused: %s", got)
				}
				if !strings.HasPrefix(tt.config, "Caddy") { // which waits for the rest, to answer
					c.hear(t, http.StatusRequestTimeout, beacon.ReasonBodyTooSlow)
				}
				return
			}
			// Others come through meanwhile, and are all that the handler knows of.
			s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
			c.say(t, "23456789")
			c.hear(t, http.StatusNoContent, "")
			checkStats(t, h, counts{Delivered: 2, Events: 2})
		})
	}
}

// half begins a request, and has eight bytes of its body left to say.
func (s *site) half(t *testing.T, part string) wire {
	t.Helper()
	c := s.dial(t)
	c.say(t, "POST "+endpoint+" HTTP/1.1", "Host: "+strings.TrimPrefix(s.origin, "http://"), "Origin: "+s.origin,
		"Content-Type: text/plain", fmt.Sprint("Content-Length: ", len(part)+8), "", part)
	return c
}

// TestProxySlow: where Caddy bounds bodies itself, it gives up on one and answers 200 for
// what it has handed to nobody. The browser client, which takes nothing but 204 for a yes,
// is not deceived.
func TestProxySlow(t *testing.T) {
	h := newHost(t)
	s := caddy("Caddyfile.slow", false).start(t, serve(t, h))
	c := s.half(t, "01")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		t.Errorf("answer %d", res.StatusCode)
	}
	if n := h.Stats().Delivered; n != 0 {
		t.Errorf("%d delivered", n)
	}
}

// TestProxyInGo is TestProxies for a proxy of net/http's own.
func TestProxyInGo(t *testing.T) {
	h := newHost(t, behindProxy)
	backend := serve(t, h.Middleware(app))
	target, err := url.Parse(backend.origin)
	if err != nil {
		t.Fatal(err)
	}
	p := proxyInGo(target)
	p.Transport = backend.client.Transport
	s := serve(t, p)
	s.client.Transport = plain{&http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitor)}}
			return d.DialContext(ctx, network, s.listens)
		},
	}}
	s.listens = s.addr()
	s.origin = "http://intranet.test:8080"
	visit{ways[0], s, h}.run(t)
	checkAddresses(t, s, h)
	checkScript(t, s, h, h.ScriptURL())
}

func proxyInGo(target *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
		},
	}
}
