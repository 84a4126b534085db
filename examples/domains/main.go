// Domains has its collector at another address than its pages. Start it with go run
// ./examples/domains, open http://localhost:8080/, and close it.
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

const collector = "http://127.0.0.1:8081"

func main() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(show), Origins: []string{"http://localhost:8080"}})
	if err != nil {
		log.Fatal(err)
	}
	go serve("127.0.0.1:8081", h.Middleware(http.NotFoundHandler()))
	serve("localhost:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag := h.ScriptTag(client.Tag{Src: collector + h.ScriptURL(), Endpoint: collector + "/_pb"})
		fmt.Fprintf(w, "<!doctype html><title>Hello</title>%s<p>Close me.", tag)
	}))
}

func serve(addr string, h http.Handler) {
	server := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

func show(_ context.Context, events []beacon.Event) error {
	log.Printf("%d of %q, the first %q", len(events), events[0].Page, events[0].Name)
	return nil
}
