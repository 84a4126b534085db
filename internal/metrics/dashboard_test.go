package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// A query is one that a panel of the dashboard makes.
type query struct{ panel, expr string }

// queries returns those of the dashboard, with values for Grafana's variables.
func queries(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile("../../connect/prometheus/dashboard.json")
	must(t, err)
	var dashboard struct {
		Panels []struct {
			ID          int
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &dashboard))
	var all []query
	ids, row := map[int]bool{}, ""
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the ID %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			row = p.Title
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "30s", "$job", ".*", "$name", ".*").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable that Grafana may have, and this test has not: %s", p.Title, expr)
			}
			all = append(all, query{row + ": " + p.Title, expr})
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d queries", len(all))
	}
	return all
}

// exported returns the series names of all metrics of the collector: those of its own
// golden scrape.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../connect/prometheus/testdata/scrape.txt")
	must(t, err)
	names := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, "{"); ok && !strings.HasPrefix(line, "#") {
			names[name] = true
		}
	}
	if len(names) < 60 {
		t.Fatalf("only %d names", len(names))
	}
	return names
}

var metricName = regexp.MustCompile(`\bbeacon_\w+`)

// Whatever rules and panels ask for is what the collector exports.
func TestOnlyWhatThereIs(t *testing.T) {
	names := exported(t)
	for _, r := range rules(t) {
		for _, name := range metricName.FindAllString(r.Expr+r.Annotations["description"], -1) {
			if !names[name] && !names[name+"_count"] {
				t.Errorf("alert %s: there is no %s", r.Alert, name)
			}
		}
	}
	for _, q := range queries(t) {
		found := metricName.FindAllString(q.expr, -1)
		for _, name := range found {
			if !names[name] {
				t.Errorf("panel %s: there is no %s", q.panel, name)
			}
		}
		if len(found) == 0 {
			t.Errorf("panel %s asks for nothing: %s", q.panel, q.expr)
		}
	}
}

// What the dashboard asks is PromQL, in the eyes of promtool and its linter.
func TestDashboardIsPromQL(t *testing.T) {
	type object = map[string]any
	var recorded []object
	for i, q := range queries(t) {
		recorded = append(recorded, object{"record": fmt.Sprintf("q:%d", i), "expr": q.expr})
	}
	text, err := yaml.Marshal(object{"groups": []object{{"name": "dashboard", "rules": recorded}}})
	must(t, err)
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	must(t, os.WriteFile(file, text, 0o600))
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", file)
}
