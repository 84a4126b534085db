package hosts

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	gingzip "github.com/gin-contrib/gzip"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/google/go-cmp/cmp"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

func gzipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inflating swaps the body of a request for what it inflates to, as a middleware
// of the host's does, and then changes the request as that one sees fit.
func inflating(change func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Content-Encoding") == "gzip" {
				z, err := gzip.NewReader(r.Body)
				if err != nil {
					http.Error(w, "not gzip", http.StatusBadRequest)
					return
				}
				r.Body = z
				change(r)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestDecompressionOutside: the length that a request declares is that of the
// compressed body, or what somebody made of it. The body ends where it ends.
func TestDecompressionOutside(t *testing.T) {
	// 21 fields, much longer than compressed; and one, shorter than compressed.
	var many beacon.Form
	for range 20 {
		many = append(many, beacon.Field{Name: "k", Value: "aaaaaaaaaaaaaaaa"})
	}
	many = append(many, beacon.Field{Name: "last", Value: "1"})
	bodies := []struct {
		name, contentType string
		plain             []byte
		want              beacon.Body
	}{
		{"21 fields", "application/x-www-form-urlencoded", []byte(beacontest.URLEncoded(many)), many},
		{"21 parts", "multipart/form-data; boundary=" + beacontest.Boundary, beacontest.FormData(many, beacontest.Boundary), many},
		{"short", "application/x-www-form-urlencoded", []byte("a=1"), beacon.Form{{Name: "a", Value: "1"}}},
		{"JSON", "application/json", jsonBody, jsonBody},
		{"50 KB", "application/x-thing", everyByte(200), beacon.Binary{Type: "application/x-thing", Data: everyByte(200)}},
	}
	wrong := func(n int64) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Content-Encoding")
			r.ContentLength = n
		}
	}
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
		sent bool // what next gets to read is what was sent
	}{
		{name: "none: the handler inflates", wrap: func(next http.Handler) http.Handler { return next }, sent: true},
		{name: "leaves both headers", wrap: inflating(func(*http.Request) {})},
		{name: "deletes Content-Encoding", wrap: inflating(func(r *http.Request) { r.Header.Del("Content-Encoding") })},
		{name: "deletes both, length unknown", wrap: inflating(func(r *http.Request) {
			r.Header.Del("Content-Encoding")
			r.Header.Del("Content-Length")
			r.ContentLength = -1
		})},
		{name: "length 0", wrap: inflating(wrong(0))},
		{name: "length too small", wrap: inflating(wrong(1))},
		{name: "length too large", wrap: inflating(wrong(1 << 19))},
		{name: "echo.Decompress", wrap: func(next http.Handler) http.Handler { return inEcho(next, echomiddleware.Decompress()) }},
		{name: "gin-contrib/gzip", wrap: func(next http.Handler) http.Handler {
			return inGin(next, gingzip.Gzip(gzip.DefaultCompression, gingzip.WithDecompressFn(gingzip.DefaultDecompressHandle)))
		}},
	} {
		for _, w := range ways {
			t.Run(tt.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				for _, b := range bodies {
					for framing, withLength := range map[string]bool{"length": true, "chunked": false} {
						t.Run(b.name+"/"+framing, func(t *testing.T) {
							h := newHost(t)
							s := serve(t, tt.wrap(w.mount(h)))
							r := s.raw(t, b.contentType, gzipped(t, b.plain), withLength)
							r.Header.Set("Content-Encoding", "gzip")
							s.expect(t, r, w.taken(), "")
							want := []arrival{{Method: "POST", Origin: s.origin, Body: b.want}}
							if diff := cmp.Diff(want, arrivals(h), sameBytes); diff != "" {
								t.Errorf("events (-want +got):\n%s", diff)
							}
							checkStats(t, h, counts{Delivered: 1, Events: 1})
							if reread := h.bodiesReread(); w.captured && !tt.sent && !slices.Equal(reread, []string{string(b.plain)}) {
								t.Errorf("next read %.80q, want the %d bytes inflated", reread, len(b.plain))
							}
						})
					}
				}
			})
		}
	}
}

// TestInflatedTooLarge: what a middleware inflates is a body like any other, and
// Config.MaxBody bounds it, whatever its length was on the wire.
func TestInflatedTooLarge(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t, func(c *beacon.Config) { c.MaxBody = 1 << 10 })
			s := serve(t, inflating(func(r *http.Request) { r.Header.Del("Content-Encoding") })(w.mount(h)))
			r := s.raw(t, "text/plain", gzipped(t, bytes.Repeat([]byte("a"), 1<<10+1)), true)
			r.Header.Set("Content-Encoding", "gzip")
			s.expect(t, r, http.StatusRequestEntityTooLarge, beacon.ReasonBodyTooLarge)
		})
	}
}

// TestInflatingBroken: a compressed stream that ends too early is an error of the
// reader, and the events in its first half are not the beacon.
func TestInflatingBroken(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, inflating(func(r *http.Request) { r.Header.Del("Content-Encoding") })(w.mount(h)))
			whole := gzipped(t, everyByte(4))
			r := s.raw(t, "text/plain", whole[:len(whole)-9], true)
			r.Header.Set("Content-Encoding", "gzip")
			s.expect(t, r, http.StatusBadRequest, beacon.ReasonBodyBroken)
			checkStats(t, h, counts{Refused: map[string]uint64{beacon.ReasonBodyBroken: 1}})
		})
	}
}

// bodyAlreadyRead is the reason of a refusal that tells the host of its own mistake:
// somebody took the body before the handler could.
const bodyAlreadyRead = "body-already-read"

// before calls f with each request, and then next.
func before(f func(r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f(r)
			next.ServeHTTP(w, r)
		})
	}
}

// TestBodyReadBefore: a body that somebody outside has taken is never answered
// with the 204 of an empty one, and what they asked for in vain is still there.
func TestBodyReadBefore(t *testing.T) {
	const urlencoded = "application/x-www-form-urlencoded;charset=UTF-8"
	form := beacon.Form{{Name: "msg", Value: "hi"}, {Name: "n", Value: "1"}}
	type body struct {
		name, contentType string
		data              []byte
		want              beacon.Body
	}
	bodies := []body{
		{"urlencoded", urlencoded, []byte(beacontest.URLEncoded(form)), form},
		{"urlencoded, empty", urlencoded, nil, beacon.Form{}},
		{"multipart", "multipart/form-data; boundary=" + beacontest.Boundary, beacontest.FormData(form, beacontest.Boundary), form},
		{"multipart of a file", "multipart/form-data; boundary=" + beacontest.Boundary, beacontest.FormData(fileForm, beacontest.Boundary), fileForm},
		{"text", "text/plain;charset=UTF-8", []byte("msg=hi"), beacon.Text("msg=hi")},
		{"JSON", "application/json", jsonBody, jsonBody},
		{"no type", "", everyByte(1), beacon.Binary{Data: everyByte(1)}},
		{"empty", "", nil, beacon.Empty{}},
	}
	forms := []string{"urlencoded", "multipart", "multipart of a file"}
	for _, tt := range []struct {
		name  string
		first func(*http.Request)
		reads []string // bodies that it takes, and does not put back
	}{
		{"ParseForm", func(r *http.Request) { _ = r.ParseForm() }, forms[:1]},
		{"ParseMultipartForm", func(r *http.Request) { _ = r.ParseMultipartForm(1 << 20) }, forms},
		{"FormValue", func(r *http.Request) { r.FormValue("csrf_token") }, forms},
		{"PostFormValue", func(r *http.Request) { r.PostFormValue("csrf_token") }, forms},
	} {
		for _, b := range bodies {
			for framing, withLength := range map[string]bool{"length": true, "chunked": false} {
				for _, w := range ways {
					t.Run(tt.name+"/"+b.name+"/"+framing+"/"+w.name, func(t *testing.T) {
						t.Parallel()
						h := newHost(t)
						s := serve(t, before(tt.first)(w.mount(h)))
						r := s.raw(t, b.contentType, b.data, withLength)
						if slices.Contains(tt.reads, b.name) {
							s.expect(t, r, http.StatusInternalServerError, bodyAlreadyRead)
							checkStats(t, h, counts{Failed: 1})
							if diff := cmp.Diff([]string{bodyAlreadyRead}, h.refusals()); diff != "" {
								t.Errorf("reasons that OnRefused got (-want +got):\n%s", diff)
							}
							return
						}
						s.expect(t, r, w.taken(), "")
						want := []arrival{{Method: "POST", Origin: s.origin, Body: b.want}}
						if diff := cmp.Diff(want, arrivals(h), sameBytes); diff != "" {
							t.Errorf("events (-want +got):\n%s", diff)
						}
					})
				}
			}
		}
	}
}

// TestPixelAfterParseForm: a GET has nothing that could be read before.
func TestPixelAfterParseForm(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t)
			s := serve(t, before(func(r *http.Request) { r.FormValue("csrf_token") })(w.mount(h)))
			visit{w, s, h}.pixel(t)
			checkStats(t, h, counts{Delivered: 1, Events: 1})
		})
	}
}

// TestBodyDrained: the same for those who read a body by hand, and keep it.
func TestBodyDrained(t *testing.T) {
	drain := func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	for _, tt := range []struct {
		name  string
		first func(*http.Request)
	}{
		{"read", drain},
		{"read and closed", func(r *http.Request) { drain(r); r.Body.Close() }},
		{"closed", func(r *http.Request) { r.Body.Close() }},
	} {
		for _, body := range []beacon.Body{loadForm, jsonBody, beacon.Text("hi"), beacon.Binary{Data: everyByte(1)}} {
			for _, w := range ways {
				t.Run(tt.name+"/"+body.Kind()+"/"+w.name, func(t *testing.T) {
					t.Parallel()
					h := newHost(t)
					s := serve(t, before(tt.first)(w.mount(h)))
					s.expect(t, s.request(t, body), http.StatusInternalServerError, bodyAlreadyRead)
					checkStats(t, h, counts{Failed: 1})
				})
			}
		}
	}
}

// TestLimitOutside: a limit of the host's own that is smaller is a refusal like
// that of Config.MaxBody, with the same reason, and told to OnRefused.
func TestLimitOutside(t *testing.T) {
	const limit = 1 << 10
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"MaxBytesHandler", func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, limit) }},
		{"chi/RequestSize", chimiddleware.RequestSize(limit)},
		{"MaxBytesHandler, TimeoutHandler", func(next http.Handler) http.Handler {
			return http.MaxBytesHandler(http.TimeoutHandler(next, time.Minute, "too late"), limit)
		}},
	} {
		for _, w := range ways {
			for framing, withLength := range map[string]bool{"length": true, "chunked": false} {
				t.Run(tt.name+"/"+w.name+"/"+framing, func(t *testing.T) {
					t.Parallel()
					h := newHost(t)
					s := serve(t, tt.wrap(w.mount(h)))
					s.expect(t, s.raw(t, "text/plain", make([]byte, limit), withLength), w.taken(), "")
					r := s.raw(t, "text/plain", make([]byte, 20*limit), withLength)
					s.expect(t, r, http.StatusRequestEntityTooLarge, beacon.ReasonBodyTooLarge)
					if diff := cmp.Diff([]string{beacon.ReasonBodyTooLarge}, h.refusals()); diff != "" {
						t.Errorf("reasons that OnRefused got (-want +got):\n%s", diff)
					}
					checkStats(t, h, counts{Delivered: 1, Events: 1, Refused: map[string]uint64{beacon.ReasonBodyTooLarge: 1}})
				})
			}
		}
	}
}
