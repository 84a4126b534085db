// A host outside the tree, with metrics of its handler and spool.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/spool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	events, err := spool.Open("beacons", beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	metrics, err := beaconprom.New(beaconprom.Options{
		Handlers: map[string]*beacon.Handler{"": h},
		Spools:   map[string]*spool.Spool{"": events},
	})
	if err != nil {
		log.Fatal(err)
	}
	prometheus.MustRegister(metrics)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	mux.Handle("/_pb", h)
	server := &http.Server{Addr: "localhost:0", Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}
