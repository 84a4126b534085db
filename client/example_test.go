package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pagebeacon/beacon/client"
)

// A page that waits for consent, and has a strict Content-Security-Policy. A Handler fills
// in Src and Endpoint by itself: this is for pages that are written without one.
func ExampleTag() {
	fmt.Println(client.ScriptTag(client.Tag{
		Src:      "https://collect.example.com/_pb.js",
		Endpoint: "https://collect.example.com/_pb",
		Nonce:    "R4nd0m",
		Consent:  "required",
	}))
	// Output: <script src="https://collect.example.com/_pb.js" nonce="R4nd0m" data-endpoint="https://collect.example.com/_pb" data-consent="required" async></script>
}

// A host that serves the script among its own assets. Under the name with the hash browsers
// keep it for good.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/assets/", client.Handler())

	for _, name := range []string{client.Hashed(client.Script), client.Script} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/assets/"+name, nil))
		fmt.Println(w.Code, w.Header().Get("Cache-Control"))
	}
	// Output:
	// 200 public, max-age=31536000, immutable
	// 200 public, max-age=3600
}
