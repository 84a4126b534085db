// Package drain counts what is in progress, and waits for its end.
package drain

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Counter counts requests in progress. Make one with [New]. It is safe for concurrent
// use.
type Counter struct {
	active atomic.Int64
	begun  atomic.Bool
	idle   chan struct{} // closed when the last request has left, once begun
	once   sync.Once
}

// New returns a Counter.
func New() *Counter { return &Counter{idle: make(chan struct{})} }

// Enter is the beginning of a request.
func (c *Counter) Enter() { c.active.Add(1) }

// Leave is its end. It and Wait each write one of the count and begun and then read the
// other, so at least one of them sees that it is time.
func (c *Counter) Leave() { c.check(c.active.Add(-1)) }

func (c *Counter) check(active int64) {
	if active == 0 && c.begun.Load() {
		c.once.Do(func() { close(c.idle) })
	}
}

// Active is how many requests are in progress.
func (c *Counter) Active() int64 { return c.active.Load() }

// Begun says whether somebody waits, or has.
func (c *Counter) Begun() bool { return c.begun.Load() }

// Wait waits until no request that entered before is in progress, or ctx ends, of which
// it returns the error. It may be called more than once, and concurrently.
func (c *Counter) Wait(ctx context.Context) error {
	c.begun.Store(true)
	c.check(c.active.Load())
	select {
	case <-c.idle:
		return nil
	default:
	}
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
