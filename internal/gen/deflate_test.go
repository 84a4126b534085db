package main

import (
	"strings"
	"testing"
)

// TestDeflater: what the search counts is what gzip makes, nearly: gzip has its own ways
// to end a block.
func TestDeflater(t *testing.T) {
	var d deflater
	for name, content := range read(t) {
		if !strings.HasSuffix(name, "js") {
			continue
		}
		got, want := gzipSize(d.size(content)), gzipped(t, content)
		t.Log(name, got, want)
		if got < want-4 || got > want+4 {
			t.Errorf("%s: counted %d bytes, gzip makes %d", name, got, want)
		}
	}
}

func BenchmarkDeflater(b *testing.B) {
	content, err := build(client, outputs()[0])
	if err != nil {
		b.Fatal(err)
	}
	var d deflater
	for b.Loop() {
		d.size(content)
	}
}
