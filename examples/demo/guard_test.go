package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// TestHost: a name that somebody else gave this machine opens nothing.
func TestHost(t *testing.T) {
	d, h, _ := start(t)
	d.name = "Demo.example"
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "localhost.:8080": 200, "app.localhost": 200, "127.0.0.1:8080": 200, "[::1]:8080": 200,
		"192.168.1.7:8080": 200, "demo.example": 200, "demo.example:8080": 200,
		"evil.example": 403, "evil.example:8080": 403, "localhost.evil.example": 403, "notlocalhost": 403, "127.0.0.1.evil.example": 403,
		"sub.demo.example": 403, "": 403, ":8080": 403,
	} {
		for _, path := range []string{"/", "/live/", "/api/events", "/api/visit", "/log-tracking?x=1"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			if w := send(h, r); w.Code != want {
				t.Errorf("%s of %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
	d.name = ""
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "demo.example"
	if w := send(h, r); w.Code != http.StatusForbidden {
		t.Errorf("a name that it does not have: %d", w.Code)
	}
}

// TestForeignPages: the controls are the demo's own, and so is what it shows.
func TestForeignPages(t *testing.T) {
	d, h, _ := start(t)
	for _, tt := range []struct {
		name    string
		headers map[string]string
		want    int
	}{
		{"own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 204},
		{"another site", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403},
		{"another port", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9999"}, 403},
		{"an old browser", map[string]string{"Origin": "https://evil.example"}, 403},
		{"curl", nil, 204},
	} {
		r := httptest.NewRequest(http.MethodPost, "/api/offline", strings.NewReader("on"))
		for name, value := range tt.headers {
			r.Header.Set(name, value)
		}
		w := send(h, r)
		if w.Code != tt.want || d.offline.Load() != (tt.want == 204) {
			t.Errorf("%s: %d, want %d; offline is %v", tt.name, w.Code, tt.want, d.offline.Load())
		}
		d.offline.Store(false)
	}
	for _, path := range []string{"/", "/live/", "/api/events", "/api/visit", "/api/stats", "/demo.js"} {
		w := send(h, httptest.NewRequest(http.MethodGet, path, nil))
		for _, name := range []string{"Cross-Origin-Resource-Policy", "Cross-Origin-Opener-Policy"} {
			if got := w.Header().Get(name); got != "same-origin" {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
	if w := send(h, beacontest.NewRequest(endpoint, beacon.Empty{})); w.Header().Get("Cross-Origin-Resource-Policy") != "" {
		t.Error("the endpoint is for pages of other sites where its origin list says so")
	}
}

// TestMultiplied: headers and query are in each event of a request, so a small one could
// fill a disk.
func TestMultiplied(t *testing.T) {
	for _, events := range []int{1000, 100, 50} {
		for _, query := range []int{0, 500, 7_000, 30_000} {
			dir := t.TempDir()
			d, h, _ := startIn(t, dir)
			r := beacontest.NewRequest(endpoint+"?"+strings.Repeat("<", query), beacon.Text(strings.Repeat("0\n", events)))
			r.Header.Set("Content-Type", "application/x-ndjson")
			r.Header.Set("Referer", "http://localhost/"+strings.Repeat("<", query/4))
			w := send(h, r)
			stored(t, d)
			info, err := os.Stat(filepath.Join(dir, "events.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if most := int64(4 << 20); info.Size() > most || (w.Code == http.StatusNoContent) != (info.Size() > 0) {
				t.Errorf("%d events and a query of %d bytes: answered %d, %d bytes on disk", events, query, w.Code, info.Size())
			}
		}
	}
}
