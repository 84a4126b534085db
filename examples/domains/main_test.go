package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestDomains: the page has its script, and sends its beacons, elsewhere, which takes them
// from this page and from no other.
func TestDomains(t *testing.T) {
	p := example.Start(t, ".")
	pages, collector := p.URLs[0], p.URLs[1]
	page := p.Open(pages + "/")
	if page.Endpoint != collector+"/_pb" {
		t.Error(page.Endpoint)
	}
	page.Close("me", 12340*time.Millisecond, 10*time.Second)
	p.Says(`1 of "` + pages + `/", the first "session"`)
	for origin, want := range map[string]int{pages: http.StatusNoContent, "http://other.example": http.StatusForbidden} {
		for _, method := range []string{"POST", "OPTIONS"} {
			r, err := http.NewRequest(method, page.Endpoint, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if allowed := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != want || (allowed == pages) != (origin == pages) {
				t.Errorf("%s of %s: %s, %q is allowed", method, origin, res.Status, allowed)
			}
		}
	}
}
