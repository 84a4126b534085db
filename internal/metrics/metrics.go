// Package metrics has the tests of what goes with package beaconprom: alert rules and the
// dashboard, with a real Prometheus, and the bridge to OpenTelemetry. It is a module of its
// own, so that nobody who uses the library has OpenTelemetry among what they depend on.
package metrics
