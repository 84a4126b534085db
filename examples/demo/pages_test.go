package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	_, h, _ := start(t)
	for path, contentType := range map[string]string{
		"/": "text/html", "/second": "text/html", "/left": "text/html", "/style.css": "text/css", "/icon.svg": "image/svg+xml",
		"/demo.js": "text/javascript", "/visit.js": "text/javascript", "/watch.js": "text/javascript", "/byhand.js": "text/javascript",
		"/samples.js": "text/javascript", "/second.js": "text/javascript", "/left.js": "text/javascript", "/lines.js": "text/javascript",
		"/latest.js": "text/javascript", "/kinds.js": "text/javascript", "/elements.js": "text/javascript",
	} {
		w := send(h, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), contentType) {
			t.Errorf("%s: %d %q", path, w.Code, w.Header().Get("Content-Type"))
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self'") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", path, got)
		}
		// What the policy forbids, what events must not get into, and what keeps
		// pages out of the back/forward cache.
		for _, bad := range []string{" style=", " onclick=", "<style", "javascript:", "innerHTML", "'unload'", "beforeunload"} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s contains %s", path, bad)
			}
		}
	}

	plain := send(h, httptest.NewRequest(http.MethodGet, "http://localhost/", nil)).Header()
	if got := plain.Get("Content-Security-Policy-Report-Only"); !strings.Contains(got, "report-uri /log-tracking") || strings.Contains(got, "report-to") {
		t.Errorf("http: %q", got)
	}
	secure := send(h, httptest.NewRequest(http.MethodGet, "https://localhost/", nil)).Header()
	if got := secure.Get("Content-Security-Policy-Report-Only"); !strings.Contains(got, "report-to beacons") {
		t.Errorf("https: %q", got)
	}
	if got := secure.Get("Reporting-Endpoints"); !strings.Contains(got, `beacons="/log-tracking`) {
		t.Errorf("https: %q", got)
	}
}

// TestPagesFindTheirFiles: what a page names is there.
func TestPagesFindTheirFiles(t *testing.T) {
	_, h, _ := start(t)
	refs := regexp.MustCompile(`(?:src|href)="(/[^"#?]*)"|(?:from|import) '\.(/[^']*)'`)
	for _, page := range []string{"/", "/second", "/left", "/demo.js", "/kinds.js", "/latest.js", "/left.js", "/second.js", "/visit.js"} {
		found := refs.FindAllStringSubmatch(send(h, httptest.NewRequest(http.MethodGet, page, nil)).Body.String(), -1)
		if len(found) == 0 {
			t.Errorf("%s names nothing", page)
		}
		for _, ref := range found {
			if w := send(h, httptest.NewRequest(http.MethodGet, ref[1]+ref[2], nil)); w.Code != http.StatusOK {
				t.Errorf("%s names %s: %d", page, ref[0], w.Code)
			}
		}
	}
}

func TestOffline(t *testing.T) {
	_, h, _ := start(t)
	srv := httptest.NewServer(h)
	defer srv.Close()
	post := func(path, body string) int {
		res, err := http.Post(srv.URL+path, "text/plain", strings.NewReader(body))
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for _, step := range []struct {
		path, body string
		want       int
	}{
		{"/log-tracking", "x", 204}, {"/api/offline", "on", 204}, {"/log-tracking", "x", 0},
		{"/api/offline", "off", 204}, {"/log-tracking", "x", 204},
	} {
		if got := post(step.path, step.body); got != step.want {
			t.Errorf("%s %q: %d, want %d", step.path, step.body, got, step.want)
		}
	}
}
