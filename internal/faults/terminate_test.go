package faults

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestTerminate ends a loaded server the way a supervisor does. What it had read
// is stored, or answered with an error, and it ends in time.
func TestTerminate(t *testing.T) {
	const deadline = 5 * time.Second
	dir := realDisk(t)
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), SegmentBytes: smallSegments, Deadline: deadline}
	total := &load{}
	runs := pick(6, 50)
	answers, ends := map[int]int{}, map[string]time.Duration{}
	for run := range runs {
		j.Next = [...]string{"store", "down", "hang"}[run%3]
		c := start(t, j)
		l := &load{Addr: func() string { return c.hello.Addr }, Clients: 32, First: run * 32}
		l.start()
		l.warm(t)
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
		last, took := c.terminate(deadline + 2*time.Second)
		l.halt()

		// Whatever the handler saw was answered, and the answer arrived.
		ends[j.Next] = max(ends[j.Next], took.Round(time.Millisecond))
		seen := l.count()
		for status, n := range seen {
			answers[status] += n
			if int64(n) != last.Answers[status] {
				t.Errorf("run %d: %d answers %d arrived of %d given", run, n, status, last.Answers[status])
			}
			if status != 204 && status != 503 {
				t.Errorf("run %d: answered %d", run, status)
			}
		}
		if int64(len(l.all())) != last.Requests {
			t.Errorf("run %d: %d requests were read, %d answered", run, last.Requests, len(l.all()))
		}
		total.merge(l)
	}
	j.Next = "store"
	c := start(t, j)
	c.flush(time.Minute)
	c.terminate(30 * time.Second)
	found, _ := readStore(t, j.Out)
	v := total.ledger.check(found)
	v.must(t, "SIGTERM")
	t.Logf("SIGTERM: %d runs, answers %v, slowest ends by the state of next %v, with a deadline of %v", runs, answers, ends, deadline)
}
