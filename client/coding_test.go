package client

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	for header, want := range map[string]string{
		"": "identity", " ": "identity", "identity": "identity", "gzip": "gzip", "br": "br", "x-gzip": "gzip", "GZip": "gzip",
		"gzip, deflate, br, zstd": "br", "gzip, deflate": "gzip", "deflate, zstd": "identity", "gzip,,br": "br", "gzip;q=1.0,br;q=1.0": "br",
		"gzip, br;q=0": "gzip", "br;q=0, gzip;q=0": "identity", "br;q=0.5, gzip": "gzip", "br;q=0.5, gzip;q=0.501": "gzip", "br;q=0.001": "br",
		"br ; q=0.2 , gzip ; Q=0.1": "br", "identity;q=1, br;q=0.9": "identity", "identity;q=0.5, br;q=0.1": "identity", "identity;q=0, br": "br",
		"*": "br", "*;q=0.1": "br", "br;q=0, *": "gzip", "br;q=0.5, *": "gzip", "*;q=0, gzip": "gzip", "identity, *;q=0": "identity",
		"*;q=0": "none", "identity;q=0": "none", "identity;q=0, br;q=0, gzip;q=0.0": "none", "deflate, identity;q=0": "none", "identity;q=0, *;q=0.5": "br",
		"br;q=2": "identity", "br;q=-1": "identity", "br;q=high, gzip": "gzip", "br;q=": "identity", "br;q=NaN": "identity", "br;level=3": "br",
		"brotli": "identity", "bro": "identity", "gzip;q=0, gzip": "gzip", ";q=1": "identity", "=": "identity",
	} {
		got := "none"
		if i, ok := negotiate(strings.Split(header, "\n")); ok {
			got = codings[i].name
		}
		if got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	for _, lines := range [][]string{nil, {}} {
		if i, ok := negotiate(lines); !ok || codings[i].name != "identity" {
			t.Errorf("%v: %d %v", lines, i, ok)
		}
	}
	if i, ok := negotiate([]string{"gzip;q=0", "br"}); !ok || codings[i].name != "br" {
		t.Error("several lines are not one list")
	}
}

// TestNegotiateRefused: what is refused by name is never chosen, and what is said to be
// liked best always is.
func TestNegotiateRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	weights := []string{"0", "0.001", "0.5", "1"}
	for range 10_000 {
		most, said := 0, map[string]int{}
		var elements []string
		for _, i := range r.Perm(len(codings)) {
			q := r.IntN(len(weights))
			said[codings[i].name], most = q, max(most, q)
			elements = append(elements, codings[i].name+[]string{";q=", "; q=", " ;Q="}[r.IntN(3)]+weights[q])
		}
		if r.IntN(2) == 0 {
			elements = append(elements, "*;q="+weights[r.IntN(len(weights))], "zstd")
		}
		header := strings.Join(elements, ", ")
		i, ok := negotiate([]string{header})
		if ok != (most > 0) {
			t.Fatalf("%q: %v", header, ok)
		}
		if ok && said[codings[i].name] != most {
			t.Fatalf("%q: %s", header, codings[i].name)
		}
	}
}
