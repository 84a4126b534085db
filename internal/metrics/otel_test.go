package metrics

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
)

// An exporter keeps what it is to send.
type exporter struct {
	metric.Exporter
	sent map[string]metricdata.Aggregation
}

func (e *exporter) Temporality(k metric.InstrumentKind) metricdata.Temporality {
	return metric.DefaultTemporalitySelector(k)
}

func (e *exporter) Aggregation(k metric.InstrumentKind) metric.Aggregation {
	return metric.DefaultAggregationSelector(k)
}

func (e *exporter) Export(_ context.Context, all *metricdata.ResourceMetrics) error {
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			e.sent[m.Name] = m.Data
		}
	}
	return nil
}

func (e *exporter) ForceFlush(context.Context) error { return nil }
func (e *exporter) Shutdown(context.Context) error   { return nil }

// Counters, gauges and histograms get to OpenTelemetry as what they are, with their values.
func TestToOpenTelemetry(t *testing.T) {
	h, err := beacon.New(beacon.Config{Sink: new(beacontest.Recorder)})
	must(t, err)
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/", nil))
	collector, err := beaconprom.New(beaconprom.Options{Handlers: map[string]*beacon.Handler{"site": h}})
	must(t, err)
	e := &exporter{sent: map[string]metricdata.Aggregation{}}
	provider, err := ToOpenTelemetry(collector, e)
	must(t, err)
	must(t, provider.Shutdown(t.Context()))

	refused, ok := e.sent["beacon_refused_requests_total"].(metricdata.Sum[float64])
	if !ok || !refused.IsMonotonic {
		t.Errorf("%#v", e.sent["beacon_refused_requests_total"])
	}
	got := 0.0
	for _, p := range refused.DataPoints {
		reason, _ := p.Attributes.Value("reason")
		name, _ := p.Attributes.Value("name")
		if reason.AsString() == beacon.ReasonMethod && name.AsString() == "site" {
			got = p.Value
		}
	}
	if got != 1 {
		t.Errorf("%#v", refused)
	}
	if g, ok := e.sent["beacon_inflight_limit_bytes"].(metricdata.Gauge[float64]); !ok || g.DataPoints[0].Value != float64(h.Stats().MaxInFlight) {
		t.Errorf("%#v", e.sent["beacon_inflight_limit_bytes"])
	}
	if b, ok := e.sent["beacon_body_size_bytes"].(metricdata.Histogram[float64]); !ok || b.DataPoints[0].Count != 1 || b.DataPoints[0].Sum != 3 || b.DataPoints[0].BucketCounts[0] != 1 {
		t.Errorf("%#v", e.sent["beacon_body_size_bytes"])
	}
}

// The recipe in the docs is the code that was tried here.
func TestRecipe(t *testing.T) {
	code, err := os.ReadFile("otel.go")
	must(t, err)
	page, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	_, f, _ := strings.Cut(string(code), "func ToOpenTelemetry")
	if !strings.Contains(string(page), "```go\nfunc ToOpenTelemetry"+f+"```") {
		t.Error("docs/operations.md has not the function of otel.go")
	}
}
