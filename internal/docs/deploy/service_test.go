package deploy

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// analyze runs systemd-analyze, which no service manager has to run for.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil || strings.Contains(string(out), "unit:") {
		t.Fatalf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestService: systemd understands each line of the unit, and gives it the mark that the
// page says.
func TestService(t *testing.T) {
	text, err := os.ReadFile("testdata/app.service")
	if err != nil {
		t.Fatal(err)
	}
	// It has to have a program that is there.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "unit.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(string(text), "/usr/local/bin/app", program, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := analyze(t, "verify", unit); strings.Contains(out, "unit.service") {
		t.Error(out)
	}
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile("`systemd-analyze security` gives it ([0-9.]+) of 10").FindSubmatch(page)
	got := regexp.MustCompile(`(?m)Overall exposure level for \S+: ([0-9.]+) `).FindStringSubmatch(analyze(t, "security", "--offline=true", "--no-pager", unit))
	if says == nil || got == nil {
		t.Fatalf("the page says %q, systemd-analyze %q", says, got)
	}
	// Other versions weigh some of it otherwise.
	if s, g := number(t, string(says[1])), number(t, got[1]); math.Abs(s-g) > 0.3 {
		t.Errorf("the page says %v, systemd-analyze %v", s, g)
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
