package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestGzip: what is written is what is read, whatever it is: nothing, noise, runs longer
// than a match, more than the window.
func TestGzip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	inputs := [][]byte{nil, {0}, []byte("aa"), []byte("abcabc"), bytes.Repeat([]byte("a"), 1000), bytes.Repeat([]byte("abcde"), 20_000)}
	for letters := 1; letters <= 256; letters *= 2 {
		for _, n := range []int{3, 100, 5000, 100_000} {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(random.IntN(letters))
				if i > 40 && random.IntN(30) == 0 {
					copy(b[i-20:i], b[random.IntN(i-20):])
				}
			}
			inputs = append(inputs, b)
		}
	}
	for _, b := range inputs {
		z, err := gzipOf(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(z))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes beginning %.10q became %d others: %v", len(b), b, len(got), err)
		}
		var d deflater
		if n := gzipSize(d.size(b)); n != len(z) {
			t.Errorf("%d bytes were counted and %d written", n, len(z))
		}
	}
}

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
