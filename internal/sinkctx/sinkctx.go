// Package sinkctx makes the context that a Sink gets: the values of the request, a
// deadline, and nothing of the request's cancellation.
package sinkctx

import (
	"context"
	"sync"
	"time"
)

// A Context is context.WithDeadline over
// context.WithoutCancel, except that the former, and the timer in it, is only made
// when somebody asks for what it knows: most sinks never do, and a timer costs as
// much as decoding.
type Context struct {
	values   context.Context // the request's, of which nothing else is used
	deadline time.Time

	mu     sync.Mutex
	inner  context.Context // made when it is first needed
	cancel context.CancelFunc
	ended  bool
}

// New returns a context with the values of ctx that ends at the deadline. End it when
// the Sink has returned.
func New(ctx context.Context, deadline time.Time) *Context {
	return &Context{values: ctx, deadline: deadline}
}

// Deadline returns the deadline; there is always one.
func (c *Context) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is closed when the context ends.
func (c *Context) Done() <-chan struct{} { return c.made().Done() }

// Err says why the context has ended, or nil.
func (c *Context) Err() error {
	c.mu.Lock()
	fresh := c.inner == nil && !c.ended && time.Now().Before(c.deadline)
	c.mu.Unlock()
	if fresh {
		return nil
	}
	return c.made().Err()
}

// Value asks the inner context, which is how package context finds out that a child
// can be tied to it without a goroutine. Before anybody wanted Done there is no child.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.values.Value(key)
}

func (c *Context) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(context.WithoutCancel(c.values), c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.inner
}

// End ends the context: its Sink has returned.
func (c *Context) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}
