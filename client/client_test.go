package client_test

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/client"
)

func get(t *testing.T, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	client.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestHandler(t *testing.T) {
	for _, name := range []string{client.Script, client.Module, client.Core} {
		hashed := client.Hashed(name)
		for path, cache := range map[string]string{"/" + name: "public, max-age=3600", "/any/where/" + hashed: "public, max-age=31536000, immutable"} {
			res, body := get(t, "GET", path)
			h := res.Header
			if res.StatusCode != 200 || h.Get("Content-Type") != "text/javascript; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Cache-Control") != cache || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
				t.Errorf("%s: %d %v", path, res.StatusCode, h)
			}
			sum := sha512.Sum384([]byte(body))
			if want := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); client.Integrity(name) != want {
				t.Errorf("%s: integrity %s is not that of what is served, %s", name, client.Integrity(name), want)
			}
			etag := h.Get("ETag")
			if res, body := get(t, "GET", path, "If-None-Match", etag); res.StatusCode != 304 || body != "" || etag == "" {
				t.Errorf("%s: %d for the ETag it has", path, res.StatusCode)
			}
			if res, body := get(t, "HEAD", path); res.StatusCode != 200 || body != "" || res.Header.Get("Content-Length") == "0" {
				t.Errorf("HEAD %s: %d, %d bytes", path, res.StatusCode, len(body))
			}
		}
	}
	for _, path := range []string{"/pb.00000000.js", "/_pb.00000000.js", "/_pb.core.00000000.mjs", "/pb.js"} {
		if res, _ := get(t, "GET", path); res.StatusCode != 200 || strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	// A handler that serves it under a stem of the host's choosing has the same URL.
	_, ext, _ := strings.Cut(client.Hashed(client.Script), ".")
	if res, _ := get(t, "GET", "/assets/own."+ext); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("own stem: %d %v", res.StatusCode, res.Header)
	}
	for _, path := range []string{"/", "/pb", "/pb.css", "/beacon.js", "/pb.0123456789.js"} {
		if res, _ := get(t, "GET", path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := get(t, "POST", "/pb.js"); res.StatusCode != 405 || res.Header.Get("Allow") == "" {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

func TestScriptTag(t *testing.T) {
	got := client.ScriptTag(client.Tag{Src: "/_pb.1.js", Endpoint: `/x"><script>`, Nonce: "n&1", Consent: "required", GPC: "flag"})
	want := `<script src="/_pb.1.js" nonce="n&amp;1" data-endpoint="/x&#34;&gt;&lt;script&gt;" data-consent="required" data-gpc="flag" async></script>`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := client.ScriptTag(client.Tag{Src: "/s.js"}); got != `<script src="/s.js" async></script>` {
		t.Error(got)
	}
	for want, tag := range map[string]client.Tag{
		"client: Tag.Src is empty": {}, `client: Tag.Consent is "Required", neither`: {Src: "/s.js", Consent: "Required"},
		`client: Tag.GPC is "on", neither`: {Src: "/s.js", GPC: "on"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			client.ScriptTag(tag)
		}()
	}
}
