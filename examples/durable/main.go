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

// openSpool opens the spool. In a deployment the old process may still be at work in the
// directory when the new one starts: it is given time to come to its end.
func openSpool(ctx context.Context, dir string, wait time.Duration) (*spool.Spool, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for told := false; ; told = true {
		events, err := spool.Open(dir, beacon.SinkFunc(store), spool.Options{Logger: slog.Default()})
		if !errors.Is(err, spool.ErrLocked) {
			return events, err
		}
		if !told {
			log.Printf("Another process has %s: waiting up to %v for it to end", dir, wait)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	data := flag.String("data", "beacons", "`directory` of the spool")
	wait := flag.Duration("wait", time.Minute, "how long to wait for a process that still has the directory")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	events, err := openSpool(ctx, *data, *wait)
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
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}

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
