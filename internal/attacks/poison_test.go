package attacks

import (
	"net/http"
	"testing"
	"time"
)

// TestPoison: events that the store dislikes arrive among 200 honest ones a second. Each
// of those is in the store within two seconds.
func TestPoison(t *testing.T) {
	const soon = 2 * time.Second
	for _, sink := range []string{"spool", "batch", "queue"} {
		for _, row := range []struct {
			name, store string
			attack
		}{
			{"one in 200, plain error", "plain", attack{Conns: 1, Every: time.Second}},
			{"one in 100, permanent", "permanent", attack{Conns: 1, Every: 500 * time.Millisecond}},
			{"ten at once, plain error", "plain", attack{Conns: 10, Requests: 1}},
			{"one, plain error", "plain", attack{Conns: 1, Requests: 1}},
		} {
			t.Run(sink+"/"+row.name, func(t *testing.T) {
				t.Parallel() // they wait more than they compute
				server := start(t, job{Server: new(setup{Sink: sink, Store: row.store}.in(t))})
				v := visit(server.hello.Addr, 5*time.Millisecond)
				row.What, row.Addr, row.For = "poison", server.hello.Addr, length(5*time.Second)
				attacker := start(t, job{Attack: &row.attack})
				time.Sleep(row.For)
				var poison tally
				attacker.line(&poison)
				served := v.end()
				acked := served.statuses[http.StatusNoContent]
				deadline := time.Now().Add(soon)
				r := server.ask("/report")
				for ; r.Stored.Honest < acked && time.Now().Before(deadline); r = server.ask("/report") {
					time.Sleep(20 * time.Millisecond)
				}
				t.Logf("visitors: %v; poison: %v; the store has %d of %d, the slowest after %v, in %d calls; %+v",
					served, &poison, r.Stored.Honest, acked, r.Stored.Slowest.Round(time.Millisecond), r.Stored.Calls, r.Spool)
				if served.taken() < 0.99 {
					t.Errorf("%.1f %% of the honest beacons were taken: %v", 100*served.taken(), served.statuses)
				}
				if r.Stored.Honest < acked {
					t.Errorf("the store has %d of %d honest events %v after the last", r.Stored.Honest, acked, soon)
				}
				if r.Stored.Slowest > soon {
					t.Errorf("an honest event took %v to the store", r.Stored.Slowest)
				}
				if poison.Requests == 0 {
					t.Error("there was no poison, so nothing is proven")
				}
			})
		}
	}
}
