package faults

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestHangUp has clients that close the connection as soon as the body is out, as
// browsers do when the page goes. The sink takes its time, and gives up when its
// context ends, so it must not be the request's.
func TestHangUp(t *testing.T) {
	const connections = 64
	clients := pick(1000, 10_000)
	dir := realDisk(t)
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store", Delay: 30 * time.Millisecond}
	c := start(t, j)
	var l ledger
	var wg sync.WaitGroup
	for n := range connections {
		wg.Go(func() {
			for seq := 0; n+seq*connections < clients; seq++ {
				conn, err := dial(c.hello.Addr)
				if err != nil {
					t.Error(err)
					return
				}
				x := newID(n, seq)
				l.set(x, acked) // there will be no answer, but the request is out
				if err := conn.send([]id{x}, eventBytes); err != nil {
					t.Error(err)
				}
				conn.close()
			}
		})
	}
	wg.Wait()
	var r report
	waitUntil(t, time.Minute, 50*time.Millisecond, "an answer to every request", func() bool {
		r = c.report()
		sum := int64(0)
		for _, n := range r.Answers {
			sum += n
		}
		return sum == int64(clients)
	})
	c.flush(time.Minute)
	c.terminate(30 * time.Second)
	found, _ := readStore(t, j.Out)
	v := l.check(found)
	v.must(t, "hang-up")
	t.Logf("hang-up: %d clients, %d requests, answers to nobody: %v", clients, r.Requests, r.Answers)
}
