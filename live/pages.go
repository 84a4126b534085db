package live

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var static embed.FS

// policy lets the page have its own files, and its stream. Scripts can make no markup of
// text, where the browser knows Trusted Types.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "

// ServeHTTP answers for the page, its files and its stream. It goes by the last part of
// the path, so that it does not matter what the page is mounted at.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if l.opt.Frame {
		h.Set("Content-Security-Policy", policy+"'self'")
	} else {
		h.Set("Content-Security-Policy", policy+"'none'")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
		return
	}
	_, name := path.Split(r.URL.Path)
	own, _, _ := strings.Cut(r.RequestURI, "?")
	switch {
	case r.URL.Path == "" && own != "" && !strings.HasSuffix(own, "/"): // of StripPrefix: relative addresses need the slash
		h.Set("Location", "./"+path.Base(own)+"/")
		w.WriteHeader(http.StatusMovedPermanently)
	case name == "":
		http.ServeFileFS(w, r, static, "static/live.html")
	case name == "stream":
		if !ownSite(r) {
			http.Error(w, "for its own page only", http.StatusForbidden)
		} else if r.Method == http.MethodHead {
			h.Set("Content-Type", "text/event-stream")
		} else {
			l.serveStream(w, r)
		}
	default:
		if _, err := static.Open("static/" + name); err != nil {
			http.NotFound(w, r)
			return
		}
		http.ServeFileFS(w, r, static, "static/"+name)
	}
}

// ownSite says whether the page itself asks, as far as the browser tells. Another site
// could not read the answer, but it could take the place of a viewer.
func ownSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return false
}
