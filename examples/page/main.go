// Page is a page with the tag, and says how long you were there. Start it with
// go run ./examples/page, open http://localhost:8080/, stay a while, and close the tab.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

func main() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(show)})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>Hello</title>%s<p>Close me.", h.ScriptTag(client.Tag{}))
	})
	server := &http.Server{Addr: "localhost:8080", Handler: h.Middleware(mux),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

func show(_ context.Context, events []beacon.Event) error {
	for _, e := range events {
		if v, ok := beacon.PageViewOf(e); ok {
			log.Printf("%q: here for %v, engaged for %v", v.Page, v.End.Sub(v.Start), v.Engaged)
		}
	}
	return nil // an error is answered 503, and the browser sends it again
}
