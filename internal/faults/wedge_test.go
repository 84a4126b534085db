package faults

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What an operator can count on when the disk is not well: who brings events is told
// within a second, and a probe finds out within two. A busy machine adds to that.
const (
	refusedWithin = time.Second + busy
	toldWithin    = 2*time.Second + busy
	busy          = 500 * time.Millisecond
)

// ready says whether the readiness probe finds the program able to take events.
func (c *child) ready() bool { return c.ask("/ready", 5*time.Second, nil) == nil }

// watchReady asks for as long as that, and returns when the probe failed for the first
// time; zero is never.
func (c *child) watchReady(length time.Duration) (failed time.Time) {
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if !c.ready() && failed.IsZero() {
			failed = time.Now()
		}
	}
	return failed
}

// checkTold fails the test if the probe took too long to fail, or did not.
func checkTold(t *testing.T, since, failed time.Time) {
	t.Helper()
	if failed.IsZero() {
		t.Error("the probe says ready all the while")
	} else if took := failed.Sub(since); took > toldWithin {
		t.Errorf("the probe failed after %v, want within %v", took, toldWithin)
	}
}

// checkGoesOn fails the test unless beacons are taken again within a time.
func checkGoesOn(t *testing.T, l *load, c *child, within time.Duration) {
	t.Helper()
	begun, before := time.Now(), l.ledger.ackedCount()
	for l.ledger.ackedCount() < before+20 {
		if time.Since(begun) > within {
			t.Errorf("%d beacons taken in %v after it was over", l.ledger.ackedCount()-before, within)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !c.ready() {
		t.Error("the probe says not ready after it was over")
	}
}

// room is by how much resident memory may grow, which is more under the race detector.
func room(n int64) int64 {
	if raceEnabled {
		return 10 * n
	}
	return n
}

// lastTaken is when the last 204 came.
func (l *load) lastTaken() (at time.Time) {
	for _, o := range l.all() {
		if o.status == http.StatusNoContent && o.at.After(at) {
			at = o.at
		}
	}
	return at
}

// checkAnswers fails the test on answers other than 204 and a quick 503, and on any 204
// while the disk was known to be gone.
func (l *load) checkAnswers(t *testing.T, gone, back time.Time) {
	t.Helper()
	hollow := 0
	for _, o := range l.all() {
		if o.status == http.StatusNoContent && o.at.Sub(gone) > toldWithin && o.at.Before(back) {
			hollow++
		}
	}
	if hollow > 0 {
		t.Errorf("%d beacons taken more than %v after the disk was gone", hollow, toldWithin)
	}
	slowest := l.checkRefusals(t, refusedWithin)
	t.Logf("answers %v, slowest refusal %v, %d broken", l.count(), slowest.Round(time.Millisecond), l.broken.Load())
	if l.count()[http.StatusServiceUnavailable] == 0 {
		t.Error("nothing was refused, so nothing is proven")
	}
}

// settleAccounts kills the program and finds what was acknowledged.
func settleAccounts(t *testing.T, what string, c *child, l *load, j job) {
	t.Helper()
	c.kill()
	recovered, _ := recoverSpool(t, j.Dir)
	delivered, _ := readStore(t, j.Out)
	v := l.ledger.check(delivered, recovered, deadLetters(t, j.Dir))
	v.must(t, what)
}

// TestDiskHangs lets the disk not come back for long, once in a sync and once in all that
// writes.
func TestDiskHangs(t *testing.T) {
	length := pick(5*time.Second, 30*time.Second)
	t.Run("sync", func(t *testing.T) {
		need(t, "strace")
		dir := realDisk(t)
		j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store"}
		c := start(t, j, "strace", "-f", "-qq", "--seccomp-bpf", "-o", filepath.Join(dir, "trace"), "-e", "signal=none", "-e", "trace=fdatasync",
			"-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d:when=200", length.Microseconds()))
		// It is a matter of time. strace counts the calls of each thread, so another may
		// have its 200th, and hang as long, when this is over.
		hangs(t, c, j, length, 5*time.Second+2*length, func() {}, func() {})
	})
	t.Run("volume", func(t *testing.T) {
		need(t, "fsfreeze")
		vol := newVolume(t, 64)
		outside := filepath.Join(realDisk(t), "delivered")
		j := job{Dir: filepath.Join(vol.dir, "spool"), Out: outside, Next: "store", SegmentBytes: 1 << 20, MaxBytes: 32 << 20}
		c := start(t, j)
		thaw := func() { _ = exec.Command("fsfreeze", "-u", vol.dir).Run() } // it may be thawed
		t.Cleanup(thaw)
		hangs(t, c, j, length, 5*time.Second, func() { vol.run("fsfreeze", "-f", vol.dir) }, func() { time.Sleep(length - busy); thaw() })
	})
}

// hangs loads the program while its disk hangs: begin makes it hang, and end returns when
// it does no more, after which the program has to go on within a time.
func hangs(t *testing.T, c *child, j job, length, within time.Duration, begin, end func()) {
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: 16}
	l.start()
	l.warm(t)
	calm, memory := c.report().Goroutines, resident(t, c.hello.PID)
	begin()
	var since time.Time
	waitUntil(t, 20*time.Second, 10*time.Millisecond, "a disk that hangs", func() bool {
		since = l.lastTaken()
		return time.Since(since) > busy
	})
	over := make(chan struct{})
	go func() {
		defer close(over)
		end()
	}()

	// Visitors that do not wait for their answers, as images that are gone with the page.
	leave := leaving(c.hello.Addr, &l.ledger, 200)
	failed := c.watchReady(time.Until(since.Add(length - busy)))
	r := c.report()
	most := resident(t, c.hello.PID)
	leave()
	<-over
	for time.Since(since) < length+busy {
		time.Sleep(10 * time.Millisecond)
	}
	checkGoesOn(t, l, c, within)
	l.halt()
	t.Logf("goroutines %d before and %d while it hung, resident %d and %d MB", calm, r.Goroutines, memory>>20, most>>20)
	checkTold(t, since, failed)
	l.checkAnswers(t, since, since.Add(length-busy))
	// Two for each connection, and a few that look after the disk.
	if bound := calm + 2*200 + 20; r.Goroutines > bound {
		t.Errorf("%d goroutines while the disk hung, want at most %d", r.Goroutines, bound)
	}
	if bound := memory + room(32<<20); most > bound {
		t.Errorf("%d MB resident while the disk hung, want at most %d", most>>20, bound>>20)
	}
	settleAccounts(t, "hanging disk", c, l, j)
}

// leaving are so many visitors that send a beacon each three times a second, and hang up
// without an answer.
func leaving(addr string, l *ledger, visitors int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / 3 / time.Duration(visitors))
		defer tick.Stop()
		open := make([]*conn, visitors)
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				c := &open[n%visitors]
				(*c).close()
				if *c, _ = dial(addr); *c != nil {
					x := newID(1000+n%visitors, n/visitors)
					l.set(x, sent)
					_ = (*c).send([]id{x}, eventBytes) // who leaves does not look
				}
			case <-done:
				for _, c := range open {
					c.close()
				}
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// TestDirectoryGone takes the spool's directory away.
func TestDirectoryGone(t *testing.T) {
	dir := realDisk(t)
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store"}
	c := start(t, j)
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: 16}
	l.start()
	l.warm(t)
	time.Sleep(busy)
	if err := os.RemoveAll(j.Dir); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	failed := c.watchReady(toldWithin + time.Second)
	l.halt()
	checkTold(t, gone, failed)
	l.checkAnswers(t, gone, time.Now())
	t.Logf("%+v", c.report().Spool)
	c.kill()

	// What it needs is a new start.
	j.Out += " again"
	c = start(t, j)
	l = &load{Addr: func() string { return c.hello.Addr }, Clients: 16, First: 16}
	l.start()
	l.warm(t)
	l.halt()
	settleAccounts(t, "a new directory", c, l, j)
}

// TestVolumeReadOnly has the kernel find an error on the volume, which is read-only from
// then on, until somebody looks after it.
func TestVolumeReadOnly(t *testing.T) {
	need(t, "e2fsck", "findmnt")
	vol := newVolume(t, 64)
	j := job{Dir: filepath.Join(vol.dir, "spool"), Out: filepath.Join(realDisk(t), "delivered"), Next: "slow",
		SegmentBytes: 1 << 20, MaxBytes: 32 << 20}
	c := start(t, j)
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: 16}
	l.start()
	l.warm(t)
	time.Sleep(busy)
	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", vol.dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(strings.TrimSpace(string(device)))
	if err := os.WriteFile("/sys/fs/ext4/"+name+"/trigger_fs_error", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	failed := c.watchReady(toldWithin + time.Second)
	l.halt()
	checkTold(t, since, failed)
	l.checkAnswers(t, since, time.Now())
	c.kill()
	vol.unmount()
	// One that has mended something does not exit with 0.
	if out, err := exec.Command("e2fsck", "-fy", vol.image).CombinedOutput(); err != nil && !strings.Contains(err.Error(), "exit status 1") {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	vol.mount()
	settleAccounts(t, "read-only volume", c, l, j)
	vol.unmount()
}
