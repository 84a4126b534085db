package fleet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon/internal/visits"
)

// A load is browsers that send what they have to any receiver, again until it is taken.
type load struct {
	first   int // visit
	visits  int // the one behind the last
	clients int
	addrs   func() []string
	window  int64 // requests that may be under way from the browser to the store; 0 is any number
	arrived func() int64
	rate    float64 // requests a second; 0 is as fast as it goes

	taken   atomic.Int64      // requests that were acknowledged
	status  [600]atomic.Int64 // answers
	broken  atomic.Int64      // requests without an answer
	longest atomic.Int64      // that one had to be repeated, in nanoseconds

	began, ended time.Time
	cpu          time.Duration // of this process meanwhile
}

// open is how many visits go on at a time.
const open = 64

// run sends all, and returns when all is acknowledged or ctx ends.
func (l *load) run(ctx context.Context) error {
	l.began = time.Now()
	used := cpuOf(os.Getpid())
	defer func() { l.cpu = cpuOf(os.Getpid()) - used }()
	feed := make(chan visits.Request, l.clients)
	var wg sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: l.clients, MaxIdleConns: 0}
	defer transport.CloseIdleConnections()
	for n := range l.clients {
		c := &http.Client{Transport: transport, Timeout: 30 * time.Second}
		r := rand.New(rand.NewPCG(uint64(n), 2))
		wg.Go(func() {
			for q := range feed {
				l.send(ctx, c, r, q)
			}
		})
	}
	err := l.feed(ctx, feed)
	close(feed)
	wg.Wait()
	l.ended = time.Now()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// feed hands out what visits send that go on beside each other, each in its order.
func (l *load) feed(ctx context.Context, feed chan<- visits.Request) error {
	r := rand.New(rand.NewPCG(3, 4))
	var going [][]visits.Request
	sent := int64(0)
	for next := l.first; next < l.visits || len(going) > 0; {
		for next < l.visits && len(going) < open {
			going = append(going, requestsOf(next))
			next++
		}
		i := r.IntN(len(going))
		if len(going[i]) == 0 {
			going[i] = going[len(going)-1]
			going = going[:len(going)-1]
			continue
		}
		for l.window > 0 && l.taken.Load()-l.arrived() > l.window || l.rate > 0 && time.Since(l.began).Seconds()*l.rate < float64(sent) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
		select {
		case feed <- going[i][0]:
		case <-ctx.Done():
			return ctx.Err()
		}
		going[i] = going[i][1:]
		sent++
	}
	return nil
}

// send sends a request until it is acknowledged.
func (l *load) send(ctx context.Context, c *http.Client, r *rand.Rand, q visits.Request) {
	began := time.Now()
	for again := 0; ctx.Err() == nil; again++ {
		addrs := l.addrs()
		status := l.post(ctx, c, addrs[r.IntN(len(addrs))], q)
		if status/100 == 2 {
			l.taken.Add(1)
			if d := int64(time.Since(began)); again > 0 && d > l.longest.Load() {
				l.longest.Store(d)
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(min(again+1, 20)) * 5 * time.Millisecond):
		}
	}
}

// post returns the status of the answer, or 0 if there was none.
func (l *load) post(ctx context.Context, c *http.Client, addr string, q visits.Request) int {
	r, err := q.HTTP(ctx, addr)
	if err != nil {
		panic(err) // an address that is none
	}
	resp, err := c.Do(r)
	if err != nil {
		l.broken.Add(1)
		return 0
	}
	io.Copy(io.Discard, resp.Body) // an answer without an end is one all the same
	resp.Body.Close()
	l.status[resp.StatusCode].Add(1)
	return resp.StatusCode
}

// answers says what was answered, and how often.
func (l *load) answers() (s string) {
	for status := range l.status {
		if n := l.status[status].Load(); n > 0 {
			s += fmt.Sprintf("%d×%d, ", n, status)
		}
	}
	return s + fmt.Sprintf("%d without an answer", l.broken.Load())
}

// perSecond is how many requests were taken in a second.
func (l *load) perSecond() float64 {
	end := l.ended
	if end.IsZero() {
		end = time.Now()
	}
	return float64(l.taken.Load()) / end.Sub(l.began).Seconds()
}
