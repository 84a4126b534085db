package beaconprom_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/spool"
)

// A handler and its spool, at /metrics on an address that is not public.
func Example() {
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

	metrics, err := beaconprom.New(beaconprom.Options{
		Handlers: map[string]*beacon.Handler{"": h},
		Spools:   map[string]*spool.Spool{"": events},
	})
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(metrics)
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/", nil))

	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "beacon_spool_stored") || strings.Contains(line, `reason="method"`) || strings.Contains(line, `le="64"`) {
			fmt.Println(line)
		}
	}
	// Output:
	// beacon_body_size_bytes_bucket{name="",le="64"} 1
	// beacon_refused_requests_total{name="",reason="method"} 1
	// beacon_spool_stored_events_total{name=""} 1
}

// A log of the host's own, with the numbers that a connector has.
type ownLog struct{}

func (ownLog) Stats() connect.SinkStats { return connect.SinkStats{Events: 3} }

type ownConsumer struct{}

func (ownConsumer) Stats() connect.ConsumerStats { return connect.ConsumerStats{Received: 3, Lag: 1} }

// The two ends of a log, also one of the host's own.
func ExampleOptions_log() {
	metrics, err := beaconprom.New(beaconprom.Options{
		LogSinks:  map[string]beaconprom.LogSink{"": ownLog{}},
		Consumers: map[string]beaconprom.Consumer{"": ownConsumer{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "beacon_consumer_lag") || strings.HasPrefix(line, "beacon_log_events") {
			fmt.Println(line)
		}
	}
	// Output:
	// beacon_consumer_lag_messages{name=""} 1
	// beacon_log_events_total{name=""} 3
}
