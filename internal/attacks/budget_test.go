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
