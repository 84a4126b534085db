package stores_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// TestKillReceivers kills two loaded receivers with one database, again and again.
func TestKillReceivers(t *testing.T) {
	for _, d := range append(stores.Dialects, store.ClickHouse) {
		t.Run(d.String(), func(t *testing.T) {
			first := newJob(t, d)
			second := first
			second.Dir += "2"
			jobs := []job{first, second}
			var mu sync.Mutex
			addrs := make([]string, len(jobs))
			children := make([]*child, len(jobs))
			found := int64(0)
			start := func(i int) {
				c := jobs[i].start(t)
				mu.Lock()
				defer mu.Unlock()
				children[i], addrs[i] = c, c.addr
				found += c.found
			}
			start(0)
			start(1)
			l := begin(t, 16, func() []string {
				mu.Lock()
				defer mu.Unlock()
				return append([]string(nil), addrs...)
			})
			for run := range pick(5, 100) {
				time.Sleep(rand.N(600 * time.Millisecond))
				children[run%2].kill()
				start(run % 2)
			}
			for _, c := range children {
				c.kill()
			}
			l.halt()
			t.Logf("%d bytes were found in the spools to be delivered", found)
			if found == 0 {
				t.Error("no kill left anything to deliver")
			}
			drain(t, jobs...)
			check(t, l, nil, jobs...)
		})
	}
}

// TestKillDatabase kills a database server with all its processes, under load, again and
// again, and starts it again.
func TestKillDatabase(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL, store.ClickHouse} {
		t.Run(d.String(), func(t *testing.T) {
			server := stores.ServerOf(t, d)
			g := newRig(t, newJob(t, d))
			for range pick(2, 30) {
				time.Sleep(rand.N(500 * time.Millisecond))
				if err := server.Kill(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(rand.N(200 * time.Millisecond))
				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
				g.goesOn("after the recovery", 30*time.Second)
			}
			g.settle(nil)
			if len(g.errors()) == 0 {
				t.Error("the store saw no error, so nothing is proven")
			}
			if g.load.answers[503].Load() > 0 {
				t.Error("requests were refused while only the database was away")
			}
		})
	}
}
