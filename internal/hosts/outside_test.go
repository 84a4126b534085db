package hosts

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"testing"
	"time"

	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/pagebeacon/beacon"
)

// TestOutside makes a whole visit through each middleware that lets beacons pass,
// in each of the ways to mount.
func TestOutside(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"chi/Logger", chimiddleware.RequestLogger(&chimiddleware.DefaultLogFormatter{Logger: log.New(io.Discard, "", 0)})},
		{"chi/Recoverer", chimiddleware.Recoverer},
		{"chi/Compress", chimiddleware.Compress(5, "text/*", "image/*")},
		{"chi/Timeout", chimiddleware.Timeout(time.Minute)},
		{"chi/RequestSize", chimiddleware.RequestSize(1 << 20)},
		{"chi/StripSlashes", chimiddleware.StripSlashes},
		{"chi/Throttle", throttle},
		{"gzhttp", func(next http.Handler) http.Handler { return gzhttp.GzipHandler(next) }},
		{"otelhttp", otelhttp.NewMiddleware("host")},
		{"TimeoutHandler", func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "too late") }},
		{"MaxBytesHandler", func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 1<<20) }},
		{"AllowQuerySemicolons", http.AllowQuerySemicolons},
		{"status logger without Unwrap", withoutUnwrap},
		{"status logger with Unwrap", withUnwrap},
		{"body logger that puts it back", dumpBody},
		{"all of them", func(next http.Handler) http.Handler {
			return gzhttp.GzipHandler(throttle(http.TimeoutHandler(
				http.MaxBytesHandler(otelhttp.NewMiddleware("host")(withoutUnwrap(dumpBody(next))), 1<<20), time.Minute, "too late")))
		}},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				visit{w, serve(t, tt.wrap(w.mount(h))), h}.run(t)
			})
		}
	}
}

// throttle lets one request in at a time. The others wait: a client has its answer
// a little before its place is free.
var throttle = chimiddleware.ThrottleBacklog(1, 10, time.Minute)

// A statusLogger is the writer that most hosts have somewhere: it remembers the
// status, and hides all that the writer under it can do beyond the interface.
type statusLogger struct {
	http.ResponseWriter
	status int
}

func (w *statusLogger) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// An unwrappingLogger is the same as net/http asks for it since Go 1.20.
type unwrappingLogger struct{ statusLogger }

func (w *unwrappingLogger) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func withoutUnwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&statusLogger{ResponseWriter: w}, r)
	})
}

func withUnwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&unwrappingLogger{statusLogger{ResponseWriter: w}}, r)
	})
}

// dumpBody reads the body, as for a log, and gives the next one a copy.
func dumpBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "dump: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// TestStripSlashes: a page that says "/collect/" finds the endpoint all the same.
func TestStripSlashes(t *testing.T) {
	h := newHost(t)
	s := serve(t, chimiddleware.StripSlashes(h.Middleware(app))).at(endpoint + "/")
	s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
	checkStats(t, h, counts{Delivered: 1, Events: 1})
}

// TestStripPrefix: under a prefix, Config.Path and Config.ScriptPath are what is
// left of the path, and pages use all of it.
func TestStripPrefix(t *testing.T) {
	h := newHost(t, func(c *beacon.Config) { c.ScriptPath = "/collect.js" })
	s := serve(t, http.StripPrefix("/app", h.Middleware(app)))
	for path, want := range map[string]int{
		"/app/collect.js":      http.StatusOK,
		"/app" + h.ScriptURL(): http.StatusOK,
		"/app/":                http.StatusTeapot,
		"/app/collect/":        http.StatusTeapot,
		"/app":                 http.StatusTeapot, // nothing is left of the path
		"/collect.js":          http.StatusNotFound,
	} {
		t.Run(path, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.expect(t, r, want, "")
		})
	}
}

// TestQuerySemicolons: a semicolon is a part of the value (URL §5.1), unless the
// host says that it separates.
func TestQuerySemicolons(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
		want beacon.Form
	}{
		{"plain", func(next http.Handler) http.Handler { return next }, beacon.Form{{Name: "a", Value: "1;b=2"}}},
		{"AllowQuerySemicolons", http.AllowQuerySemicolons, beacon.Form{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, tt.wrap(h))
			checkGIF(t, s.expect(t, s.pixelRequest(t, "a=1;b=2"), http.StatusOK, ""))
			want := []arrival{{Method: "GET", Query: tt.want, Body: beacon.Empty{}}}
			if diff := cmp.Diff(want, arrivals(h), sameBytes); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
