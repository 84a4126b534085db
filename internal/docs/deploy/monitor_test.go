package deploy

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"

	"github.com/itchyny/gojq"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// TestMonitors: each line that asks /debug/vars with jq is content with a server that is
// well, and not with one whose numbers it is there for.
func TestMonitors(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	filters := regexp.MustCompile(`(?m)^curl -s \S+/debug/vars \| jq -e '(.*)'$`).FindAllSubmatch(page, -1)
	bad := [][]map[string]any{ // of each line, numbers with which it is not content
		{{"oldest_ns": 300e9}},
		{{"bytes": 700.0, "max_bytes": 1000.0}, {"free": 1000.0}},
		{{"dead": 1.0}, {"disk_errors": 1.0}, {"damaged": 1.0}},
		{{"syncing_ns": 1e9}, {"sync_p99_ns": 1e9}},
		{{"received": 100.0, "failed": 3.0, "refused": map[string]any{"method": 2.0, "origin": 1.0}}, {"received": 1.0, "failed": 1.0}},
	}
	if len(filters) != len(bad) {
		t.Fatalf("%d lines", len(filters))
	}
	for i, filter := range filters {
		query, err := gojq.Parse(string(filter[1]))
		if err != nil {
			t.Fatalf("%s: %v", filter[1], err)
		}
		ask := func(vars any) any {
			v, _ := query.Run(vars).Next()
			return v
		}
		if v := ask(variables(t, nil)); v != true {
			t.Errorf("%s: %v of a server that is well", filter[1], v)
		}
		for _, change := range bad[i] {
			if v := ask(variables(t, change)); v != false {
				t.Errorf("%s: %v with %v", filter[1], v, change)
			}
		}
	}
}

// variables are what a server that has had a beacon publishes, with changes.
func variables(t *testing.T, change map[string]any) any {
	t.Helper()
	events, err := spool.Open(t.TempDir(), new(beacontest.Recorder), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close(t.Context())
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	if err := events.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"beacon": h.Stats(), "beacon_spool": events.Stats()})
	if err != nil {
		t.Fatal(err)
	}
	var vars map[string]map[string]any
	if err := json.Unmarshal(text, &vars); err != nil {
		t.Fatal(err)
	}
	// The machine of the test may have a slow disk, and little room.
	for _, name := range []string{"syncing_ns", "sync_p99_ns"} {
		if _, ok := vars["beacon_spool"][name]; !ok {
			t.Errorf("there is no %s", name)
		}
		vars["beacon_spool"][name] = 0.0
	}
	vars["beacon_spool"]["free"] = float64(1 << 40)
	all := map[string]any{}
	for of, numbers := range vars {
		for name, value := range change {
			if _, ok := numbers[name]; ok && !(of == "beacon_spool" && change["received"] != nil) {
				numbers[name] = value
			}
		}
		all[of] = map[string]any(numbers)
	}
	return all
}
