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

// call gives the sink a copy of some events, since it owns what it is given.
func (c *Courier[T]) call(ctx context.Context, part []int) error {
	batch := make([]beacon.Event, len(part))
	for k, i := range part {
		batch[k] = c.items[i].event
	}
	if c.Took != nil {
		start := time.Now()
		defer func() { c.Took(time.Since(start)) }()
	}
	return Call(ctx, c.Timeout, c.Hangs, func(ctx context.Context) error { return Consume(ctx, c.Next, batch) })
}

// Call calls f, guarded, with a context that ends after timeout. It does so on a goroutine
// of its own, which f may end, and returns when f has: it is not asked a second thing while
// it is at the first. hangs may be nil; else see [Courier].
func Call(ctx context.Context, timeout time.Duration, hangs func(bool), f func(ctx context.Context) error) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errEnded
		defer func() { done <- err }()
		err = Guard(func() error { return f(ctx) })
	}()
	if hangs == nil {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(time.Until(start.Add(timeout + hangAfter)))
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	}
	hangs(true)
	defer hangs(false)
	return <-done
}
