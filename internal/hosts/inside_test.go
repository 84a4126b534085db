package hosts

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
)

// TestInside: what an application can do with its requests and its writer is the
// same behind the handler's Middleware, on paths of its own, and behind Capture.
func TestInside(t *testing.T) {
	form := beacon.Form{{Name: "msg", Value: "hi"}, {Name: "f", File: &beacon.File{Name: "x.bin", Type: "a/b", Data: everyByte(80)}}}
	for _, tt := range []struct {
		name   string
		body   beacon.Body
		app    http.HandlerFunc
		change func(*http.Request)
		status int
		want   string // of the answer's body
	}{
		{
			name: "hijack",
			app: func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 299 Mine\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine")
			},
			status: 299, want: "mine",
		},
		{
			name: "interfaces of the writer",
			app: func(w http.ResponseWriter, r *http.Request) {
				_, flusher := w.(http.Flusher)
				_, hijacker := w.(http.Hijacker)
				_, readerFrom := w.(io.ReaderFrom)
				if !flusher || !hijacker || !readerFrom {
					http.Error(w, "wrapped", http.StatusInternalServerError)
				}
			},
			status: http.StatusOK,
		},
		{
			name: "ResponseController",
			app: func(w http.ResponseWriter, r *http.Request) {
				c := http.NewResponseController(w)
				later := time.Now().Add(time.Minute)
				if err := errors.Join(c.SetReadDeadline(later), c.SetWriteDeadline(later), c.EnableFullDuplex(), c.Flush()); err != nil {
					_, _ = io.WriteString(w, err.Error())
				}
			},
			status: http.StatusOK,
		},
		{
			name: "ServeContent",
			app: func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("0123456789"))
			},
			change: func(r *http.Request) { r.Header.Set("Range", "bytes=2-4") },
			status: http.StatusPartialContent, want: "234",
		},
		{
			name: "FormValue and FormFile", body: form,
			app: func(w http.ResponseWriter, r *http.Request) {
				f, header, err := r.FormFile("f")
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				defer f.Close()
				_, _ = io.WriteString(w, r.FormValue("msg")+header.Filename)
				_, _ = io.Copy(w, f)
			},
			status: http.StatusOK, want: "hix.bin" + string(everyByte(80)),
		},
		{
			name: "JSON", body: beacon.JSON(`{"a":[1,2]}`),
			app: func(w http.ResponseWriter, r *http.Request) {
				var v struct{ A []int }
				if err := json.NewDecoder(r.Body).Decode(&v); err != nil || len(v.A) != 2 {
					http.Error(w, "not decoded", http.StatusInternalServerError)
				}
			},
			status: http.StatusOK,
		},
		{
			name: "a smaller limit", body: beacon.Text("0123456789"),
			app: func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 9))
				if _, ok := errors.AsType[*http.MaxBytesError](err); !ok {
					http.Error(w, "no limit", http.StatusInternalServerError)
				}
			},
			status: http.StatusOK,
		},
		{
			name: "length", body: beacon.Text("0123456789"),
			app: func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.ContentLength != int64(len(body)) {
					http.Error(w, "length and body differ", http.StatusInternalServerError)
				}
			},
			status: http.StatusOK,
		},
		{
			name: "does not read", body: form,
			app:    func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "done") },
			status: http.StatusOK, want: "done",
		},
		{
			name: "redirect", body: form,
			app: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
			},
			status: http.StatusSeeOther,
		},
	} {
		if tt.body == nil {
			tt.body = beacon.Text("hi")
		}
		for name, v := range map[string]struct {
			path  string
			mount func(*host) http.Handler
			want  counts
		}{
			"middleware": {"/route", func(h *host) http.Handler { return h.Middleware(tt.app) }, counts{}},
			"capture":    {endpoint, func(h *host) http.Handler { return h.Capture(tt.app) }, counts{Delivered: 1, Events: 1}},
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				s := serve(t, v.mount(h)).at(v.path)
				r := s.request(t, tt.body)
				if tt.change != nil {
					tt.change(r)
				}
				if a := s.expect(t, r, tt.status, ""); a.body != tt.want {
					t.Errorf("answer %.80q, want %.80q", a.body, tt.want)
				}
				checkStats(t, h, v.want)
			})
		}
	}
}

// TestStreamInside: what the application flushes is on its way before it ends.
func TestStreamInside(t *testing.T) {
	read := make(chan struct{}, 2)
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-read
		_, _ = io.WriteString(w, "second")
	})
	h := newHost(t)
	for path, app := range map[string]http.Handler{"/route": h.Middleware(stream), endpoint: h.Capture(stream)} {
		t.Run(path, func(t *testing.T) {
			s := serve(t, app).at(path)
			res, err := s.client.Do(s.request(t, jsonBody))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			first := make([]byte, len("first"))
			_, err = io.ReadFull(res.Body, first)
			read <- struct{}{}
			rest, restErr := io.ReadAll(res.Body)
			if err := errors.Join(err, restErr); err != nil || string(first) != "first" || string(rest) != "second" {
				t.Errorf("read %q, %q, %v", first, rest, err)
			}
		})
	}
}

// TestProxyInside: a next that hands the request on, as httputil.ReverseProxy does,
// sends the body on as it was, and as long as it says it is: also where a
// middleware has inflated it and left the length alone.
func TestProxyInside(t *testing.T) {
	var got []byte
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if got, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	target, err := url.Parse(backend.origin)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: backend.client.Transport,
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
	}
	plain := bytes.Repeat([]byte("0123456789"), 100)
	for _, tt := range []struct {
		name       string
		wrap       func(http.Handler) http.Handler
		body       []byte
		coding     string
		withLength bool
	}{
		{"plain", func(next http.Handler) http.Handler { return next }, plain, "", true},
		{"chunked", func(next http.Handler) http.Handler { return next }, plain, "", false},
		{"empty", func(next http.Handler) http.Handler { return next }, []byte{}, "", true},
		{"inflated outside", inflating(func(r *http.Request) { r.Header.Del("Content-Encoding") }), plain, "gzip", true},
		{"inflated outside, chunked", inflating(func(r *http.Request) { r.Header.Del("Content-Encoding") }), plain, "gzip", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got = nil
			h := newHost(t)
			s := serve(t, tt.wrap(h.Capture(proxy)))
			sent := tt.body
			if tt.coding == "gzip" {
				sent = gzipped(t, tt.body)
			}
			r := s.raw(t, "text/plain", sent, tt.withLength)
			if tt.coding != "" {
				r.Header.Set("Content-Encoding", tt.coding)
			}
			s.expect(t, r, http.StatusAccepted, "")
			if diff := cmp.Diff(tt.body, got, sameBytes); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNextPanics: a panic of the application is the application's. The events were
// taken before it, and nothing of the request stays with the handler.
func TestNextPanics(t *testing.T) {
	h := newHost(t)
	s := serve(t, h.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
	if res, err := s.client.Do(s.request(t, jsonBody)); err == nil {
		res.Body.Close()
		t.Errorf("answer %s, and the connection was to end", res.Status)
	}
	checkStats(t, h, counts{Delivered: 1, Events: 1})
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCaptureWithoutBody: a request that was made by hand may have no body at all.
func TestCaptureWithoutBody(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			h := newHost(t)
			r, err := http.NewRequestWithContext(t.Context(), method, endpoint, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Body != nil {
				t.Fatalf("Body = %v, want nil", r.Body)
			}
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			w := httptest.NewRecorder()
			h.Capture(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err = errors.Join(err, r.Body.Close()); err != nil || len(body) != 0 {
					t.Errorf("next read %q, %v", body, err)
				}
				w.WriteHeader(http.StatusAccepted)
			})).ServeHTTP(w, r)
			if w.Code != http.StatusAccepted {
				t.Errorf("answer %d, want %d", w.Code, http.StatusAccepted)
			}
			if diff := cmp.Diff([]arrival{{Method: method, Body: beacon.Empty{}}}, arrivals(h), sameBytes); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
