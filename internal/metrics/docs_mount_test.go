package metrics

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/spool"
)

// mountMetrics is what docs/operations.md shows.
func mountMetrics(mux *http.ServeMux, h *beacon.Handler, events *spool.Spool) {
	metrics, err := beaconprom.New(beaconprom.Options{
		Handlers: map[string]*beacon.Handler{"": h},
		Spools:   map[string]*spool.Spool{"": events},
	})
	if err != nil {
		log.Fatal(err)
	}
	prometheus.MustRegister(metrics)
	mux.Handle("/metrics", promhttp.Handler())
}

func TestDocsMountMetrics(t *testing.T) {
	events, err := spool.Open(t.TempDir(), new(beacontest.Recorder), spool.Options{})
	must(t, err)
	defer events.Close(t.Context())
	h, err := beacon.New(beacon.Config{Sink: events})
	must(t, err)
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	mux := http.NewServeMux()
	mountMetrics(mux, h, events)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{`beacon_events_total{name=""} 1`, `beacon_spool_stored_events_total{name=""} 1`} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("not in the answer: %s", line)
		}
	}
}
