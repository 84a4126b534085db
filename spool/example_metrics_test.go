package spool_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// The numbers of a handler and of its spool, for expvar's /debug/vars and as Prometheus
// reads them.
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
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		writeMetrics(w, "beacon", h.Stats())
		writeMetrics(w, "beacon_spool", events.Stats())
	})

	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/", nil))
	w := httptest.NewRecorder()
	metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "beacon_delivered") || strings.HasPrefix(line, "beacon_refused") || strings.HasPrefix(line, "beacon_spool_stored") {
			fmt.Print(line)
		}
	}
	// Output:
	// beacon_delivered 1
	// beacon_refused{reason="method"} 1
	// beacon_spool_stored 1
}

// writeMetrics writes the numbers of a Stats, under their names in JSON.
func writeMetrics(w io.Writer, prefix string, stats any) {
	text, err := json.Marshal(stats)
	if err != nil {
		panic(err) // a Stats has nothing that JSON has not
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		panic(err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch v := values[name].(type) {
		case float64:
			fmt.Fprintf(w, "%s_%s %g\n", prefix, name, v)
		case bool:
			fmt.Fprintf(w, "%s_%s %d\n", prefix, name, map[bool]int{true: 1}[v])
		case map[string]any: // Refused, by reason
			for _, reason := range slices.Sorted(maps.Keys(v)) {
				fmt.Fprintf(w, "%s_%s{reason=%q} %g\n", prefix, name, reason, v[reason])
			}
		}
	}
}
