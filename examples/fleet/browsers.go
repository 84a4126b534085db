package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon/internal/visits"
)

// browse returns what the browsers of so many visitors send, in the order in which it
// arrives. All visits are within the same day: 61 of 100 have one page, the others 16 on
// average, in several tabs, shown and hidden; some reports are lost, held back or sent
// twice, and some clocks are wrong.
func browse(n int) []visits.Request {
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	var all []visits.Request
	for i := range n {
		r := rand.New(rand.NewPCG(12, uint64(i)))
		all = append(all, visits.Requests(r, "visitor-"+strconv.Itoa(i), day)...)
	}
	slices.SortStableFunc(all, func(a, b visits.Request) int { return a.Received.Compare(b.Received) })
	return all
}

// A player sends requests as browsers do: each to any receiver, as a load balancer would
// have it, and again until one has taken it, as the client does with what it keeps in its
// store.
type player struct {
	receivers []string      // their URLs
	browsers  int           // how many send at a time
	pause     time.Duration // after each request of a browser

	acknowledged atomic.Int64
	refused      atomic.Int64 // answers that were none of the kind: 503 and the like
	failed       atomic.Int64 // no answer: a receiver that is away
}

// play returns when all was taken, or ctx ends.
func (p *player) play(ctx context.Context, requests []visits.Request) error {
	transport := &http.Transport{MaxIdleConnsPerHost: p.browsers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	var next atomic.Int64
	var browsers sync.WaitGroup
	for range p.browsers {
		browsers.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(requests) {
					return
				}
				for !p.send(ctx, client, requests[n]) && ctx.Err() == nil {
					wait(ctx, 50*time.Millisecond)
				}
				wait(ctx, p.pause)
			}
		})
	}
	browsers.Wait()
	return context.Cause(ctx)
}

// send says whether a receiver has taken a request.
func (p *player) send(ctx context.Context, client *http.Client, request visits.Request) bool {
	r, err := request.HTTP(ctx, p.receivers[rand.IntN(len(p.receivers))])
	if err != nil {
		panic(fmt.Sprint("a request that is none: ", err))
	}
	answer, err := client.Do(r)
	if err != nil {
		p.failed.Add(1)
		return false
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent && answer.StatusCode != http.StatusOK {
		p.refused.Add(1)
		return false
	}
	p.acknowledged.Add(1)
	return true
}

// wait waits, but not beyond the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
