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
// if the request accepts that, unless a middleware has said in the response's headers that
// it does so itself. It panics if there is no such file.
func Serve(w http.ResponseWriter, r *http.Request, name string, immutable bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := get(name)
	h := w.Header()
	coding, ok := plain, true
	// What stands outside and compresses does so, in part, to what is compressed as
	// well, and then tells nobody. Its headers are all that it shows of itself.
	varies := strings.Contains(strings.ToLower(strings.Join(h["Vary"], ",")), "accept-encoding")
	outside := varies || h.Get("Content-Encoding") != ""
	if !varies {
		h.Add("Vary", "Accept-Encoding")
	}
	if !outside {
		coding, ok = negotiate(r.Header["Accept-Encoding"])
	}
	if !ok {
		http.Error(w, "no coding is acceptable", http.StatusNotAcceptable)
		return
	}
	body, etag := f.as[coding].body, f.as[coding].etag
	if outside {
		etag = "W/" + etag // of all that may be made of it
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", etag)
	// The script is the same for everyone, and pages of other origins load it
	// with crossorigin to check its integrity.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	if immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=3600")
	}
	if matches(r.Header["If-None-Match"], etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	// A part of a script is of no use, and one of a coding confuses whoever takes it
	// for one of the script: there are no ranges, as RFC 9110 lets a server decide.
	h.Set("Accept-Ranges", "none")
	if !outside {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if coding != plain {
		h.Set("Content-Encoding", codings[coding].name)
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // of which there is nobody to tell
	}
}

// matches says whether the lines of If-None-Match name etag: by the weak comparison, as
// proxies that compress what is not make strong ones weak.
func matches(lines []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if tag = strings.Trim(tag, " \t"); tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
