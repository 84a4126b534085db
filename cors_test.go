package beacon_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// TestWithoutOrigin: what a page of another site loads without an Origin is held to the
// list by its Referer.
func TestWithoutOrigin(t *testing.T) {
	listed := []string{"https://app.example", "https://*.shop.example"}
	for _, tt := range []struct {
		site, mode, referer string
		want                bool // with listed
	}{
		{"cross-site", "no-cors", "https://app.example/", true},
		{"cross-site", "no-cors", "https://app.example", true},
		{"cross-site", "no-cors", "https://app.example?q", true},
		{"cross-site", "no-cors", "https://a.shop.example/page?x=https://evil.example", true},
		{"same-site", "no-cors", "https://app.example/page", true},
		{"cross-site", "no-cors", "https://evil.example/", false},
		{"cross-site", "no-cors", "https://evil.example/https://app.example/", false},
		{"cross-site", "no-cors", "https://evil.example?https://app.example/", false},
		{"cross-site", "no-cors", "https://app.example.evil.example/", false},
		{"cross-site", "no-cors", "https://app.example@evil.example/", false},
		{"cross-site", "no-cors", "https://app.example:8443/", false},
		{"cross-site", "no-cors", "http://app.example/", false},
		{"cross-site", "no-cors", "https://shop.example/", false},
		{"cross-site", "no-cors", "", false},
		{"cross-site", "no-cors", "app.example", false},
		{"cross-site", "no-cors", "://", false},
		{"same-site", "no-cors", "https://evil.own.example/", false},
		{"same-site", "no-cors", "", false},
		// Its own, after a redirect of another site.
		{"cross-site", "no-cors", "https://own.example/page", true},
		{"same-origin", "no-cors", "", true},
		{"none", "no-cors", "", true},
		{"", "", "https://evil.example/", true}, // plain http, servers, old browsers
		{"cross-site", "navigate", "https://evil.example/", true},
		{"cross-site", "navigate", "", true},
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, anyOrigin := range []bool{false, true} {
				var rec beacontest.Recorder
				h := newHandler(t, beacon.Config{Sink: &rec, Origins: listed, AnyOrigin: anyOrigin})
				route := h.Capture(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
				for _, way := range []http.Handler{h, route} {
					r := httptest.NewRequest(method, "https://own.example/b?e=1", nil)
					for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode, "Referer": tt.referer} {
						if value != "" {
							r.Header.Set(name, value)
						}
					}
					res := serve(way, r)
					if got := res.StatusCode/100 == 2; got != (tt.want || anyOrigin) {
						t.Errorf("%s %s %s from %q, any origin %v: %d", method, tt.site, tt.mode, tt.referer, anyOrigin, res.StatusCode)
					}
					if res.StatusCode == 403 && (res.Header.Get("Beacon-Refused") != "origin" || len(rec.Events()) > 0) {
						t.Errorf("%s: refused for %q", tt.referer, res.Header.Get("Beacon-Refused"))
					}
				}
			}
		}
	}
	// A violation that the browser itself reports, for a page of whatever site.
	h := newHandler(t, beacon.Config{Sink: nowhere})
	r := httptest.NewRequest("POST", "/b", strings.NewReader(`{"csp-report":{}}`))
	r.Header = http.Header{"Content-Type": {"application/csp-report"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}
	if got := serve(h, r).StatusCode; got != 204 {
		t.Errorf("CSP report: %d", got)
	}
}

// TestCapturesOfListedOrigins: of the pages that the captures are from, whose origins
// are all listed, nothing is refused that says whose it is; of the same pages without a
// list, no request of another site's comes through but the reports of browsers.
func TestCapturesOfListedOrigins(t *testing.T) {
	open := newHandler(t, beacon.Config{Sink: nowhere, Methods: []string{"PUT", "patch"}, Origins: []string{
		"http://localhost:18101", "http://127.0.0.1:18102", "https://localhost:18103", "https://127.0.0.1:18104",
	}})
	shut := newHandler(t, beacon.Config{Sink: nowhere, Methods: []string{"PUT", "patch"}})
	images := 0
	for _, c := range captures(t) {
		for _, q := range c.Requests {
			if q.File == "" || strings.HasSuffix(q.File, ".head") {
				continue
			}
			reason := func(h http.Handler) string {
				r := rawRequest(t, c.Engine, q.File, "")
				return serve(h, r).Header.Get("Beacon-Refused")
			}
			r := rawRequest(t, c.Engine, q.File, "")
			origin, referer, site := r.Header.Get("Origin"), r.Header.Get("Referer"), r.Header.Get("Sec-Fetch-Site")
			image := origin == "" && site == "cross-site"
			if image {
				images++
			}
			nobody := origin == "null" || image && referer == ""
			if got := reason(open); (got == "origin") && !nobody {
				t.Errorf("%s/%s from %q, %q: refused for its %s", c.Engine, q.File, origin, referer, got)
			}
			if got := reason(shut); image && got != "origin" {
				t.Errorf("%s/%s without Origin from %q: accepted", c.Engine, q.File, referer)
			}
		}
	}
	if images < 15 {
		t.Errorf("only %d images of other sites", images)
	}
}

// TestHosts: a name that another site's owner lets point here is none of the host's,
// whatever Origin says.
func TestHosts(t *testing.T) {
	var rec beacontest.Recorder
	var refused []string
	h := newHandler(t, beacon.Config{
		Sink: &rec, Hosts: []string{"own.example", "*.own.example", "[::1]:8080"}, Methods: []string{"PUT"},
		OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) { refused = append(refused, why.Reason) },
	})
	route := h.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	wants := map[string]bool{
		"own.example": true, "OWN.example:8080": true, "a.own.example.": true, "[::1]:8080": true,
		"evil.example": false, "own.example.evil.example": false, "127.0.0.1": false, "[::1]": false, "": false,
	}
	no := 0
	for host, want := range wants {
		for _, way := range []http.Handler{h, route} {
			for _, r := range []*http.Request{
				beacontest.NewRequest("/b", beacon.Text("x")), options("http://"+host, "PUT", ""), httptest.NewRequest("GET", "/b?x", nil),
			} {
				r.Host = host
				if r.Header.Get("Origin") != "" {
					r.Header.Set("Origin", "http://"+host)
				}
				r.Header.Del("Sec-Fetch-Site") // which browsers leave out over plain http
				res := serve(way, r)
				if got := res.StatusCode/100 == 2; got != want {
					t.Errorf("%s %q: %d %s", r.Method, host, res.StatusCode, res.Header.Get("Beacon-Refused"))
				}
				if !want {
					no++
					if got := res.Header.Get("Beacon-Refused"); got != "host" || res.Header.Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s %q is refused for its %s: %v", r.Method, host, got, res.Header)
					}
				}
			}
		}
	}
	if s := h.Stats(); s.Refused["host"] != uint64(no) || len(refused) != no || s.Received != sum(s) {
		t.Errorf("%d refused: %+v, %v", no, s, refused)
	}
	if _, err := beacon.New(beacon.Config{Sink: nowhere, Hosts: []string{"own.example", "https://own.example", "*.com"}}); err == nil ||
		!strings.Contains(err.Error(), `host "https://own.example"`) || !strings.Contains(err.Error(), `host "*.com"`) {
		t.Error(err)
	}
}
