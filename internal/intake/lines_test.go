package intake

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatIsLeftIsHad: those who leave room do not wait in front of those they leave it
// for, neither in the budget nor in the share of a network.
func TestWhatIsLeftIsHad(t *testing.T) {
	for _, network := range []netip.Prefix{{}, one} {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(100, 60, 20, 0, math.MaxInt)
			if network.IsValid() {
				b.free = 1000
			}
			free := b.free
			for b.wait(claim{n: 10, leave: 20, network: network}, 0, nobody) {
			}
			held := free - b.free
			served := ask(&b,
				asked{"read", claim{n: 10, leave: 20, network: network}, time.Minute},
				asked{"made", claim{n: 20, network: network}, time.Second},
				asked{"late", claim{n: 1, network: network}, time.Second})
			if got := served(); got != "made" {
				t.Errorf("%v: served %q", network, got)
			}
			time.Sleep(time.Second)
			if got := served(); got != "made -late" {
				t.Errorf("%v: served %q", network, got)
			}
			b.release(network, 20, 0)
			b.release(network, held, 0)
			if got := served(); got != "made -late read" {
				t.Errorf("%v: served %q", network, got)
			}
		})
	}
}

// TestNoWaitForOneThatIsGone: who gives up waiting for the share of its network does not
// leave behind those who waited for it alone.
func TestNoWaitForOneThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 10, 0, 0, math.MaxInt)
		if !b.wait(claim{n: 6, network: one}, 0, nobody) {
			t.Fatal("its share is free")
		}
		served := ask(&b,
			asked{"too much", claim{n: 8, network: one}, time.Second},
			asked{"little", claim{n: 3, network: one}, time.Minute})
		time.Sleep(time.Second)
		if got := served(); got != "-too much little" {
			t.Errorf("served %q", got)
		}
	})
}

// TestNobodyWaitsForNothing: whatever claims do, none waits that could be served.
func TestNobodyWaitsForNothing(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(1000, 300, 50, 60, math.MaxInt)
			random := rand.New(rand.NewPCG(seed, 0))
			var all sync.WaitGroup
			for range 60 {
				c := claim{n: random.Int64N(150)}
				switch random.IntN(4) {
				case 0:
					c.small = true
				case 1:
					c.leave = 1 + random.Int64N(300)
				}
				c.network = [...]netip.Prefix{one, one, other, {}}[random.IntN(4)]
				begin, patience, hold := random.IntN(3000), random.IntN(1000), random.IntN(1000)
				all.Go(func() {
					time.Sleep(time.Duration(begin) * time.Millisecond)
					if b.wait(c, time.Duration(patience)*time.Millisecond, nobody) {
						time.Sleep(time.Duration(hold) * time.Millisecond)
						small := int64(0)
						if c.small {
							small = c.n
						}
						b.release(c.network, c.n, small)
					}
				})
			}
			for range 500 {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				b.mu.Lock()
				for kind := range b.lines {
					if w := b.lines[kind].first(); w != nil && b.fits(w.claim) {
						t.Errorf("seed %d: %+v waits, and %d are free", seed, w.claim, b.free)
					}
				}
				for name, own := range b.networks {
					for kind := range own.lines {
						if w := own.lines[kind].first(); w != nil && b.inShare(own, w.claim) {
							t.Errorf("seed %d: %+v waits, and %v has %d of %d", seed, w.claim, name, own.asked, b.share)
						}
					}
				}
				b.mu.Unlock()
			}
			all.Wait()
			if b.free != 1000 || b.small != 0 || b.waiting != 0 || len(b.networks) != 0 || !b.lines.empty() {
				t.Errorf("seed %d: %+v", seed, &b)
			}
		})
	}
}
