package faults

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestNextMisbehaves has a next that does not return, or panics, or ends its goroutine,
// under a load. Nobody who brings events notices, and when it is well again all is
// delivered, without anybody's doing.
func TestNextMisbehaves(t *testing.T) {
	const timeout = 500 * time.Millisecond
	for _, mode := range []string{"stuck", "hang", "panic", "exit"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			dir := realDisk(t)
			j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store", Timeout: timeout}
			c := start(t, j)
			l := &load{Addr: func() string { return c.hello.Addr }, Clients: 8, Every: 20 * time.Millisecond}
			l.start()
			l.warm(t)
			calm, memory := c.report().Goroutines, resident(t, c.hello.PID)
			c.next(mode)
			since := time.Now()
			failed := c.watchReady(timeout + pick(3*time.Second, time.Minute))
			bad, most := c.report(), resident(t, c.hello.PID)
			c.next("store")
			healed := time.Now()
			acked := uint64(l.ledger.ackedCount())
			waitUntil(t, 20*time.Second, 20*time.Millisecond, "delivery of all that was acknowledged before", func() bool {
				return c.report().Spool.Delivered >= acked
			})
			t.Logf("%d goroutines before, %d in the middle; resident %d and %d MB; all delivered %v after next was well; %+v",
				calm, bad.Goroutines, memory>>20, most>>20, time.Since(healed).Round(time.Millisecond), bad.Spool)
			l.halt()
			if n := len(l.all()) - l.count()[http.StatusNoContent]; n > 0 {
				t.Errorf("%d beacons were not taken: %v", n, l.count())
			}
			if mode == "stuck" { // the others may go on at any time
				checkTold(t, since.Add(timeout), failed)
			} else if bad.Spool.SinkErrors == 0 {
				t.Error("its failures are not counted")
			}
			if !c.ready() {
				t.Error("the probe says not ready after it was over")
			}
			if bound := calm + 10; bad.Goroutines > bound {
				t.Errorf("%d goroutines, want at most %d", bad.Goroutines, bound)
			}
			if bound := memory + room(2*8<<20); most > bound { // the events that wait in memory
				t.Errorf("%d MB resident, want at most %d", most>>20, bound>>20)
			}
			last, _ := c.terminate(20 * time.Second)
			if last.Spool.Dead > 0 {
				t.Errorf("%d dead letters, and no event was to blame", last.Spool.Dead)
			}
			delivered, _ := readStore(t, j.Out)
			v := l.ledger.check(delivered)
			v.must(t, mode)
		})
	}
}

// TestVolumeFullOfPoison fills the volume while next is away, with a load in which next
// will refuse some events. There is no room for dead letters when it comes back, and
// still it goes on by itself.
func TestVolumeFullOfPoison(t *testing.T) {
	t.Run("small segments", func(t *testing.T) { fillWithPoison(t, 1<<20) })
	t.Run("one segment", func(t *testing.T) { fillWithPoison(t, 0) }) // by default it is larger than the volume
}

func fillWithPoison(t *testing.T, segment int64) {
	vol := newVolume(t, 24)
	j := job{Dir: filepath.Join(vol.dir, "spool"), Out: filepath.Join(realDisk(t), "delivered"), Next: "down", SegmentBytes: segment}
	c := start(t, j)
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: 16, Bytes: 4 << 10, Poison: 10}
	l.start()
	waitUntil(t, time.Minute, 10*time.Millisecond, "a full volume", func() bool {
		all := l.all()
		return len(all) > 100 && l.count()[http.StatusServiceUnavailable] > 100
	})
	full := time.Now()
	failed := c.watchReady(toldWithin)
	checkTold(t, full, failed)

	c.next("store")
	healed, before := time.Now(), l.ledger.ackedCount()
	for l.ledger.ackedCount() < before+100 && time.Since(healed) < 10*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	again := time.Since(healed)
	l.halt()
	slowest := l.checkRefusals(t, refusedWithin)
	if n := l.ledger.ackedCount() - before; n < 100 {
		t.Errorf("it does not accept again: %d beacons taken in %v since next was well", n, again)
	}
	acked := uint64(l.ledger.ackedCount())
	deadline := time.Now().Add(10 * time.Second)
	st := c.report().Spool
	for ; st.Delivered+st.Dead < acked && time.Now().Before(deadline); st = c.report().Spool {
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("full of poison: answers %v, slowest refusal %v, 100 accepted again after %v; %+v",
		l.count(), slowest.Round(time.Millisecond), again.Round(time.Millisecond), st)
	if st.Delivered+st.Dead < acked {
		t.Errorf("%d delivered and %d dead of %d acknowledged: delivery stands", st.Delivered, st.Dead, acked)
	}
	if st.Dead == 0 {
		t.Error("there are no dead letters, so nothing is proven")
	}
	if !c.ready() {
		t.Error("the probe says not ready after it was over")
	}
	settleAccounts(t, "full of poison", c, l, j)
	vol.unmount()
}
