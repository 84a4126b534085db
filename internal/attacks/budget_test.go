package attacks

import (
	"testing"
	"time"
)

// TestBudget: who sends nothing, or hardly anything, holds nothing that others need.
func TestBudget(t *testing.T) {
	for name, a := range map[string]attack{
		"heads":   {What: "nothing of 8 KB", Conns: 8300},
		"streams": {What: "nothing of 8 KB", How: "streams", Conns: 34, Streams: 249},
		"halves":  {What: "half of 1 MB", Conns: 70},
		"drip":    {What: "byte by byte", How: "drip", Conns: 2000},
	} {
		a.For, a.Every = length(4*time.Second), time.Second
		t.Run(name, func(t *testing.T) {
			run(t, setup{}, a).must(t)
		})
		// Without a proxy that is named all come from this machine, where nobody has a
		// share of his own.
		t.Run(name+"/no networks", func(t *testing.T) {
			run(t, setup{Peer: true}, a).must(t)
		})
	}
}

// TestLimitIsNoCliff: large compressed bodies that come faster than there is room for,
// within the share of one network and in all, do not keep each other from being taken:
// as many are as of one that comes after the other, or half of that.
func TestLimitIsNoCliff(t *testing.T) {
	for name, row := range map[string]struct {
		setup
		conns int
	}{
		"of a network": {setup{}, 8},
		"of all":       {setup{Peer: true}, 32},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack{What: "blank lines", Conns: 1, For: length(3 * time.Second)}
			alone := run(t, row.setup, a)
			a.Conns = row.conns
			crowded := run(t, row.setup, a)
			crowded.must(t)
			if one, many := alone.attacker.Answers[204], crowded.attacker.Answers[204]; many < one/2 {
				t.Errorf("%d connections got %d through, and one alone %d", row.conns, many, one)
			}
		})
	}
}
