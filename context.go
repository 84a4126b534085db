package beacon

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A sinkContext is what a Sink gets: the values of the request, a deadline, and
// nothing of the request's cancellation. It is context.WithTimeout over
// context.WithoutCancel, except that the timer is only made when somebody asks
// for Done: most sinks never do, and a timer costs as much as decoding.
type sinkContext struct {
	context.Context // of the request, without its cancellation
	deadline        time.Time

	mu    sync.Mutex
	done  chan struct{} // made by the first Done
	timer *time.Timer
	err   error
}

func newSinkContext(r *http.Request, deadline time.Time) *sinkContext {
	return &sinkContext{Context: context.WithoutCancel(r.Context()), deadline: deadline}
}

func (c *sinkContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *sinkContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
		}
	}
	return c.done
}

func (c *sinkContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.timer == nil && !time.Now().Before(c.deadline) {
		c.err = context.DeadlineExceeded
	}
	return c.err
}

// end ends the context with err, unless it has ended already.
func (c *sinkContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
		close(c.done)
	}
}
