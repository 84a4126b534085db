package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// The store is away when a beacon comes in, and still when the program ends. The
// next start delivers it.
func Example() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	away := beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		return errors.New("connection refused")
	})
	events, err := spool.Open(dir, away, spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/", beacon.Text("bye")))
	fmt.Println("answer:", w.Code)
	if err := events.Close(context.Background()); err != nil {
		log.Fatal(err)
	}

	store := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		fmt.Println("stored:", events[0].Body)
		return nil
	})
	events, err = spool.Open(dir, store, spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := events.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// answer: 204
	// stored: bye
}

// What a host does when it is told to end. See examples/durable for the whole program.
func ExampleSpool_Close() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		fmt.Println("stored:", events[0].Body)
		return nil
	})
	events, err := spool.Open(dir, store, spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(h)
	res, err := http.Post(srv.URL, "text/plain", http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	_ = res.Body.Close()

	deadline, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = errors.Join(
		srv.Config.Shutdown(deadline), // no new connections; the requests in progress come to their end
		h.Shutdown(deadline),          // from here on the sink gets nothing more
		events.Close(deadline),        // delivers what the store takes, and leaves the rest for the next start
	)
	fmt.Println("ended:", err)
	// Output:
	// stored: {}
	// ended: <nil>
}
