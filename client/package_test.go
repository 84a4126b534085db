package client_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

// TestPackageVersion compares the npm package with the changelog, which is where the
// version is decided: the newest release's, or none.
func TestPackageVersion(t *testing.T) {
	changelog, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(changelog, []byte("\n## ")) {
		t.Fatal("the changelog has no headings")
	}
	want := "0.0.0-unreleased"
	if m := regexp.MustCompile(`(?m)^## \[?v?(\d+\.\d+\.\d+[\w.-]*)`).FindSubmatch(changelog); m != nil {
		want = string(m[1])
	}
	b, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Version, License string
		Dependencies     map[string]string
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if p.Version != want {
		t.Errorf("client/package.json has version %q, CHANGELOG.md %q", p.Version, want)
	}
	if p.License != "MIT" || len(p.Dependencies) > 0 {
		t.Errorf("license %q, dependencies %v", p.License, p.Dependencies)
	}
	// npm packs only what is in the directory.
	ours, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile("LICENSE")
	if err != nil || !bytes.Equal(ours, packed) {
		t.Errorf("client/LICENSE is not the LICENSE: %v", err)
	}
}
