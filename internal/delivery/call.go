package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/pagebeacon/beacon"
)

// hangAfter is how long a call may outlast its context until it is said to hang.
const hangAfter = time.Second

var errEnded = errors.New("sink: the goroutine was ended by runtime.Goexit")

// call gives the sink a copy of some events, since it owns what it is given. It does so on
// a goroutine of its own, which the sink may end, and returns when the sink has: it is
// not asked a second thing while it is at the first.
func (c *Courier[T]) call(ctx context.Context, part []int) error {
	batch := make([]beacon.Event, len(part))
	for k, i := range part {
		batch[k] = c.items[i].event
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if c.Took != nil {
		start := time.Now()
		defer func() { c.Took(time.Since(start)) }()
	}
	done := make(chan error, 1)
	go func() {
		err := errEnded
		defer func() { done <- err }()
		err = Consume(ctx, c.Next, batch)
	}()
	if c.Hangs == nil {
		return <-done
	}
	late := time.NewTimer(c.Timeout + hangAfter)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	}
	c.Hangs(true)
	defer c.Hangs(false)
	return <-done
}
