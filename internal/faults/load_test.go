package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A load is a number of HTTP clients that send beacons, each one after the
// other, until they are stopped.
type load struct {
	Addr    func() string // where to; it may change
	Clients int
	First   int           // number of the first client
	Batch   int           // events in a request; 0 is one
	Bytes   int           // of an event; 0 is eventBytes
	Every   time.Duration // between the requests of a client; 0 is as fast as they are answered
	Poison  int           // one of so many events is poisoned; 0 is none
	HangUp  int           // after one of so many requests the client hangs up; 0 is never

	ledger ledger
	stop   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	outcomes []outcome
	broken   atomic.Int64 // requests without an answer
}

// An outcome is how a request was answered.
type outcome struct {
	at     time.Time
	took   time.Duration
	status int
	retry  string // Retry-After
}

func (l *load) start() {
	l.stop = make(chan struct{})
	for n := range l.Clients {
		l.wg.Go(func() { l.client(l.First + n) })
	}
}

// halt stops the clients. Requests under way are finished before.
func (l *load) halt() {
	close(l.stop)
	l.wg.Wait()
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *load) client(n int) {
	var c *conn
	defer func() { c.close() }()
	batch, size := max(l.Batch, 1), l.Bytes
	if size == 0 {
		size = eventBytes
	}
	due := time.Now()
	requests := 0
	for seq := 0; !l.stopped(); seq += batch {
		if l.Every > 0 {
			due = due.Add(l.Every)
			time.Sleep(time.Until(due))
		}
		ids := make([]id, batch)
		for i := range ids {
			ids[i] = newID(n, seq+i)
			if l.Poison > 0 && (seq+i)%l.Poison == l.Poison-1 {
				ids[i] |= poison
			}
			l.ledger.set(ids[i], sent)
		}
		if c == nil {
			var err error
			if c, err = dial(l.Addr()); err != nil {
				l.broken.Add(1)
				time.Sleep(5 * time.Millisecond)
				continue
			}
		}
		begin := time.Now()
		requests++
		if l.HangUp > 0 && requests%l.HangUp == 0 {
			c.send(ids, size)
			c.close()
			c = nil
			continue
		}
		o, err := c.post(ids, size)
		if err != nil {
			l.broken.Add(1)
			c.close()
			c = nil
			continue
		}
		if o.status == http.StatusNoContent {
			for _, x := range ids {
				l.ledger.set(x, acked)
			}
		}
		o.at, o.took = time.Now(), time.Since(begin)
		l.mu.Lock()
		l.outcomes = append(l.outcomes, o)
		l.mu.Unlock()
		if o.status != http.StatusNoContent {
			time.Sleep(5 * time.Millisecond)
		}
		if c.last {
			c.close()
			c = nil
		}
	}
}

func (l *load) all() []outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcomes[:len(l.outcomes):len(l.outcomes)]
}

// count returns the answers by status.
func (l *load) count() map[int]int {
	m := map[int]int{}
	for _, o := range l.all() {
		m[o.status]++
	}
	return m
}

// warm waits until the load has been acknowledged something.
func (l *load) warm(t *testing.T) {
	t.Helper()
	waitUntil(t, 20*time.Second, 2*time.Millisecond, "the first acknowledgement", func() bool { return l.ledger.ackedCount() > 0 })
}

// A conn is one HTTP/1.1 connection. The clients of net/http send some requests
// again, which would hide what these tests look for.
type conn struct {
	net.Conn
	r    *bufio.Reader
	buf  []byte
	last bool // the server will close it
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReader(c)}, nil
}

func (c *conn) close() {
	if c != nil {
		c.Conn.Close()
	}
}

// send sends a request: a text for one event, lines of JSON for more.
func (c *conn) send(ids []id, size int) error {
	var body, kind string
	if len(ids) == 1 {
		body, kind = payload(ids[0], size), "text/plain;charset=UTF-8"
	} else {
		var b strings.Builder
		for _, x := range ids {
			b.WriteString(`"` + payload(x, size) + "\"\n")
		}
		body, kind = b.String(), "application/x-ndjson"
	}
	c.buf = fmt.Appendf(c.buf[:0], "POST /b HTTP/1.1\r\nHost: beacon.test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
	_, err := c.Write(c.buf)
	return err
}

// post sends a request and waits for the answer.
func (c *conn) post(ids []id, size int) (o outcome, err error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return o, err
	}
	if err := c.send(ids, size); err != nil {
		return o, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return o, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	c.last = resp.Close
	return outcome{status: resp.StatusCode, retry: resp.Header.Get("Retry-After")}, errors.Join(err, resp.Body.Close())
}

// checkRefusals fails the test on an answer that is neither 204 nor a quick 503
// that says when to come again.
func (l *load) checkRefusals(t *testing.T, within time.Duration) (slowest time.Duration) {
	t.Helper()
	bad := 0
	for _, o := range l.all() {
		if o.status == http.StatusNoContent {
			continue
		}
		slowest = max(slowest, o.took)
		after, err := strconv.Atoi(o.retry)
		if o.status != http.StatusServiceUnavailable || err != nil || after < 1 || o.took > within {
			if bad++; bad <= 5 {
				t.Errorf("refused with %d, Retry-After %q, after %v; want 503, a delay, within %v", o.status, o.retry, o.took, within)
			}
		}
	}
	return slowest
}
