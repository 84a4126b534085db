package attacks

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// TestPoisonThroughput: as many good events come through when some are poison as half of
// those that do when none is. Time is that of the calls of the store alone.
func TestPoisonThroughput(t *testing.T) {
	for name, measure := range map[string]func(*testing.T, string, int) throughput{
		"batch": batchThroughput, "spool": spoolThroughput,
	} {
		for _, row := range []struct {
			store string
			oneIn int
		}{{"plain", 200}, {"permanent", 100}, {"named", 100}} {
			t.Run(fmt.Sprintf("%s/one in %d, %s", name, row.oneIn, row.store), func(t *testing.T) {
				clean, poisoned := measure(t, row.store, 0), measure(t, row.store, row.oneIn)
				t.Logf("clean: %v; with poison: %v", clean, poisoned)
				if poisoned.good < clean.good/2 {
					t.Errorf("%d good events came through, clean are %d", poisoned.good, clean.good)
				}
				if poisoned.failed > 0 {
					t.Errorf("%d events that nobody dislikes were refused", poisoned.failed)
				}
			})
		}
	}
}

// A throughput is what came through in a second.
type throughput struct {
	good, failed, calls int
	slowest             time.Duration
}

func (p throughput) String() string {
	return fmt.Sprintf("%d events/s, %.3f calls each, the slowest after %v", p.good, float64(p.calls)/float64(max(p.good, 1)), p.slowest)
}

// measured is how long a throughput is measured, in the time of a bubble.
const measured = time.Second

// A source makes events, one of so many poison.
type source struct {
	oneIn  int64
	n      atomic.Int64
	failed atomic.Int64 // of those that are not
}

// event returns the next one, with the time as its body if it is honest.
func (s *source) event() (e beacon.Event, poison bool) {
	n := s.n.Add(1)
	if poison = s.oneIn > 0 && n%s.oneIn == 0; poison {
		return beacon.Event{Body: beacon.Text(poisonBody)}, true
	}
	// The fraction makes it another one than those of the same moment.
	return beacon.Event{Body: beacon.Text(honestBody + time.Now().Add(time.Duration(n%1_000_000)).Format(time.RFC3339Nano))}, false
}

func (s *source) send(to beacon.Sink) {
	e, poison := s.event()
	if err := to.Consume(context.Background(), []beacon.Event{e}); err != nil && !poison {
		s.failed.Add(1)
	}
}

// callers are as many as make about 40,000 events a second when all is well. With many
// more of them the clean rate has no bound, and that with poison has: to find one bad
// event in a hundred takes several calls, whoever looks.
const callers = 160

// batchThroughput is that of a [sink.Batch] whose callers are never done.
func batchThroughput(t *testing.T, mode string, oneIn int) (p throughput) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{mode: mode}
		b := sink.Batch(s, sink.BatchOptions{})
		from := &source{oneIn: int64(oneIn)}
		for begun, n := time.Now(), 0; n < callers; n++ {
			go func() {
				for time.Since(begun) < measured {
					from.send(b)
				}
			}()
		}
		time.Sleep(measured)
		a := s.arrivals()
		time.Sleep(time.Minute) // those on their way come to their end
		p = throughput{a.Honest, int(from.failed.Load()), a.Calls, a.Slowest}
	})
	return p
}

// spoolThroughput is that of a spool that gets 2,000 events a second.
func spoolThroughput(t *testing.T, mode string, oneIn int) (p throughput) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &store{mode: mode}
		sp, err := spool.Open(dir, s, spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		from := &source{oneIn: int64(oneIn)}
		for begun := time.Now(); time.Since(begun) < measured; time.Sleep(10 * time.Millisecond) {
			for range 20 {
				go from.send(sp)
			}
		}
		a := s.arrivals()
		p = throughput{a.Honest, int(from.failed.Load()), a.Calls, a.Slowest}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := sp.Close(ctx); err != nil {
			t.Log(err) // events that wait are not lost
		}
	})
	return p
}
