package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

// TestSoak does all of it to one spool, in no order, for long.
func TestSoak(t *testing.T) {
	length := pick(20*time.Second, 10*time.Minute)
	dir := realDisk(t)
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store", SegmentBytes: 4 << 20, Timeout: 300 * time.Millisecond}
	memory := []string{"GOMEMLIMIT=256MiB"}
	c := startEnv(t, j, memory)
	var addr atomic.Value
	addr.Store(c.hello.Addr)
	l := &load{Addr: func() string { return addr.Load().(string) }, Clients: 24, Every: 10 * time.Millisecond, Poison: 500, HangUp: 40}
	l.start()
	l.warm(t)

	begin := time.Now()
	done := map[string]int{}
	third := func() int { return min(int(3*time.Since(begin)/length), 2) }
	var rss [3]int64
	modes := []string{"down", "slow", "panic", "permanent", "twice", "hang"}
	for time.Since(begin) < length {
		until := time.Now().Add(time.Duration(200+rand.IntN(1000)) * time.Millisecond)
		for time.Now().Before(until) {
			rss[third()] = max(rss[third()], resident(t, c.hello.PID))
			time.Sleep(20 * time.Millisecond)
		}
		switch fault := rand.IntN(10); {
		case fault < 6:
			mode := modes[fault]
			done["next "+mode]++
			c.next(mode)
			time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
			c.next("store")
		case fault < 8:
			done["SIGSTOP"]++
			c.signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
			c.signal(syscall.SIGCONT)
		default:
			done["kill -9"]++
			c.kill()
			c = startEnv(t, j, memory)
			addr.Store(c.hello.Addr)
		}
	}
	l.halt()

	// All is quiet: what is left goes out, and the goroutines of the load go.
	c.flush(time.Minute)
	idle := startEnv(t, job{Dir: filepath.Join(dir, "other"), Next: "nil"}, memory)
	want := idle.report().Goroutines
	var got int
	end := time.Now().Add(10 * time.Second)
	for got = c.report().Goroutines; got > want && time.Now().Before(end); got = c.report().Goroutines {
		time.Sleep(50 * time.Millisecond)
	}
	st := c.report().Spool
	c.terminate(30 * time.Second)

	found, _ := readStore(t, j.Out)
	dead := deadLetters(t, j.Dir)
	v := l.ledger.check(found, dead)
	v.must(t, "soak")
	poisoned := 0
	for _, x := range found {
		if x&poison != 0 {
			poisoned++
		}
	}
	t.Logf("soak: %v, faults %v; %d delivered, %d dead letters; answers %v, %d requests broken; resident in each third %d, %d, %d MB; goroutines %d, idle %d; %+v",
		length, done, len(found), len(dead), l.count(), l.broken.Load(), rss[0]>>20, rss[1]>>20, rss[2]>>20, got, want, st)
	if poisoned > 0 {
		t.Errorf("%d poisoned events were delivered", poisoned)
	}
	if len(dead) == 0 {
		t.Error("no dead letters, though events were poisoned")
	}
	if got > want {
		t.Errorf("%d goroutines after the load, %d in a program without", got, want)
	}
	if full && float64(rss[2]) > 1.3*float64(rss[1]) {
		t.Errorf("resident memory grew from %d to %d MB", rss[1]>>20, rss[2]>>20)
	}
}

// deadLetters returns what is dead in a spool.
func deadLetters(t *testing.T, dir string) (ids []id) {
	t.Helper()
	for r, err := range spool.Read(dir) {
		if err != nil {
			t.Errorf("read the spool: %v", err)
			continue
		}
		if r.State != spool.StateDead {
			continue
		}
		if r.Err != nil {
			t.Errorf("dead letter at %d of %s: %v", r.Offset, r.File, r.Err)
			continue
		}
		x, err := identify(&r.Event)
		if err != nil {
			t.Error(err)
			continue
		}
		ids = append(ids, x)
	}
	return ids
}

// resident returns how many bytes of memory a process has.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
