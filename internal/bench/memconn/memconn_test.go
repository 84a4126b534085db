package memconn_test

import (
	"cmp"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/internal/bench/memconn"
)

// TestClient: each request is served once, over connections that stay open and over such
// as do not, and an answer that was not expected is told.
func TestClient(t *testing.T) {
	small := []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	large := []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + strings.Repeat("x", 400_000))
	for name, c := range map[string]struct {
		request []byte
		handle  func(w http.ResponseWriter, r *http.Request)
		conns   int // for 1 + 3 + 200 requests; 0 is one for each
	}{
		"read":   {small, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, 1},
		"unread": {small, func(http.ResponseWriter, *http.Request) {}, 1},
		"large":  {large, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, 1},
		"closed": {small, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Connection", "close")
		}, 0},
		"too large": {large, func(http.ResponseWriter, *http.Request) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			served, conns := 0, map[string]bool{}
			client := memconn.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served++
				conns[r.RemoteAddr] = true
				c.handle(w, r)
				w.WriteHeader(http.StatusNoContent)
			}), c.request, http.StatusNoContent)
			defer client.Close()
			for _, n := range []int{1, 3, 0, 200} {
				served = 0
				if err := client.Do(n); err != nil || served != n {
					t.Fatalf("%d of %d: %v", served, n, err)
				}
			}
			if want := cmp.Or(c.conns, 204); len(conns) != want {
				t.Errorf("%d connections, want %d", len(conns), want)
			}
		})
	}
	client := memconn.New(http.NotFoundHandler(), small, http.StatusNoContent)
	defer client.Close()
	if err := client.Do(3); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}
