// Minimal is beacons in, log lines out. Start it with go run ./examples/minimal, and send it
// curl -F msg=bye -F start=1700000000000 -F end=1700000012340 127.0.0.1:8080/log-tracking
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
)

type tracking struct {
	Msg string `schema:"msg" json:"msg"`
}

func main() {
	h, err := beacon.New(beacon.Config{
		Sink: beacon.On(func(_ context.Context, e beacon.Event, t tracking) error {
			session, err := beacon.SessionOf(e)
			log.Printf("%q on %q, in session for %v (%v)", t.Msg, e.Page, session, err)
			return nil // an error here is a 503, and the beacon is not lost silently
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h)
	server := &http.Server{
		Addr:              "127.0.0.1:8080",
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	log.Fatal(server.ListenAndServe())
}
