// Durable is a host that loses nothing: what it has answered 204 is on disk before
// that, reaches the store however long that is away, and SIGTERM is an orderly end.
//
//	go run ./examples/durable
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// store stands for a database. While it returns errors, the spool keeps the events
// and tries again; it may get an event twice, with the same ID.
func store(_ context.Context, events []beacon.Event) error {
	return json.NewEncoder(os.Stdout).Encode(events)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	data := flag.String("data", "beacons", "`directory` of the spool")
	flag.Parse()

	events, err := spool.Open(*data, beacon.SinkFunc(store), spool.Options{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events, Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h)
	mux.Handle("GET /ready", h.Ready()) // for the load balancer
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "Listening on http://%s/\n", ln.Addr())
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()

	<-ctx.Done()
	stop() // the next signal ends the program at once
	deadline, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(
		srv.Shutdown(deadline), // no new connections; the requests in progress come to their end
		h.Shutdown(deadline),   // from here on the sink gets nothing more
		events.Close(deadline), // delivers what the store takes, and leaves the rest for the next start
	); err != nil {
		log.Fatal(err)
	}
}
