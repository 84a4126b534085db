package metrics

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

const rulesFile = "../../connect/prometheus/alerts.yml"

// A rule is an alert as the file has it.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// rules returns all alerts of the file.
func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	must(t, err)
	var file struct {
		Groups []struct{ Rules []rule }
	}
	must(t, yaml.Unmarshal(text, &file))
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// promtool runs Prometheus's own tool, which Debian's package prometheus has.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
}

// A trial is a course of things, one value each 15 seconds in promtool's notation (start,
// step, number of steps), with which an alert fires; and one with which it does not.
type trial struct {
	fires, quiet map[string]string // by the series, without the labels that all have
	summary      string            // of the alert that fires
	labels       map[string]string // of that, besides severity, job, instance and name; "" for none
}

var trials = map[string]trial{
	"BeaconRequestsFail": {
		fires:   series{`beacon_requests_total{outcome="failed"}`: "0+3x240"},
		quiet:   series{`beacon_requests_total{outcome="failed"}`: "7x240", `beacon_requests_total{outcome="refused"}`: "0+3x240"},
		summary: "0.20 beacons a second are answered 5xx",
		labels:  series{"outcome": "failed"},
	},
	"BeaconRequestsRefused": {
		fires: series{
			`beacon_refused_requests_total{reason="origin"}`: "0+6x240", `beacon_refused_requests_total{reason="method"}`: "0+4x240",
			`beacon_requests_total{outcome="delivered"}`: "0+90x240", `beacon_requests_total{outcome="refused"}`: "0+10x240",
		},
		quiet: series{
			`beacon_refused_requests_total{reason="origin"}`: "0+5x240", `beacon_refused_requests_total{reason="method"}`: "0+5x240",
			`beacon_requests_total{outcome="delivered"}`: "0+90x240", `beacon_requests_total{outcome="refused"}`: "0+10x240",
		},
		summary: "6% of the beacons are refused: origin",
		labels:  series{"reason": "origin", "instance": ""},
	},
	"BeaconMemoryFull": {
		fires:   series{`beacon_inflight_bytes{}`: "81x240", `beacon_inflight_limit_bytes{}`: "100x240"},
		quiet:   series{`beacon_inflight_bytes{}`: "80x240", `beacon_inflight_limit_bytes{}`: "100x240", `beacon_refused_requests_total{reason="too-busy"}`: "7x240", `beacon_refused_requests_total{reason="limited"}`: "0+1x240"},
		summary: "Requests use up Config.MaxInFlight, and are refused as too-busy",
	},
	"BeaconSinkSlow": {
		fires:   series{`beacon_sink_duration_seconds_bucket{le="1"}`: "0+97x240", `beacon_sink_duration_seconds_bucket{le="2"}`: "0+100x240", `beacon_sink_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
		quiet:   series{`beacon_sink_duration_seconds_bucket{le="1"}`: "0+99x240", `beacon_sink_duration_seconds_bucket{le="2"}`: "0+100x240", `beacon_sink_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
		summary: "One in a hundred beacons waits for the sink for 1.667s",
	},
	"BeaconLimiterAtWork": {
		fires:   series{`beacon_limit_limited_requests_total{by="events"}`: "0+1x240"},
		quiet:   series{`beacon_limit_limited_requests_total{by="events"}`: "0+1x30 30x210", `beacon_limit_admitted_requests_total{}`: "0+1x240"},
		summary: "Networks have sent more than they may for 15 minutes",
	},
	"BeaconEventsWait": {
		fires:   series{`beacon_spool_oldest_event_age_seconds{}`: "301x240"},
		quiet:   series{`beacon_spool_oldest_event_age_seconds{}`: "300x240"},
		summary: "Events have waited for 5m 1s",
	},
	"BeaconSinkFails": {
		fires:   series{`beacon_spool_sink_errors_total{}`: "0+1x240"},
		quiet:   series{`beacon_spool_sink_errors_total{}`: "0+1x20 20x220"},
		summary: "Calls of the store fail, and have for 10 minutes",
	},
	"BeaconSinkHangs": {
		fires:   series{`beacon_spool_sink_hanging{}`: "1x240"},
		quiet:   series{`beacon_spool_sink_hanging{}`: "0 1 1 1 0x200"},
		summary: "A call of the store does not return, although its time is over",
	},
	"BeaconSpoolFillsUp": {
		fires:   series{`beacon_spool_bytes{}`: "710x240", `beacon_spool_limit_bytes{}`: "1000x240"},
		quiet:   series{`beacon_spool_bytes{}`: "700x240", `beacon_spool_limit_bytes{}`: "1000x240"},
		summary: "The spool is 71% full",
	},
	"BeaconVolumeFillsUp": {
		fires:   series{`beacon_spool_free_bytes{}`: "134217728x240"},
		quiet:   series{`beacon_spool_free_bytes{}`: "268435456x240", `beacon_spool_bytes{}`: "1x240"},
		summary: "The spool's volume has 128MiB left",
	},
	"BeaconSpoolRefuses": {
		fires:   series{`beacon_spool_refused_events_total{}`: "0+30x240"},
		quiet:   series{`beacon_spool_refused_events_total{}`: "12x240"},
		summary: "The spool takes no events: 2.00 a second are refused",
	},
	"BeaconNoRoomForDeadLetters": {
		fires:   series{`beacon_spool_left_events_total{}`: "2x240"},
		quiet:   series{`beacon_spool_left_events_total{}`: "0x240"},
		summary: "2 events have no room for their dead letters",
	},
	"BeaconDeadLetters": {
		fires:   series{`beacon_spool_dead_events_total{}`: "0x100 1x140"},
		quiet:   series{`beacon_spool_dead_events_total{}`: "1x240", `beacon_spool_dropped_dead_events_total{}`: "1x240"},
		summary: "The store refuses events for good",
	},
	"BeaconDeadLettersDropped": {
		fires:   series{`beacon_spool_dropped_dead_events_total{}`: "0x100 1x140"},
		quiet:   series{`beacon_spool_dropped_dead_events_total{}`: "1x240", `beacon_spool_dead_events_total{}`: "1x240"},
		summary: "There are so many dead letters that the oldest go, and are lost",
	},
	"BeaconDiskFails": {
		fires:   series{`beacon_spool_disk_errors_total{}`: "0x100 1x140"},
		quiet:   series{`beacon_spool_disk_errors_total{}`: "3x240"},
		summary: "Operations of the spool's disk fail",
	},
	"BeaconDiskDamage": {
		fires:   series{`beacon_spool_damaged_places_total{}`: "2x240"}, // found at the start
		quiet:   series{`beacon_spool_damaged_places_total{}`: "0x240", `beacon_spool_torn_ends_total{}`: "0+1x240"},
		summary: "2 places in the spool's files are not what was written",
	},
	"BeaconDiskSlow": {
		fires:   series{`beacon_spool_syncing_seconds{}`: "1.5x240"},
		quiet:   series{`beacon_spool_syncing_seconds{}`: "1x240", `beacon_spool_sync_duration_seconds_bucket{le="1"}`: "0+99x240", `beacon_spool_sync_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
		summary: "The spool's disk takes 1.5s to sync",
	},
	"BeaconEventsLost": {
		fires:   series{`beacon_queue_lost_events_total{cause="permanent"}`: "0+1x240"},
		quiet:   series{`beacon_queue_lost_events_total{cause="permanent"}`: "7x240"},
		summary: "A queue lost 40 events (permanent)",
		labels:  series{"cause": "permanent"},
	},
	"BeaconTrackerEvicts": {
		fires:   series{`beacon_tracker_evicted_keys_total{}`: "0+1x240"},
		quiet:   series{`beacon_tracker_evicted_keys_total{}`: "7x240"},
		summary: "The tracker forgets sessions that go on, as its memory is full",
	},
	"BeaconTrackerPanics": {
		fires:   series{`beacon_tracker_panics_total{}`: "0+1x240"},
		quiet:   series{`beacon_tracker_panics_total{}`: "7x240"},
		summary: "OnRevision of a tracker panics",
	},
	"BeaconStoreFails": {
		fires:   series{`beacon_store_errors_total{}`: "0+1x240"},
		quiet:   series{`beacon_store_errors_total{}`: "0+1x20 20x220", `beacon_store_calls_total{}`: "0+1x240"},
		summary: "Calls of the store fail, and have for 10 minutes",
	},
	"BeaconStoreSlow": {
		fires:   series{`beacon_store_call_duration_seconds_bucket{le="5"}`: "0+90x240", `beacon_store_call_duration_seconds_bucket{le="10"}`: "0+100x240", `beacon_store_call_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
		quiet:   series{`beacon_store_call_duration_seconds_bucket{le="5"}`: "0+99x240", `beacon_store_call_duration_seconds_bucket{le="10"}`: "0+100x240", `beacon_store_call_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
		summary: "One call of the store in a hundred takes 9.5s",
	},
	"BeaconLogRefuses": {
		fires:   series{`beacon_log_refused_events_total{}`: "0+1x240"},
		quiet:   series{`beacon_log_refused_events_total{}`: "7x240", `beacon_log_events_total{}`: "0+1x240"},
		summary: "The log does not take events",
	},
	"BeaconLogDeadLetters": {
		fires:   series{`beacon_log_dead_events_total{}`: "0+1x240"},
		quiet:   series{`beacon_log_dead_events_total{}`: "7x240"},
		summary: "The log refuses events for good",
	},
	"BeaconConsumerLagGrows": {
		fires:   series{`beacon_consumer_lag_messages{}`: "0+100x240"},
		quiet:   series{`beacon_consumer_lag_messages{}`: "90000-100x240"},
		summary: "12k messages wait in the log, and it becomes more",
	},
	"BeaconConsumerStuck": {
		fires:   series{`beacon_consumer_stuck_seconds{}`: "360x240"},
		quiet:   series{`beacon_consumer_stuck_seconds{}`: "300x240"},
		summary: "A consumer's store has taken nothing for 6m 0s",
	},
	"BeaconConsumerDeadLetters": {
		fires:   series{`beacon_consumer_dead_events_total{}`: "0x100 1x140"},
		quiet:   series{`beacon_consumer_dead_events_total{}`: "1x240", `beacon_consumer_undecodable_messages_total{}`: "1x240"},
		summary: "A consumer puts messages into the dead-letter topic",
	},
	"BeaconConsumerDeadLettersFail": {
		fires:   series{`beacon_consumer_dead_letter_errors_total{}`: "0+1x240"},
		quiet:   series{`beacon_consumer_dead_letter_errors_total{}`: "7x240"},
		summary: "A consumer cannot write to its dead-letter topic",
	},
}

// also are second reasons for which an alert fires.
var also = map[string]series{
	"BeaconMemoryFull":          {`beacon_refused_requests_total{reason="too-busy"}`: "0+1x240"},
	"BeaconDiskSlow":            {`beacon_spool_sync_duration_seconds_bucket{le="1"}`: "0+90x240", `beacon_spool_sync_duration_seconds_bucket{le="2.5"}`: "0+100x240", `beacon_spool_sync_duration_seconds_bucket{le="+Inf"}`: "0+100x240"},
	"BeaconConsumerDeadLetters": {`beacon_consumer_undecodable_messages_total{}`: "0+1x240"},
	"BeaconEventsLost":          {`beacon_queue_lost_events_total{cause="closing"}`: "0+1x240"},
	"BeaconLimiterAtWork":       {`beacon_limit_limited_requests_total{by="bytes"}`: "0+1x240"},
}

type series = map[string]string

// Each alert fires when it is to, with the text that it is to have, and not otherwise. They
// all do so beside each other, in things of different names: as they do in a real fleet.
func TestAlerts(t *testing.T) {
	path, err := filepath.Abs(rulesFile)
	must(t, err)
	type object = map[string]any
	type test struct {
		inputs, alerts, queries []object
	}
	var first, second test // the second has what else lets an alert fire
	input := func(to *test, name string, in series) {
		for _, s := range slices.Sorted(maps.Keys(in)) {
			metric, labels, _ := strings.Cut(strings.TrimSuffix(s, "}"), "{")
			to.inputs = append(to.inputs, object{"series": fmt.Sprintf(`%s{job="app",instance="r1",name=%q,%s}`, metric, name, labels), "values": in[s]})
		}
	}
	for _, r := range rules(t) {
		c, ok := trials[r.Alert]
		if !ok {
			t.Errorf("no trial of %s", r.Alert)
			continue
		}
		input(&first, "bad "+r.Alert, c.fires)
		labels := maps.Clone(r.Labels)
		maps.Copy(labels, series{"job": "app", "instance": "r1", "name": "bad " + r.Alert})
		maps.Copy(labels, c.labels)
		maps.DeleteFunc(labels, func(_, v string) bool { return v == "" })
		annotations := maps.Clone(r.Annotations)
		annotations["summary"] = c.summary
		first.alerts = append(first.alerts, object{"eval_time": "30m", "alertname": r.Alert, "exp_alerts": []object{{"exp_labels": labels, "exp_annotations": annotations}}})

		input(&first, "good "+r.Alert, c.quiet)
		firing := fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing",name=~`, r.Alert)
		first.queries = append(first.queries, object{"eval_time": "59m", "expr": "count_over_time(" + firing + `"good.*"}[59m])`})

		if s, ok := also[r.Alert]; ok {
			input(&second, r.Alert, s)
			second.queries = append(second.queries, object{"eval_time": "30m", "expr": "count(" + firing + fmt.Sprintf("%q})", r.Alert), "exp_samples": []object{{"labels": "{}", "value": 1}}})
		}
	}
	if len(trials) != len(rules(t)) || len(also) != len(second.queries) {
		t.Errorf("%d trials of %d alerts; %d of %d second ones", len(trials), len(rules(t)), len(second.queries), len(also))
	}
	var tests []object
	for _, test := range []test{first, second} {
		tests = append(tests, object{"interval": "15s", "input_series": test.inputs, "alert_rule_test": test.alerts, "promql_expr_test": test.queries})
	}
	text, err := yaml.Marshal(object{"rule_files": []string{path}, "evaluation_interval": "1m", "tests": tests})
	must(t, err)
	file := filepath.Join(t.TempDir(), "alerts_test.yml")
	must(t, os.WriteFile(file, text, 0o600))
	promtool(t, "test", "rules", file)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
