package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Visitors send small beacons at a steady rate, each from a network of its own, whether
// the ones before were answered or not: a queue does not slow them down.
type visitors struct {
	addr  string
	every time.Duration // between two beacons of all together

	idle chan *visitor
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	took     []time.Duration
	statuses map[int]int // 0 is no answer
	since    time.Time
}

// A visitor is a connection that is kept alive.
type visitor struct {
	net.Conn
	in *bufio.Reader
}

// visit starts visitors.
func visit(addr string, every time.Duration) *visitors {
	v := &visitors{addr: addr, every: every, idle: make(chan *visitor, 1000), stop: make(chan struct{}), statuses: map[int]int{}}
	v.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case due := <-tick.C:
				v.done.Go(func() { v.beacon(n, due) })
			case <-v.stop:
				return
			}
		}
	})
	return v
}

// forget begins to count anew.
func (v *visitors) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.took, v.statuses, v.since = nil, map[int]int{}, time.Now()
}

// end stops the visitors and says how they were served.
func (v *visitors) end() service {
	close(v.stop)
	v.done.Wait()
	close(v.idle)
	for c := range v.idle {
		c.Close()
	}
	s := service{beacons: len(v.took), statuses: v.statuses}
	if s.beacons > 0 {
		slices.Sort(v.took)
		s.median, s.p99 = v.took[s.beacons/2], v.took[(s.beacons-1)*99/100]
		s.slowest = v.took[s.beacons-1]
	}
	return s
}

// patience is when a visitor gives up, as a browser would long have.
const patience = 5 * time.Second

func (v *visitors) beacon(n int, due time.Time) {
	status := v.exchange(n)
	v.mu.Lock()
	defer v.mu.Unlock()
	if due.Before(v.since) {
		return
	}
	v.took = append(v.took, time.Since(due))
	v.statuses[status]++
}

func (v *visitors) exchange(n int) (status int) {
	var c *visitor
	select {
	case c = <-v.idle:
	default:
		conn, err := net.DialTimeout("tcp", v.addr, patience)
		if err != nil {
			return 0
		}
		c = &visitor{conn, bufio.NewReader(conn)}
	}
	body := honestBody + time.Now().Format(time.RFC3339Nano)
	_ = c.SetDeadline(time.Now().Add(patience)) // an open connection always takes one
	_, err := fmt.Fprintf(c, "POST /b HTTP/1.1\r\nHost: beacon.test\r\nX-Forwarded-For: 12.0.%d.1\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		n%250, len(body), body)
	if err != nil {
		c.Close()
		return 0
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Close()
		return 0
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if err != nil || res.Close {
		c.Close()
	} else {
		v.idle <- c
	}
	return res.StatusCode
}

// A service is how visitors were served.
type service struct {
	beacons              int
	statuses             map[int]int
	median, p99, slowest time.Duration
}

// taken is the share of the beacons that were answered 204.
func (s service) taken() float64 {
	return float64(s.statuses[http.StatusNoContent]) / float64(max(s.beacons, 1))
}

func (s service) String() string {
	return fmt.Sprintf("%.1f %% of %d taken, median %v, p99 %v", 100*s.taken(), s.beacons,
		s.median.Round(10*time.Microsecond), s.p99.Round(100*time.Microsecond))
}
