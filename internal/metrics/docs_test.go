package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page for operators has all metrics in its tables, and names none that is not there.
func TestDocsNameTheMetrics(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	in := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bbeacon_[a-z_]+`).FindAllString(string(text), -1) {
		in[name] = true
	}
	delete(in, "beacon_spool") // of expvar
	names := map[string]bool{}
	for name := range exported(t) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		names[base] = true
	}
	for name := range names {
		if !in[name] {
			t.Errorf("%s is not on the page", name)
		}
	}
	for name := range in {
		if !names[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// What an alert says to do is what the page says.
func TestDocsNameTheAlerts(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	known := map[string]bool{}
	for _, r := range rules(t) {
		known[r.Alert] = true
		if !strings.Contains(string(text), "| `"+r.Alert+"` | "+r.Annotations["description"]+" |\n") {
			t.Errorf("the page has not: | `%s` | %s |", r.Alert, r.Annotations["description"])
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%+v", r)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Beacon[A-Za-z]+)` \\|").FindAllSubmatch(text, -1) {
		if !known[string(m[1])] {
			t.Errorf("there is no alert %s", m[1])
		}
	}
}
