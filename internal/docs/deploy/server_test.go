package deploy

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// newServer has the bounds that the page says.
func newServer(mux http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second, // slow headers are nobody else's
		IdleTimeout:       time.Minute,     // a connection that does nothing takes its 22 KB
		MaxHeaderBytes:    64 << 10,        // net/http's own 1 MiB is for each connection
	}
	return srv
}

// TestServer: headers of 60 KB are taken, and of 100 KB not.
func TestServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	go srv.Serve(l)
	defer srv.Close()
	for size, status := range map[int]int{60 << 10: http.StatusNoContent, 100 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Large", strings.Repeat("x", size))
		resp, err := http.DefaultClient.Do(r)
		if err != nil && status != http.StatusNoContent {
			continue // the end of the connection came before the answer was read
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%d bytes: %s", size, resp.Status)
		}
	}
}
