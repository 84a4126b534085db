package attacks

import (
	"testing"
	"time"
)

// TestMultiplied: what events of a request share, each of them is written with.
func TestMultiplied(t *testing.T) {
	for _, a := range []attack{
		{What: "query of 900 KB", Conns: 1},
		{What: "query of 64 KB", Conns: 8, Every: 250 * time.Millisecond},
		{What: "six headers of 8 KB", Conns: 8, Every: 250 * time.Millisecond},
		{What: "text of <", Conns: 64, Every: time.Second},
	} {
		t.Run(a.What, func(t *testing.T) {
			a.For = length(3 * time.Second)
			run(t, setup{Sink: "spool"}.in(t), a).must(t)
		})
	}
}

// TestTinyItems: events are much larger than what they are made of, and a store that is
// slow keeps them.
func TestTinyItems(t *testing.T) {
	for _, what := range []string{"tiny items", "bad lines", "envelope", "reports", "fields"} {
		t.Run(what, func(t *testing.T) {
			run(t, setup{Store: "slow"}, attack{What: what, Conns: 2000, Every: time.Second, For: length(4 * time.Second)}).must(t)
		})
	}
	t.Run("without a budget", func(t *testing.T) {
		run(t, setup{Store: "slow", MaxInFlight: 1 << 40}, attack{What: "tiny items", Conns: 2000, Every: time.Second, For: 4 * time.Second}).mustNot(t)
	})
}

// TestPinned: what waits in memory for a store that is away, the spool's tail and a
// queue, keeps no more alive than it counts.
func TestPinned(t *testing.T) {
	for _, sink := range []string{"spool", "queue"} {
		for _, what := range []string{"preamble", "blank lines", "ampersands", "long target"} {
			t.Run(sink+"/"+what, func(t *testing.T) {
				run(t, setup{Sink: sink, Store: "down", MaxQuery: 2 << 20}.in(t), attack{What: what, Conns: 8, Networks: 8, Requests: 60, For: length(6 * time.Second)}).must(t)
			})
		}
	}
}

// TestManyMembers: objects of very many members, and a header of very many parameters,
// are walked over once.
func TestManyMembers(t *testing.T) {
	for _, a := range []attack{
		{What: "report of 54 KB", Conns: 8, Networks: 8, Every: 2 * time.Second},
		{What: "CSP report of 1 MB", Conns: 64, Requests: 1},
		{What: "parameters", Conns: 64, Every: 250 * time.Millisecond},
	} {
		t.Run(a.What, func(t *testing.T) {
			a.For = length(4 * time.Second)
			run(t, setup{}, a).must(t)
		})
	}
}
