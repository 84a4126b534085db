package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPowerCut takes the power away from the volume that the spool is on. What
// was acknowledged before must be there after.
func TestPowerCut(t *testing.T) {
	t.Run("undelivered", func(t *testing.T) {
		acked, lost := cutRepeatedly(t, job{Next: "down"}, time.Second, pick(3, 30))
		t.Logf("power cut, nothing delivered: lost %d of %d acked before the cut", lost, acked)
		if lost > 0 {
			t.Errorf("lost %d acknowledged events", lost)
		}
	})
	// Delivered events are safe outside the volume; segments go, and the cursor
	// moves, while it is cut. Next is slow so that some are always on their way.
	t.Run("delivering", func(t *testing.T) {
		acked, lost := cutRepeatedly(t, job{Next: "slow"}, 3*time.Second, pick(3, 30))
		t.Logf("power cut, delivering: lost %d of %d acked before the cut", lost, acked)
		if lost > 0 {
			t.Errorf("lost %d acknowledged events", lost)
		}
	})
	// Without it the rows above would prove nothing.
	t.Run("without sync it does lose", func(t *testing.T) {
		acked, lost := cutRepeatedly(t, job{Next: "down", Never: true}, time.Second, pick(2, 6))
		t.Logf("power cut, Sync Never: lost %d of %d acked before the cut", lost, acked)
		if lost == 0 {
			t.Error("nothing was lost without sync: the cut does not cut")
		}
	})
}

// cutRepeatedly cuts up to so long after the first acknowledgement.
func cutRepeatedly(t *testing.T, j job, within time.Duration, runs int) (acked, lost int) {
	t.Helper()
	for run := range runs {
		v := cutOnce(t, j, within, run*32)
		acked += v.acked
		lost += v.lost
	}
	return acked, lost
}

func cutOnce(t *testing.T, j job, within time.Duration, first int) verdict {
	t.Helper()
	vol := newVolume(t, 256)
	outside := filepath.Join(realDisk(t), "delivered")
	j.Dir, j.Out = filepath.Join(vol.dir, "spool"), outside
	j.SegmentBytes = smallSegments
	j.Writers, j.Client = 32, first

	c := start(t, j)
	var l ledger
	wait := c.writers(&l)
	waitUntil(t, 20*time.Second, 2*time.Millisecond, "the first acknowledgement", func() bool { return l.ackedCount() > 0 })
	time.Sleep(within/10 + rand.N(within*9/10))
	root, err := os.Open(vol.dir)
	if err != nil {
		t.Fatal(err)
	}
	before := l.snapshot()
	if err := vol.cut(root); err != nil {
		t.Fatal(err)
	}
	stored := size(outside)
	// The program goes on for a moment, in a world where nothing can be written.
	// What it still delivers from memory does not count.
	time.Sleep(50 * time.Millisecond)
	if !c.running() {
		t.Errorf("the program ended when its disk went away:\n%s", &c.err)
	}
	c.kill()
	if err := os.Truncate(outside, stored); err != nil {
		t.Fatal(err)
	}
	refused := wait()
	if err := root.Close(); err != nil {
		t.Error(err)
	}
	vol.unmount()
	vol.mount()
	recovered, st := recoverSpool(t, j.Dir)
	delivered, _ := readStore(t, outside)
	vol.unmount()

	// What was sent and acknowledged since the snapshot is allowed to be there.
	sentSince := l.snapshot()
	before.mu.Lock()
	for n, fates := range sentSince.clients {
		for seq, f := range fates {
			if seq >= len(before.clients[n]) {
				before.clients[n] = append(before.clients[n], sent)
			} else if f != unsent {
				before.clients[n][seq] = max(before.clients[n][seq], sent)
			}
		}
	}
	before.mu.Unlock()
	v := before.check(delivered, recovered)
	all := l.check(delivered, recovered)
	t.Logf("  %v; %d delivered before, %d recovered, %d torn tails, %d refused after the cut, racing acks lost: %d of %d",
		v, len(delivered), len(recovered), st.Damaged, refused, all.lost-v.lost, all.acked-v.acked)
	if v.acked == 0 {
		t.Error("nothing was acknowledged before the cut")
	}
	if v.foreign > 0 {
		t.Errorf("%d events that nobody sent", v.foreign)
	}
	return v
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
