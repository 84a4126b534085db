package faults

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestVolumeFull fills the volume that the spool is on, while next is down.
func TestVolumeFull(t *testing.T) {
	for _, row := range []struct {
		name string
		heal func(t *testing.T, vol *volume, c *child) time.Time
	}{
		{"somebody makes room", func(t *testing.T, vol *volume, _ *child) time.Time {
			if err := os.Remove(filepath.Join(vol.dir, "ballast")); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}},
		{"next heals", func(t *testing.T, vol *volume, c *child) time.Time {
			healed := time.Now()
			c.next("store")
			waitUntil(t, 15*time.Second, 5*time.Millisecond, "a delivery", func() bool { return c.report().Spool.Delivered > 0 })
			t.Logf("first delivery seen %v after next healed", time.Since(healed).Round(time.Millisecond))
			return time.Now()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range pick(1, 3) {
				fillVolume(t, row.heal)
			}
		})
	}
}

func fillVolume(t *testing.T, heal func(*testing.T, *volume, *child) time.Time) {
	vol := newVolume(t, 24)
	f, err := os.Create(filepath.Join(vol.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(realDisk(t), "delivered")
	j := job{Dir: filepath.Join(vol.dir, "spool"), Out: outside, Next: "down", SegmentBytes: smallSegments}
	c := start(t, j)
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: 16, Bytes: 4 << 10}
	l.start()

	// Full is when nothing else was answered for half a second.
	var since time.Time
	waitUntil(t, time.Minute, 10*time.Millisecond, "a full volume", func() bool {
		all := l.all()
		if len(all) == 0 || all[len(all)-1].status != http.StatusServiceUnavailable {
			since = time.Time{}
			return false
		}
		if since.IsZero() {
			since = time.Now()
		}
		for i := len(all) - 1; i >= 0 && all[i].at.After(since); i-- {
			if all[i].status == http.StatusNoContent {
				since = time.Time{}
				return false
			}
		}
		return time.Since(since) > 500*time.Millisecond
	})
	filled, left := l.ledger.ackedCount(), vol.free()

	healed := heal(t, vol, c)
	before := l.ledger.ackedCount()
	time.Sleep(2500 * time.Millisecond)
	// It accepts again from the first of 20 answers in a row that are 204.
	var again time.Time
	run := 0
	for _, o := range l.all() {
		if o.status != http.StatusNoContent {
			run = 0
			continue
		}
		if !o.at.Before(healed) {
			if run++; run == 1 {
				again = o.at
			}
			if run == 20 {
				break
			}
		}
	}
	l.halt()
	slowest := l.checkRefusals(t, time.Second)
	if run < 20 {
		t.Errorf("it does not accept again; %d acknowledged since", l.ledger.ackedCount()-before)
	} else if took := again.Sub(healed); took > time.Second {
		t.Errorf("it accepted again after %v, want within 1 s", took)
	}
	st := c.report().Spool
	c.next("store")
	c.kill() // it may have been writing anything
	recovered, _ := recoverSpool(t, j.Dir)
	delivered, _ := readStore(t, outside)
	v := l.ledger.check(delivered, recovered)
	v.must(t, "full volume")
	t.Logf("full volume: %d acked and %d bytes left when full; answers %v, slowest refusal %v; accepted again after %v, %d more acked; %+v",
		filled, left, l.count(), slowest.Round(time.Millisecond), again.Sub(healed).Round(time.Millisecond), l.ledger.ackedCount()-filled, st)
	vol.unmount()
}
