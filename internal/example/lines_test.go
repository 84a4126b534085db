package example

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestLines: an example is a program of one idea, which main.go says and shows in 40 lines.
// What else is needed stands beside it. The demo is the documentation, and no example.
func TestLines(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range paths {
		if filepath.Base(filepath.Dir(path)) == "demo" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > 40 {
			t.Errorf("%s has %d lines", path, n)
		}
		what, _, _ := bytes.Cut(text, []byte("package main"))
		if !bytes.HasPrefix(what, []byte("// ")) || !bytes.Contains(what, []byte("go run")) {
			t.Errorf("%s does not begin by saying what to try", path)
		}
		checked++
	}
	if checked < 8 {
		t.Errorf("%d examples", checked)
	}
}
