package hosts

import (
	"context"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/csrf"
	"github.com/justinas/nosurf"
	"github.com/rs/cors"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// protectGorilla is gorilla/csrf on a server without TLS.
func protectGorilla(next http.Handler) http.Handler {
	protected := csrf.Protect([]byte("a key of thirty-two bytes, really"[:32]), csrf.Secure(false))(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protected.ServeHTTP(w, csrf.PlaintextHTTPRequest(r))
	})
}

func protectNosurf(next http.Handler) http.Handler {
	protected := nosurf.New(next)
	protected.SetIsTLSFunc(func(*http.Request) bool { return false })
	return protected
}

// TestCSRFOutside: a beacon has no token, so it ends at the library, and nobody
// tells the handler. Pixels pass, which makes it look as if something worked.
func TestCSRFOutside(t *testing.T) {
	for _, tt := range []struct {
		name    string
		protect func(http.Handler) http.Handler
		status  int
	}{
		{"gorilla", protectGorilla, http.StatusForbidden},
		{"nosurf", protectNosurf, http.StatusBadRequest},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				h := newHost(t)
				s := serve(t, tt.protect(w.mount(h)))
				for _, body := range []beacon.Body{loadForm, jsonBody, fileForm, pingBody, beacon.Text("bye")} {
					s.expect(t, s.request(t, body), tt.status, "")
				}
				visit{w, s, h}.pixel(t)
				checkStats(t, h, counts{Delivered: 1, Events: 1})
				if got := h.refusals(); got != nil {
					t.Errorf("OnRefused got %q of what never came", got)
				}
			})
		}
	}
}

// TestCSRFInside: the two ways to have both. The application stays protected.
func TestCSRFInside(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mount  func(h *host) http.Handler
		status int // of a POST to the application, which has no token either
	}{
		{"gorilla/inside", func(h *host) http.Handler { return h.Middleware(protectGorilla(app)) }, http.StatusForbidden},
		{"nosurf/inside", func(h *host) http.Handler { return h.Middleware(protectNosurf(app)) }, http.StatusBadRequest},
		{"gorilla/exempt", func(h *host) http.Handler {
			protected := protectGorilla(h.Middleware(app))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == endpoint {
					r = csrf.UnsafeSkipCheck(r)
				}
				protected.ServeHTTP(w, r)
			})
		}, http.StatusForbidden},
		{"nosurf/exempt", func(h *host) http.Handler {
			protected := nosurf.New(h.Middleware(app))
			protected.SetIsTLSFunc(func(*http.Request) bool { return false })
			protected.ExemptPath(endpoint)
			return protected
		}, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, tt.mount(h))
			visit{ways[0], s, h}.run(t)
			elsewhere := s.at("/transfer")
			s.expect(t, elsewhere.request(t, jsonBody), tt.status, "")
		})
	}
}

// TestCSRFToken: a page can send the token along, in a header. In a field of the
// form it can not: whoever looks for it there has read the body.
func TestCSRFToken(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t)
			m := http.NewServeMux()
			m.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Token", nosurf.Token(r))
			})
			m.Handle("/", w.mount(h))
			s := serve(t, protectNosurf(m))
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			s.client.Jar = jar
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+"/token", nil)
			if err != nil {
				t.Fatal(err)
			}
			token := s.expect(t, r, http.StatusOK, "").Header.Get("X-Token")

			form := beacon.Form{{Name: "msg", Value: "hi"}}
			r = s.request(t, form)
			r.Header.Set(nosurf.HeaderName, token)
			s.expect(t, r, w.taken(), "")

			form = append(form, beacon.Field{Name: nosurf.FormFieldName, Value: token})
			s.expect(t, s.request(t, form), http.StatusInternalServerError, bodyAlreadyRead)
			r = s.raw(t, "application/x-www-form-urlencoded", []byte(beacontest.URLEncoded(form)), true)
			s.expect(t, r, http.StatusInternalServerError, bodyAlreadyRead)
			checkStats(t, h, counts{Delivered: 1, Events: 1, Failed: 2})
		})
	}
}

// TestCrossOriginProtection: net/http's own protection lets the pages of the host
// itself pass, and others' preflights, but not what comes after those.
func TestCrossOriginProtection(t *testing.T) {
	for _, w := range ways {
		t.Run("outside/"+w.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, http.NewCrossOriginProtection().Handler(w.mount(h)))
			v := visit{w, s, h}
			s.expect(t, s.request(t, loadForm), w.taken(), "")
			s.expect(t, s.request(t, pingBody), w.taken(), "")
			v.pixel(t)
			v.preflight(t)
			s.expect(t, s.crossOrigin(t, listed), http.StatusForbidden, "")
			checkStats(t, h, counts{Delivered: 3, Events: 3, Preflights: 1})
			if got := h.refusals(); got != nil {
				t.Errorf("OnRefused got %q of what never came", got)
			}
		})
		t.Run("AddInsecureBypassPattern/"+w.name, func(t *testing.T) {
			h := newHost(t)
			p := http.NewCrossOriginProtection()
			p.AddInsecureBypassPattern(endpoint)
			visit{w, serve(t, p.Handler(w.mount(h))), h}.run(t)
		})
		t.Run("AddTrustedOrigin/"+w.name, func(t *testing.T) {
			h := newHost(t)
			p := http.NewCrossOriginProtection()
			if err := p.AddTrustedOrigin(listed); err != nil {
				t.Fatal(err)
			}
			s := serve(t, p.Handler(w.mount(h)))
			s.expect(t, s.crossOrigin(t, listed), w.taken(), "")
			s.expect(t, s.crossOrigin(t, unlisted), http.StatusForbidden, "") // not ours
			checkStats(t, h, counts{Delivered: 1, Events: 1})
		})
	}
	t.Run("inside", func(t *testing.T) {
		h := newHost(t)
		visit{ways[1], serve(t, h.Middleware(http.NewCrossOriginProtection().Handler(app))), h}.run(t)
	})
}

// crossOrigin returns a beacon of a page of another origin.
func (s *site) crossOrigin(t *testing.T, origin string) *http.Request {
	t.Helper()
	r := s.request(t, jsonBody)
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

// TestCORSOutside: a CORS middleware answers preflights itself, so it needs the same
// origins, with credentials. The answer to the beacon must not say things twice: a
// browser takes two values of Access-Control-Allow-Origin for none.
func TestCORSOutside(t *testing.T) {
	for _, w := range ways {
		t.Run("same origins/"+w.name, func(t *testing.T) {
			h := newHost(t)
			c := cors.New(cors.Options{AllowedOrigins: []string{listed}, AllowCredentials: true, AllowedHeaders: []string{"Content-Type"}})
			s := serve(t, c.Handler(w.mount(h)))
			visit{w, s, h}.preflight(t)
			a := s.expect(t, s.crossOrigin(t, listed), w.taken(), "")
			got := map[string][]string{}
			for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
				got[name] = a.Header[name]
			}
			want := map[string][]string{"Access-Control-Allow-Origin": {listed}, "Access-Control-Allow-Credentials": {"true"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("CORS headers (-want +got):\n%s", diff)
			}
			s.expect(t, s.crossOrigin(t, unlisted), http.StatusForbidden, beacon.ReasonOrigin)
			checkStats(t, h, counts{Delivered: 1, Events: 1, Refused: map[string]uint64{beacon.ReasonOrigin: 1}})
		})
	}
	t.Run("any origin", func(t *testing.T) {
		s := serve(t, cors.Default().Handler(newHost(t)))
		a := s.do(t, s.preflightRequest(t, listed))
		if got := a.Header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("credentials %q: the preflight is good for sendBeacon, which docs/mounting.md denies", got)
		}
	})
	t.Run("inside", func(t *testing.T) {
		h := newHost(t)
		visit{ways[1], serve(t, h.Middleware(cors.Default().Handler(app))), h}.run(t)
	})
}

// TestUnixSocket: a reverse proxy on the same machine may come through a socket,
// where the peer has no address that could be in Config.TrustedProxies.
func TestUnixSocket(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) {
		c.ClientIP = beacon.IPFull
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
	})
	s := new(site).reach("http://app.test", transport)
	r := s.request(t, jsonBody)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	s.expect(t, r, http.StatusNoContent, "")
	if got, want := h.events.Events()[0].Request.ClientIP, netip.MustParseAddr("192.0.2.7"); got != want {
		t.Errorf("ClientIP = %v, want %v", got, want)
	}
}

// TestReverseProxy: over plain http from a name other than localhost, browsers
// send no Sec-Fetch-Site. The host's own pages are then known by Origin and Host
// agreeing, so the proxy has to pass the Host on.
func TestReverseProxy(t *testing.T) {
	passHost := func(p *httputil.ProxyRequest) { p.Out.Host = p.In.Host }
	namedAfterBackend := func(*httputil.ProxyRequest) {} // as nginx does by default
	withoutPort := func(p *httputil.ProxyRequest) {      // as nginx's $host is
		p.Out.Host, _, _ = strings.Cut(p.In.Host, ":")
	}
	const ok, refused = http.StatusNoContent, http.StatusForbidden
	for _, tt := range []struct {
		name    string
		rewrite func(*httputil.ProxyRequest)
		host    string // in the address of the page
		origin  string
		site    string // Sec-Fetch-Site, which is there over https and from localhost
		status  int
	}{
		{"Host passed", passHost, "intranet.test", "http://intranet.test", "", ok},
		{"Host passed, port", passHost, "intranet.test:8080", "http://intranet.test:8080", "", ok},
		{"Host without its port", withoutPort, "intranet.test:8080", "http://intranet.test:8080", "", refused},
		{"Host of the backend", namedAfterBackend, "intranet.test", "http://intranet.test", "", refused},
		{"Host of the backend, https", namedAfterBackend, "app.test", "https://app.test", "same-origin", ok},
		{"Host of the backend, another site", namedAfterBackend, "app.test", unlisted, "cross-site", refused},
		// Firefox, on a page with Referrer-Policy: no-referrer.
		{"no referrer", passHost, "intranet.test", "null", "", refused},
		{"no referrer, https", passHost, "app.test", "null", "same-origin", ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, func(c *beacon.Config) {
				c.ClientIP = beacon.IPFull
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			})
			backend := serve(t, h)
			target, err := url.Parse(backend.origin)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, &httputil.ReverseProxy{
				Transport: backend.client.Transport,
				Rewrite: func(p *httputil.ProxyRequest) {
					p.SetURL(target)
					p.Out.Header["X-Forwarded-For"] = []string{"192.0.2.7"}
					tt.rewrite(p)
				},
			})
			r := s.request(t, jsonBody)
			r.Host = tt.host
			r.Header.Set("Origin", tt.origin)
			r.Header.Del("Sec-Fetch-Site")
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			reason := ""
			if tt.status == refused {
				reason = beacon.ReasonOrigin
			}
			s.expect(t, r, tt.status, reason)
			for _, e := range h.events.Events() {
				if got, want := e.Request.ClientIP, netip.MustParseAddr("192.0.2.7"); got != want {
					t.Errorf("ClientIP = %v, want %v", got, want)
				}
			}
		})
	}
}

// TestRealIP: what writes RemoteAddr believes the visitor, whatever the handler is told of
// proxies, unless the handler is outside of it.
func TestRealIP(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) {
		c.ClientIP = beacon.IPFull
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	for _, tt := range []struct {
		app  http.Handler
		want string
	}{
		{h.Middleware(realIP(app)), "203.0.113.7"},
		{realIP(h.Middleware(app)), "6.6.6.6"},
	} {
		s := serve(t, tt.app)
		r := s.request(t, jsonBody)
		r.Header.Set("X-Forwarded-For", "6.6.6.6, 203.0.113.7") // the visitor's own word, and the proxy's
		s.expect(t, r, http.StatusNoContent, "")
		events := h.events.Events()
		if got := events[len(events)-1].Request.ClientIP.String(); got != tt.want {
			t.Errorf("the visitor is %s, want %s", got, tt.want)
		}
	}
}

// realIP does what chi's RealIP does, which is deprecated for it, with this header.
func realIP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); first != "" {
			r.RemoteAddr = first
		}
		next.ServeHTTP(w, r)
	})
}
