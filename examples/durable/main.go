// Durable answers 204 when its disk has the event, and ends in order. Start it with go run
// ./examples/durable, send it curl -d hi localhost:8080, and end it as you like.
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

func main() {
	store := sink.Log(slog.Default().Handler(), slog.LevelInfo) // stands for a database
	events, err := spool.Open("beacons", store, spool.Options{LockWait: time.Minute, Logger: slog.Default()})
	check(err)
	h, err := beacon.New(beacon.Config{Sink: events})
	check(err)
	server := &http.Server{Addr: "localhost:8080", Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	go func() { check(server.ListenAndServe()) }()
	<-ctx.Done()
	stop() // the next signal ends it at once
	deadline, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	check(errors.Join(server.Shutdown(deadline), h.Shutdown(deadline), events.Close(deadline)))
}

func check(err error) {
	if err != nil && err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
