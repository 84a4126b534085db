package intake

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/http/httptest"
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
			b := newBudget(100, 60, 0, math.MaxInt)
			b.leave, b.leaveShare = [kinds]int64{finishing: 20, beginning: 50}, [kinds]int64{finishing: 20, beginning: 40}
			if network.IsValid() {
				b.free = 1000
			}
			free := b.free
			for b.wait(claim{n: 10, kind: finishing, network: network}, 0, nobody) {
			}
			held := free - b.free
			served := ask(&b,
				asked{"read", claim{n: 10, kind: finishing, network: network}, time.Minute},
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
		b := newBudget(100, 10, 0, math.MaxInt)
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
			b := newBudget(1000, 300, 60, math.MaxInt)
			b.leave, b.leaveShare = [kinds]int64{finishing: 100, beginning: 250}, [kinds]int64{finishing: 50, beginning: 80}
			random := rand.New(rand.NewPCG(seed, 0))
			var all sync.WaitGroup
			for range 60 {
				c := claim{n: random.Int64N(150), kind: kind(random.IntN(int(kinds)))}
				c.network = [...]netip.Prefix{one, one, other, {}}[random.IntN(4)]
				begin, patience, hold := random.IntN(3000), random.IntN(1000), random.IntN(1000)
				all.Go(func() {
					time.Sleep(time.Duration(begin) * time.Millisecond)
					if b.wait(c, time.Duration(patience)*time.Millisecond, nobody) {
						time.Sleep(time.Duration(hold) * time.Millisecond)
						little := int64(0)
						if c.kind == small {
							little = c.n
						}
						b.release(c.network, c.n, little)
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

// TestMakersDoNotWaitForEachOther: those who make much of their bodies, step by step, do not
// hold what others need for their next step while they wait for it themselves.
func TestMakersDoNotWaitForEachOther(t *testing.T) {
	for _, network := range []netip.Prefix{{}, one} {
		synctest.Test(t, func(t *testing.T) {
			g := New(Limits{MaxBody: 1000, Budget: 1000_000, Share: 1000_000, Making: 800_000, Requests: 100, Timeout: time.Minute, NoDeadline: func() {}})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					b := g.Body(nil, nil, network)
					defer b.Release()
					for range 2 {
						if err := b.HoldMore(400_000); err != nil {
							t.Error(err)
						}
						time.Sleep(10 * time.Millisecond)
					}
					b.HoldNoMore()
					time.Sleep(10 * time.Millisecond) // in the sink
				})
			}
			all.Wait()
			if g.Held() != 0 || g.making.free != 1 {
				t.Errorf("%d held, %d free", g.Held(), g.making.free)
			}
		})
	}
}

// TestOneAlwaysGoes: whatever the limits are, a body that nobody stands beside is read, and
// what may be made of it is made, if the budget has room for both.
func TestOneAlwaysGoes(t *testing.T) {
	for _, maxBody := range []int64{1, 100, 1000, 100_000, 1 << 20, 10 << 20} {
		for _, more := range []int64{0, 1, 1000, 100_000, 4 << 20, 100 << 20} {
			g := New(Limits{
				MaxBody: maxBody, Budget: maxBody + more, Share: maxBody + more, Making: max(1, more), Requests: 1,
				Timeout: time.Minute, NoDeadline: func() {},
			})
			for _, length := range []int64{maxBody, -1} {
				b := g.Body(httptest.NewRecorder(), post(bytes.NewReader(make([]byte, maxBody)), length), one)
				if err := b.Read(true); err != nil {
					t.Errorf("%d of %d: %v", maxBody, maxBody+more, err)
				}
				if err := b.HoldMore(more); err != nil {
					t.Errorf("%d beside %d: %v", more, maxBody, err)
				}
				b.Release()
			}
		}
	}
}
