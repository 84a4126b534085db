package fleet

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	flag.Parse()
	_ = flag.Set("test.parallel", "4") // most of the time they wait for an election, or for a dead process to be missed
	os.Exit(Run(m))
}

// full says whether to run at length.
var full = os.Getenv("BEACON_FAULTS") == "full"

func pick[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// beacons is how many requests there are in TestFleet.
func beacons() int {
	if n, err := strconv.Atoi(os.Getenv("BEACON_FLEET_BEACONS")); err == nil {
		return n
	}
	return pick(6_000, 1_000_000)
}

// parallel lets the short tests run beside each other. What long ones measure is theirs.
func parallel(t *testing.T) {
	if !full {
		t.Parallel()
	}
}

// begin starts a fleet, which ends with the test.
func begin(t *testing.T, p plan) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("BEACON_FLEET_DIR"), "beacon-fleet-")
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFleet(dir, p)
	t.Cleanup(func() {
		f.end()
		if t.Failed() && os.Getenv("BEACON_FLEET_DIR") != "" {
			t.Logf("the files are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wanted returns what comes of n requests.
func wanted(t *testing.T, n int) *want {
	t.Helper()
	w, err := wantOf(n)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// browsers are as many as w needs.
func (f *fleet) browsers(w *want) *load {
	return &load{visits: w.visits, clients: 24, addrs: f.receivers.addrs}
}

// settle waits until all is stored, ends the fleet in order, and compares.
func (f *fleet) settle(ctx context.Context, t *testing.T, w *want) {
	t.Helper()
	wrong := f.outcome(ctx, w, patience)
	for _, s := range wrong {
		t.Error(s)
	}
	if len(wrong) > 0 {
		return
	}
	t.Logf("%d events and %d sessions are, byte for byte, those of one process: %s", len(w.of), len(w.sessions), hashOf(w.sessions))
}

// outcome is what is wrong when all is stored, or nothing more for idle, and the fleet has
// ended in order.
func (f *fleet) outcome(ctx context.Context, w *want, idle time.Duration) (wrong []string) {
	if err := f.drained(ctx, len(w.of), idle); err != nil {
		wrong = append(wrong, err.Error())
	}
	wrong = append(wrong, f.stop()...)
	st, err := f.db.spec.open(ctx, nil)
	if err != nil {
		return append(wrong, err.Error())
	}
	return append(wrong, w.check(ctx, st)...)
}

// TestFleet: whatever is killed, and however often something is delivered, in the end the
// store has what one process has that was fed in order.
func TestFleet(t *testing.T) {
	parallel(t)
	for _, log := range []string{"jetstream", "kafka"} {
		for _, store := range []string{"postgresql", "clickhouse"} {
			t.Run(log+"/"+store, func(t *testing.T) {
				parallel(t)
				testFleet(t, log, store)
			})
		}
	}
}

func testFleet(t *testing.T, log, store string) {
	w := wanted(t, beacons())
	f := begin(t, plan{log: log, store: store, sync: "always", receivers: 3, consumers: 2, unsure: 15})
	ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, 2*time.Hour))
	defer cancel()
	var stored atomic.Int64
	watching, enough := context.WithCancel(ctx)
	defer enough()
	go f.watch(watching, stored.Store)
	l := f.browsers(w)
	// Else all is sent before most of it has gone wrong.
	l.window, l.arrived = 50_000, stored.Load
	l.rate = pick(float64(w.requests)/15, 0)
	c := f.chaos(pick(1500*time.Millisecond, 4*time.Second), pick(3*time.Second, 10*time.Second), pick(200*time.Millisecond, time.Second))
	began := time.Now()
	progress(ctx, t, func() string { return fmt.Sprintf("%d taken, %d stored", l.taken.Load(), stored.Load()) })
	if err := l.run(ctx); err != nil {
		t.Errorf("of %d requests %d were acknowledged: %v", w.requests, l.taken.Load(), err)
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
	t.Logf("%d visits, %d requests, %d events: acknowledged in %v, %.0f/s; answers: %s", w.visits, w.requests, len(w.of), time.Since(began).Round(time.Second), l.perSecond(), l.answers())
	t.Log(c.all())
	enough()
	if err := f.drained(ctx, len(w.of), patience); err == nil {
		t.Logf("all was stored %v after the first was sent", time.Since(began).Round(time.Second))
	}
	f.settle(ctx, t, w)
	t.Log(f.cost(len(w.of)))
	given := sumOf(f.dir)
	t.Logf("the store was given %d events, %.0f %% more than there are", given, 100*float64(given)/float64(len(w.of))-100)
	if float64(given) < 1.1*float64(len(w.of)) {
		t.Error("less than a tenth was delivered again, so little is proven")
	}
}

// progress logs how far a long test is.
func progress(ctx context.Context, t *testing.T, how func() string) {
	if !full {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for {
			if sleep(ctx, 15*time.Second); ctx.Err() != nil {
				return
			}
			fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().UTC().Format(time.TimeOnly), t.Name(), how())
		}
	}()
}
