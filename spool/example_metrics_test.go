package spool_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// The numbers of a handler and of its spool, for expvar's /debug/vars. For Prometheus there
// is connect/prometheus.
func Example_metrics() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	events, err := spool.Open(dir, store, spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close(context.Background())
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}

	expvar.Publish("beacon", expvar.Func(func() any { return h.Stats() }))
	expvar.Publish("beacon_spool", expvar.Func(func() any { return events.Stats() }))

	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/", nil))

	w := httptest.NewRecorder()
	expvar.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/debug/vars", nil))
	var vars struct {
		Beacon struct {
			Delivered int
			Refused   map[string]int
			BodyBytes beacon.Histogram `json:"body_bytes"`
		}
		Spool struct{ Stored int } `json:"beacon_spool"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &vars); err != nil {
		log.Fatal(err)
	}
	fmt.Println("delivered:", vars.Beacon.Delivered, "refused:", vars.Beacon.Refused)
	fmt.Println("in bodies of:", vars.Beacon.BodyBytes.Sum, "bytes")
	fmt.Println("stored:", vars.Spool.Stored)
	// Output:
	// delivered: 1 refused: map[method:1]
	// in bodies of: 3 bytes
	// stored: 1
}
