package live

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// TestMounts: the page and what it asks for are found at any prefix, stripped or not.
func TestMounts(t *testing.T) {
	l := make1(t, Options{})
	mux := http.NewServeMux()
	mux.Handle("/plain/live/", l)
	mux.Handle("/stripped/live/", http.StripPrefix("/stripped/live", l))
	mux.Handle("/whole/live/", http.StripPrefix("/whole/live/", l)) // as for files
	mux.Handle("/bare/live", http.StripPrefix("/bare/live", l))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	root := httptest.NewServer(l)
	t.Cleanup(root.Close)
	refers := regexp.MustCompile(`(?:href|src)="([^"#]+)"`)
	for _, base := range []string{srv.URL + "/plain/live/", srv.URL + "/stripped/live/", srv.URL + "/whole/live/", root.URL + "/"} {
		page := get(t, base, nil)
		if page.StatusCode != 200 || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
			t.Fatalf("%s: %s", base, page.Status)
		}
		found := 0
		for _, m := range refers.FindAllStringSubmatch(page.body, -1) {
			if strings.ContainsAny(m[1], "/:") {
				t.Errorf("%q leads somewhere else", m[1])
			}
			if a := get(t, base+m[1], nil); a.StatusCode != 200 {
				t.Errorf("%s: %s", base+m[1], a.Status)
			}
			found++
		}
		if found < 3 {
			t.Errorf("%s refers to %d files", base, found)
		}
		for _, name := range []string{"nothing.js", "static", "..", "live.html/../../live.go"} {
			if a := get(t, base+name, nil); a.StatusCode == 200 {
				t.Errorf("%s: %s", base+name, a.Status)
			}
		}
	}
	if a := get(t, srv.URL+"/bare/live", nil); a.StatusCode != 301 || a.Header.Get("Location") != "/bare/live/" && a.Header.Get("Location") != "./live/" {
		t.Errorf("without its slash: %s %q", a.Status, a.Header.Get("Location"))
	}
}

// TestHeaders: the policy allows nothing but the page's own files, and nothing of the page
// needs more; nothing is cached, and nothing can be changed.
func TestHeaders(t *testing.T) {
	l := make1(t, Options{})
	h := httptest.NewServer(l)
	t.Cleanup(h.Close)
	for _, name := range []string{"", "live.js", "live.css", "nothing"} {
		a := get(t, h.URL+"/"+name, nil)
		csp := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp+";", want+";") {
				t.Errorf("%q: no %s in %q", name, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %v", name, a.Header)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/stream", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if l.ServeHTTP(w, r.WithContext(ctx)); w.Code != want {
			t.Errorf("stream for %s: %d", site, w.Code)
		}
	}
	if csp := get(t, frame1(t)+"/", nil).Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors 'self'") {
		t.Errorf("with Frame: %q", csp)
	}
}

func frame1(t *testing.T) string {
	srv := httptest.NewServer(make1(t, Options{Frame: true}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestStatic: no file has what the policy would stop or what could make markup of a text.
func TestStatic(t *testing.T) {
	files, err := static.ReadDir("static")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	bad := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|srcdoc|\son[a-z]+="|\sstyle="|<script>|<style|https?://`)
	for _, f := range files {
		data, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range bad.FindAllString(strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", ""), -1) {
			t.Errorf("%s has %q", f.Name(), m)
		}
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"MaxEvents":    {MaxEvents: -1},
		"MaxBytes":     {MaxBytes: maxOption + 1},
		"MaxPageViews": {MaxPageViews: -1},
		"MaxViewers":   {MaxViewers: -1},
		"Rules.Gap":    {Rules: sessions.Rules{Gap: -1}},
		"Rules.Max":    {Rules: sessions.Rules{Max: time.Minute}}, // less than the default gap
		"Checks[1]":    {Checks: []Check{{Name: "a", Stats: func() any { return nil }}, {Name: "b"}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestChecks: each part of the server is asked on its own now and then, while somebody
// looks; one that hangs, panics or has odd numbers is told of, and costs the others
// nothing.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, hang := 0, make(chan struct{})
		l := make1(t, Options{
			Stats: func() beacon.Stats { panic("stats") },
			Checks: []Check{
				{Name: "good", Healthy: func(context.Context) error { asked++; return nil }, Stats: func() any { return map[string]int{"pending": asked} }},
				{Name: "bad", Healthy: func(context.Context) error { return errors.New("connection refused") }, Stats: func() any { return map[string]int{"left": 3} }},
				{Name: "patient", Healthy: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
				{Name: "hangs", Healthy: func(context.Context) error { <-hang; return nil }},
				{Name: "panics", Stats: func() any { panic("oh") }},
				{Name: "exits", Stats: func() any { runtime.Goexit(); return nil }},
				{Name: "odd", Stats: func() any { return []int{1} }},
				{Name: "huge", Stats: func() any { return map[string]string{"a": strings.Repeat("x", statsBytes)} }},
			},
		})
		time.Sleep(time.Minute)
		if asked != 0 {
			t.Errorf("asked %d times while nobody looked", asked)
		}
		for range 30 {
			l.look(time.Now())
			time.Sleep(time.Second)
		}
		if asked < 5 || asked > 7 {
			t.Errorf("asked %d times in 30 s", asked)
		}
		got := string(l.look(time.Now()).health)
		for _, want := range []string{
			`{"name":"good","state":"ok","stats":{"pending":`,
			`{"name":"bad","state":"failing","error":"connection refused","stats":{"left":3}}`,
			`{"name":"patient","state":"failing","error":"context deadline exceeded"}`,
			`{"name":"hangs","state":"hangs","error":"no answer since `,
			`{"name":"panics","state":"failing","error":"panic: oh"}`,
			`{"name":"exits","state":"failing","error":"it ended its goroutine"}`,
			`{"name":"odd","state":"failing","error":"its numbers are not`,
			`{"name":"huge","state":"failing","error":"its numbers are not`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		close(hang)
		time.Sleep(time.Second)
		l.look(time.Now())
		synctest.Wait()
		time.Sleep(time.Second)
		if got := string(l.look(time.Now()).health); !strings.Contains(got, `{"name":"hangs","state":"ok"}`) {
			t.Errorf("it answered, and yet: %s", got)
		}
		time.Sleep(2 * checkEvery) // the last call of the patient one
	})
}
