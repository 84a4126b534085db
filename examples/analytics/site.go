package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"html/template"
	"net/http"

	"github.com/pagebeacon/beacon/live"
)

//go:embed static
var static embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"length": length, "seconds": seconds}).ParseFS(static, "static/*.html"))

// policy lets the pages have what they need, which is nothing but this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages are what there is to read.
var pages = []struct{ Path, Name, Text string }{
	{"/", "The teahouse", "home"},
	{"/green", "Green tea", "green"},
	{"/black", "Black tea", "black"},
	{"/brewing", "Brewing", "brewing"},
}

// routes serves the site, the answer and, behind a login, what is happening now. The
// middleware has the endpoint of the beacons and the client's script.
func routes(a analytics, now *live.Live, password string) http.Handler {
	mux := http.NewServeMux()
	for _, p := range pages {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			show(w, p.Text, map[string]any{"Title": p.Name, "Path": p.Path, "Pages": pages, "Tag": a.tag()})
		})
	}
	s := &statistics{analytics: a}
	mux.HandleFunc("GET /stats", s.serve)
	mux.HandleFunc("GET /stats/part", s.servePart)
	mux.Handle("/live/", login(password, now))
	for _, name := range []string{"style.css", "stats.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			http.ServeFileFS(w, r, static, "static/"+name)
		})
	}
	return a.beacons.Middleware(mux)
}

// show writes a page.
func show(w http.ResponseWriter, name string, data any) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-store, which would keep the page out of the back/forward cache.
	h.Set("Cache-Control", "private, no-cache")
	if err := templates.ExecuteTemplate(w, name, data); err != nil {
		panic(http.ErrAbortHandler) // half a page is none
	}
}

const user = "admin"

// login stands for the host's own: /live/ shows what visitors send.
func login(password string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(user + ":" + password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, given, _ := r.BasicAuth()
		if got := sha256.Sum256([]byte(name + ":" + given)); subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="live", charset="UTF-8"`)
			http.Error(w, "what is happening now is for those who know the password that the program printed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
