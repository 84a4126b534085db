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
	for _, row := range []struct {
		name   string
		job    job
		within time.Duration
	}{
		{"undelivered", job{Next: "down"}, time.Second},
		// Delivered events are safe outside the volume; segments go, and the cursor
		// moves, while it is cut. Next is slow so that some are always on their way.
		{"delivering", job{Next: "slow"}, 3 * time.Second},
		// Dead letters are written, and their segments are the one place where the
		// events are that the cursor has passed.
		{"burying", job{Next: "store", Poison: 20}, 2 * time.Second},
	} {
		for _, system := range []string{"ext4", "xfs"} {
			t.Run(row.name+"/"+system, func(t *testing.T) {
				v := cutRepeatedly(t, system, row.job, row.within, pick(3, 30))
				t.Logf("power cut, %s, %s: lost %d of %d acked before the cut, %d dead letters", row.name, system, v.lost, v.acked, v.dead)
				if v.lost > 0 {
					t.Errorf("lost %d acknowledged events", v.lost)
				}
				if row.job.Poison > 0 && v.dead == 0 {
					t.Error("there are no dead letters, so nothing is proven of them")
				}
			})
		}
	}
	// Without it the rows above would prove nothing.
	for _, system := range []string{"ext4", "xfs"} {
		t.Run("without sync it does lose/"+system, func(t *testing.T) {
			v := cutRepeatedly(t, system, job{Next: "down", Never: true}, time.Second, pick(2, 6))
			t.Logf("power cut, Sync Never, %s: lost %d of %d acked before the cut", system, v.lost, v.acked)
			if v.lost == 0 {
				t.Error("nothing was lost without sync: the cut does not cut")
			}
		})
	}
}

// cutRepeatedly cuts up to so long after the first acknowledgement.
func cutRepeatedly(t *testing.T, system string, j job, within time.Duration, runs int) (sum afterCut) {
	t.Helper()
	for run := range runs {
		v := cutOnce(t, system, j, within, run*32)
		sum.acked += v.acked
		sum.lost += v.lost
		sum.dead += v.dead
	}
	return sum
}

// An afterCut is the verdict on what was acknowledged before a cut.
type afterCut struct {
	verdict
	dead int // letters
}

func cutOnce(t *testing.T, system string, j job, within time.Duration, first int) afterCut {
	t.Helper()
	vol := newVolumeOf(t, system, 320) // the least that XFS takes is 300
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
	dead := deadLetters(t, j.Dir)
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
	v := before.check(delivered, recovered, dead)
	all := l.check(delivered, recovered, dead)
	t.Logf("  %v; %d delivered before, %d recovered, %d dead letters, %d torn tails, %d refused after the cut, racing acks lost: %d of %d",
		v, len(delivered), len(recovered), len(dead), st.Damaged, refused, all.lost-v.lost, all.acked-v.acked)
	if v.acked == 0 {
		t.Error("nothing was acknowledged before the cut")
	}
	if v.foreign > 0 {
		t.Errorf("%d events that nobody sent", v.foreign)
	}
	return afterCut{v, len(dead)}
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
