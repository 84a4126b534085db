package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// ToOpenTelemetry has what metrics collects sent by the exporter, once a minute and when the
// provider is shut down. docs/operations.md shows it.
func ToOpenTelemetry(metrics prometheus.Collector, exporter metric.Exporter) (*metric.MeterProvider, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(metrics); err != nil {
		return nil, err
	}
	producer := bridge.NewMetricProducer(bridge.WithGatherer(registry))
	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(producer))
	return metric.NewMeterProvider(metric.WithReader(reader)), nil
}
