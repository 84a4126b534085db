package main

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var static embed.FS

// policy lets the pages have what they need, which is nothing but this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// reportPolicy forbids nothing else. Violations of it go to the beacon endpoint, so
// that a page can cause a report. The sample makes each report a different one:
// Chromium does not send the same one twice.
const reportPolicy = "style-src-attr 'report-sample'; report-uri /log-tracking?kind=report"

// The Reporting API takes https endpoints only, and browsers that know report-to
// ignore report-uri beside it: over plain http they would report to nobody.
const (
	reportTo           = "; report-to beacons"
	reportingEndpoints = `beacons="/log-tracking?kind=report"`
)

// addPages serves the pages and what they are made of.
func addPages(mux *http.ServeMux) {
	names := map[string]string{"/{$}": "index.html", "/second": "second.html", "/left": "left.html"}
	for _, pattern := range []string{"static/*.js", "static/*.css", "static/*.svg"} {
		files, _ := fs.Glob(static, pattern) // the patterns are well formed
		for _, file := range files {
			names[strings.TrimPrefix(file, "static")] = path.Base(file)
		}
	}
	for pattern, name := range names {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			if r.TLS == nil {
				h.Set("Content-Security-Policy-Report-Only", reportPolicy)
			} else {
				h.Set("Content-Security-Policy-Report-Only", reportPolicy+reportTo)
				h.Set("Reporting-Endpoints", reportingEndpoints)
			}
			h.Set("Referrer-Policy", "same-origin")
			h.Set("X-Content-Type-Options", "nosniff")
			// Not no-store, which would keep the page out of the back/forward cache.
			h.Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, static, "static/"+name)
		})
	}
}
