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
	active atomic.Int64 // all of them
	before atomic.Int64 // those that entered before it was begun to wait
	begun  atomic.Bool
	idle   chan struct{} // closed when the last of them has left, once begun
	once   sync.Once
}

// New returns a Counter.
func New() *Counter { return &Counter{idle: make(chan struct{})} }

// Enter is the beginning of a request. late says that somebody waits already, and not
// for this one. It and Wait each write one of the count and begun and then read the
// other, so at least one of them sees that it is time.
func (c *Counter) Enter() (late bool) {
	c.active.Add(1)
	c.before.Add(1)
	if c.begun.Load() {
		c.leave()
		return true
	}
	return false
}

// Leave is its end.
func (c *Counter) Leave(late bool) {
	c.active.Add(-1)
	if !late {
		c.leave()
	}
}

func (c *Counter) leave() { c.check(c.before.Add(-1)) }

func (c *Counter) check(before int64) {
	if before == 0 && c.begun.Load() {
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
	c.check(c.before.Load())
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
