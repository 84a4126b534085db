package curves

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// A burden is what connections put on a server and then keep there.
type burden struct {
	First []byte        // sent at once
	Then  []byte        // sent again and again, so that the server does not give up
	Every time.Duration // between these
}

// A holder has the connections of a burden.
type holder struct {
	burden
	conns []net.Conn
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	answers map[int]int // by status
}

// hold opens n connections and comes back when each has sent what comes first.
func hold(addr string, n int, b burden) (*holder, error) {
	if err := files(n); err != nil {
		return nil, err
	}
	h := &holder{burden: b, conns: make([]net.Conn, n), stop: make(chan struct{}), answers: map[int]int{}}
	opening := make(chan struct{}, 64) // more at once than a listener's backlog only wait
	errs := make(chan error, n)
	for i := range n {
		opening <- struct{}{}
		go func() {
			defer func() { <-opening }()
			c, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err == nil {
				h.conns[i] = c
				_, err = c.Write(b.First)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			h.release()
			return nil, fmt.Errorf("of %d connections: %w", n, err)
		}
	}
	for _, c := range h.conns {
		h.done.Go(func() { h.hear(c) })
		if b.Then != nil {
			h.done.Go(func() { h.drip(c) })
		}
	}
	return h, nil
}

// hear counts the answer, if there is one.
func (h *holder) hear(c net.Conn) {
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return // the connection was closed, by this side most often
	}
	_, _ = io.Copy(io.Discard, res.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[res.StatusCode]++
}

// drip goes on to send.
func (h *holder) drip(c net.Conn) {
	tick := time.NewTicker(h.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := c.Write(h.Then); err != nil {
				return // it was refused, and hear says so
			}
		case <-h.stop:
			return
		}
	}
}

// allTaken waits until all requests were answered with 204.
func (h *holder) allTaken() error {
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		h.mu.Lock()
		answers := maps.Clone(h.answers)
		h.mu.Unlock()
		if answers[http.StatusNoContent] == len(h.conns) {
			return nil
		}
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("answers of %d requests after a minute, by status: %v", len(h.conns), answers)
		}
	}
}

// release closes the connections.
func (h *holder) release() {
	close(h.stop)
	for _, c := range h.conns {
		if c, ok := c.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // or their ports are not free for a minute
			c.Close()
		}
	}
	h.done.Wait()
}

// files sees to it that this process and those that it starts may have that many
// connections.
func files(connections int) error {
	need := uint64(connections) + 100
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= need {
		return nil
	}
	have := l.Cur
	l.Cur, l.Max = need, max(l.Max, need)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d connections need %d open files in each process, and %d are allowed: ulimit -n %[2]d, in a shell that may: %[4]w",
			connections, need, have, err)
	}
	return nil
}
