// Package beaconprom exports the statistics of handlers, spools, sinks, limiters, trackers,
// stores and connectors to Prometheus.
//
//	metrics, err := beaconprom.New(beaconprom.Options{
//		Handlers: map[string]*beacon.Handler{"": h},
//		Spools:   map[string]*spool.Spool{"": events},
//	})
//	…
//	prometheus.MustRegister(metrics)
//
// It has another name than its directory, since whoever uses it uses a package prometheus
// already: the one of the client library, which is the only thing that this module needs.
//
// # What is exported
//
// All that the Stats methods return, with names and units by Prometheus's conventions:
// docs/operations.md of the library has the list, and what to do about each. Beside this
// file are alert rules (alerts.yml) and a dashboard for Grafana (dashboard.json) that use
// them.
//
// A scrape takes a fraction of a millisecond. It asks nobody and waits for nothing, neither
// for a disk nor for a sink that hangs: that is what the metrics say then.
//
// # Labels
//
// All metrics have the label name, which is the key in the maps of [Options]. No label has
// anything from a client: the other ones are words of this package, and reasons of refusals,
// which are the library's own and those in [Options.Reasons]; what else a host refuses with
// counts as "other". Nor do texts of errors become labels. So the number of series depends on
// what is in the Options, and on nothing that comes from outside.
package beaconprom

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// Options say what a collector collects from. The keys of the maps become the label name; with
// an empty one a metric has no such label, as far as Prometheus is concerned. It suits a
// program with one of each kind.
type Options struct {
	Handlers map[string]*beacon.Handler   // beacon_…
	Spools   map[string]*spool.Spool      // beacon_spool_…
	Queues   map[string]*sink.Queue       // beacon_queue_…
	Limiters map[string]*limit.Limiter    // beacon_limit_…
	Trackers map[string]*sessions.Tracker // beacon_tracker_…
	Dailies  map[string]*sessions.Daily   // beacon_daily_…

	Stores map[string]*store.Store // beacon_store_…

	LogSinks  map[string]LogSink  // beacon_log_…: what writes to Kafka, JetStream, or a log of the host's
	Consumers map[string]Consumer // beacon_consumer_…: what reads from it

	// Reasons are those that the host refuses requests with, in a [beacon.RequestError] of
	// Admit, Enrich or the sink, and that are to be told apart. All others together are
	// "other". A word here is in the metrics for ever, so it had better be one of few.
	Reasons []string
}

// A LogSink is the Sink of a connector: that of connect/kafka, of connect/nats, or one of the
// host's own.
type LogSink interface{ Stats() connect.SinkStats }

// A Consumer is the one of a connector.
type Consumer interface{ Stats() connect.ConsumerStats }

// New returns a collector of all that is in o, to be registered once. It is safe for
// concurrent use. An error is a mistake in o: nothing to collect from, a nil, or a text that
// is not UTF-8.
//
// In a registry there can be one collector of a kind: put all handlers of a program into one.
// Further labels come with [prometheus.WrapRegistererWith].
func New(o Options) (prometheus.Collector, error) {
	for _, r := range o.Reasons {
		if r == "" || !utf8.ValidString(r) {
			return nil, fmt.Errorf("beaconprom: %q in Reasons is no word", r)
		}
	}
	var c collector
	err := errors.Join(
		add(&c, "handler", o.Handlers, handlerFamilies(slices.Clone(o.Reasons))),
		add(&c, "spool", o.Spools, spoolFamilies),
		add(&c, "queue", o.Queues, queueFamilies),
		add(&c, "limiter", o.Limiters, limiterFamilies),
		add(&c, "tracker", o.Trackers, trackerFamilies),
		add(&c, "daily", o.Dailies, dailyFamilies),
		add(&c, "store", o.Stores, storeFamilies),
		add(&c, "sink of a log", o.LogSinks, logFamilies),
		add(&c, "consumer", o.Consumers, consumerFamilies),
	)
	if err != nil {
		return nil, err
	}
	if len(c) == 0 {
		return nil, errors.New("beaconprom: there is nothing to collect from in Options")
	}
	return &c, nil
}

// A collector is all groups. It never changes.
type collector []group

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range *c {
		g.describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, g := range *c {
		g.collect(ch)
	}
}
