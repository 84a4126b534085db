package client_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/client"
)

// names are the files, and what each is embedded from.
var names = map[string]string{
	client.Script: "beacon.min.js", client.Module: "beacon.min.mjs", client.Core: "core.min.mjs",
	client.Light: "beacon.light.min.js", client.LightModule: "beacon.light.min.mjs",
	client.Auto: "auto.min.js", client.AutoModule: "auto.min.mjs", client.Debug: "debug.min.mjs",
}

func get(t *testing.T, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	client.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func source(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("dist/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFiles(t *testing.T) {
	files := client.Files()
	if len(files) != len(names) {
		t.Errorf("%q", files)
	}
	for _, name := range files {
		if names[name] == "" {
			t.Errorf("a file %q", name)
		}
	}
}

func TestHandler(t *testing.T) {
	for name, file := range names {
		hashed := client.Hashed(name)
		for path, cache := range map[string]string{"/" + name: "public, max-age=3600", "/any/where/" + hashed: "public, max-age=31536000, immutable"} {
			res, body := get(t, "GET", path)
			h := res.Header
			if res.StatusCode != 200 || h.Get("Content-Type") != "text/javascript; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Cache-Control") != cache || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
				t.Errorf("%s: %d %v", path, res.StatusCode, h)
			}
			if body != source(t, file) {
				t.Errorf("%s: not %s", path, file)
			}
		}
		sum := sha512.Sum384([]byte(source(t, file)))
		if want := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); client.Integrity(name) != want {
			t.Errorf("%s: integrity %s is not that of what is served, %s", name, client.Integrity(name), want)
		}
	}
	for _, path := range []string{"/pb.00000000.js", "/_pb.00000000.js", "/_pb.core.00000000.mjs", "/pb.js", "/_pb.light.js", "/pb.light.00000000.js"} {
		if res, _ := get(t, "GET", path); res.StatusCode != 200 || strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	// A handler that serves it under a stem of the host's choosing has the same URL.
	_, ext, _ := strings.Cut(client.Hashed(client.Script), ".")
	if res, _ := get(t, "GET", "/assets/own."+ext); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("own stem: %d %v", res.StatusCode, res.Header)
	}
	for _, path := range []string{"/", "/pb", "/pb.css", "/beacon.js", "/pb.0123456789.js", "/_pb.js.gz", "/_pb.js.br", "/stub.js", "/_pb.stub.js"} {
		if res, _ := get(t, "GET", path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := get(t, "POST", "/pb.js"); res.StatusCode != 405 || res.Header.Get("Allow") == "" {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// TestCodings: each file in each coding is what it says it is, whole, with a validator of
// its own.
func TestCodings(t *testing.T) {
	etags := map[string]string{}
	for name, file := range names {
		want := source(t, file)
		for coding, embedded := range map[string]string{"br": file + ".br", "gzip": file + ".gz", "": file} {
			path := "/" + name
			res, body := get(t, "GET", path, "Accept-Encoding", coding)
			h := res.Header
			if res.StatusCode != 200 || h.Get("Content-Encoding") != coding || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Length") != strconv.Itoa(len(body)) {
				t.Errorf("%s as %q: %d %v", path, coding, res.StatusCode, h)
			}
			if body != source(t, embedded) {
				t.Errorf("%s as %q is not %s", path, coding, embedded)
			}
			if coding == "gzip" {
				r, err := gzip.NewReader(strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || string(got) != want {
					t.Errorf("%s as gzip is not %s: %v", path, file, err)
				}
			}
			etag := h.Get("ETag")
			if other, ok := etags[etag]; ok || len(etag) < 10 || etag[0] != '"' {
				t.Errorf("%s as %q: ETag %s, as %s", path, coding, etag, other)
			}
			etags[etag] = path + " as " + coding

			if res, body := get(t, "HEAD", path, "Accept-Encoding", coding); res.StatusCode != 200 || body != "" ||
				res.Header.Get("Content-Length") != h.Get("Content-Length") || res.Header.Get("ETag") != etag || res.Header.Get("Content-Encoding") != coding {
				t.Errorf("HEAD %s as %q: %d %v, %d bytes", path, coding, res.StatusCode, res.Header, len(body))
			}
			for _, lines := range [][]string{{etag}, {"W/" + etag}, {`"other", ` + etag}, {`"other"`, etag}, {"*"}} {
				header := []string{"Accept-Encoding", coding}
				for _, l := range lines {
					header = append(header, "If-None-Match", l)
				}
				res, body := get(t, "GET", path, header...)
				if res.StatusCode != 304 || body != "" || res.Header.Get("ETag") != etag || res.Header.Get("Vary") != "Accept-Encoding" ||
					res.Header.Get("Cache-Control") == "" || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Content-Length") != "" {
					t.Errorf("%s as %q, If-None-Match %q: %d %v", path, coding, lines, res.StatusCode, res.Header)
				}
			}
			// A part of it is none: whole it comes.
			if res, part := get(t, "GET", path, "Accept-Encoding", coding, "Range", "bytes=0-9"); res.StatusCode != 200 || part != body || res.Header.Get("Accept-Ranges") != "none" {
				t.Errorf("a range of %s as %q: %d, %d bytes", path, coding, res.StatusCode, len(part))
			}
		}
	}
	// One who has it in another coding has not got this one.
	_, all := get(t, "GET", "/_pb.js", "Accept-Encoding", "br")
	plain, _ := get(t, "GET", "/_pb.js")
	res, body := get(t, "GET", "/_pb.js", "Accept-Encoding", "br", "If-None-Match", plain.Header.Get("ETag"))
	if res.StatusCode != 200 || body != all {
		t.Errorf("%d for the ETag of another coding", res.StatusCode)
	}
	res, _ = get(t, "GET", "/_pb.js", "Accept-Encoding", "*;q=0")
	if h := res.Header; res.StatusCode != 406 || h.Get("Vary") != "Accept-Encoding" || h.Get("ETag") != "" || h.Get("Cache-Control") != "" {
		t.Errorf("nothing is acceptable: %d %v", res.StatusCode, h)
	}
}

// TestVary: what stands outside has its own reasons to vary.
func TestVary(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Cookie")
	client.Serve(w, httptest.NewRequest("GET", "/", nil), client.Script, false)
	if got := strings.Join(w.Header()["Vary"], ", "); got != "Cookie, Accept-Encoding" {
		t.Error(got)
	}
}

// TestCompressedOutside: a middleware that compresses gets the script as it is, since some
// do so to whatever they get.
func TestCompressedOutside(t *testing.T) {
	for _, header := range []http.Header{{"Content-Encoding": {"gzip"}}, {"Vary": {"Cookie, accept-encoding"}}, {"Vary": {"Cookie", "Accept-Encoding"}}} {
		w := httptest.NewRecorder()
		vary := cmp.Or(strings.Join(header["Vary"], "|"), "Accept-Encoding")
		maps.Copy(w.Header(), header)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip, br")
		client.Serve(w, r, client.Script, false)
		h := w.Header()
		etag := h.Get("ETag")
		if w.Body.String() != source(t, names[client.Script]) || h.Get("Content-Encoding") != header.Get("Content-Encoding") || h.Get("Content-Length") != "" ||
			!strings.HasPrefix(etag, `W/"`) || strings.Join(h["Vary"], "|") != vary {
			t.Errorf("after %v: %d bytes, %v", header, w.Body.Len(), h)
		}
		w = httptest.NewRecorder()
		w.Header().Set("Vary", "Accept-Encoding")
		r.Header.Set("If-None-Match", etag)
		if client.Serve(w, r, client.Script, false); w.Code != http.StatusNotModified {
			t.Errorf("%d for the ETag it has", w.Code)
		}
	}
}

// TestFirstVisit: what a browser has to load, over a connection as browsers make it.
func TestFirstVisit(t *testing.T) {
	server := httptest.NewServer(client.Handler())
	defer server.Close()
	plain := len(source(t, names[client.Script]))
	for coding, percent := range map[string]int{"gzip, deflate, br, zstd": 50, "gzip, deflate": 55} {
		r, err := http.NewRequest("GET", server.URL+"/_pb.js", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", coding)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(res.Body)
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil || 100*body.Len() > percent*plain {
			t.Errorf("%q: %d bytes of %d: %v", coding, body.Len(), plain, err)
		}
		t.Logf("%q: %d bytes of %d", coding, body.Len(), plain)
	}
}
