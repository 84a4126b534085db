package client

import (
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Handler serves the files by the last element of the path: under their plain names,
// with or without the underscore, to be revalidated after an hour, and under any name
// that has the hash of their content before its ending, such as "_pb.0a1b2c3d.js", to
// be kept for good. It is safe for concurrent use.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, immutable := lookUp(path.Base(r.URL.Path))
		if name == "" {
			http.NotFound(w, r)
			return
		}
		Serve(w, r, name, immutable)
	})
}

// Serve answers a request with one of the files, whatever the request's path is:
// immutable if that changes when the file does. It is compressed with Brotli or gzip,
// if the request accepts that. It panics if there is no such file.
func Serve(w http.ResponseWriter, r *http.Request, name string, immutable bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := get(name)
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	c, ok := negotiate(r.Header["Accept-Encoding"])
	if !ok {
		http.Error(w, "no coding is acceptable", http.StatusNotAcceptable)
		return
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", f.as[c].etag)
	// The script is the same for everyone, and pages of other origins load it
	// with crossorigin to check its integrity.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	if immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=3600")
	}
	if matches(r.Header["If-None-Match"], f.as[c].etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	if codings[c].name != "identity" {
		h.Set("Content-Encoding", codings[c].name)
	}
	// A part of a script is of no use, and one of a coding confuses whoever takes it
	// for one of the script: there are no ranges, as RFC 9110 lets a server decide.
	h.Set("Accept-Ranges", "none")
	h.Set("Content-Length", strconv.Itoa(len(f.as[c].body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(f.as[c].body) // of which there is nobody to tell
	}
}

// matches says whether the lines of If-None-Match name etag: by the weak comparison, as
// proxies that compress what is not make strong ones weak.
func matches(lines []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if tag = strings.Trim(tag, " \t"); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
