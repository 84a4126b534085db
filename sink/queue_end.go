package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pagebeacon/beacon"
)

// How a queue ends, and what it tells of itself.

// Flush waits until everything taken before the call has left the queue, with an
// attempt at once, and then flushes the sink behind. It returns an error if ctx ends
// first or if events were lost while it waited.
func (q *Queue) Flush(ctx context.Context) error {
	if err := q.drain(ctx); err != nil {
		return err
	}
	return beacon.Flush(ctx, q.next)
}

func (q *Queue) drain(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	signal(q.hurry)
	before := q.stats
	for {
		left := q.pending(before.Taken)
		if left == 0 {
			break
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-ctx.Done():
			q.mu.Lock()
			return undelivered(q.pending(before.Taken), ctx.Err(), q.lastErr)
		}
	}
	if lost := q.stats.LostPermanent + q.stats.LostClosing - before.LostPermanent - before.LostClosing; lost > 0 {
		return fmt.Errorf("sink: queue: %d events lost", lost)
	}
	return nil
}

func undelivered(n int, cause, last error) error {
	if last == nil {
		return fmt.Errorf("sink: queue: %d events not delivered: %w", n, cause)
	}
	// The text of the last error only: whether it would have lasted is not known.
	return fmt.Errorf("sink: queue: %d events not delivered: %w; last attempt: %v", n, cause, last)
}

// Close takes no more events and delivers what is pending until ctx ends; give it
// a deadline, as it waits for a sink that fails for as long. What is left then goes
// to OnLost, is counted, and Close returns an error that says how many these
// were. A call of the sink behind that is under way has its context ended; if it
// takes more than a second to return, what becomes of its events is only counted
// when it does. Close closes the sink behind at last.
func (q *Queue) Close(ctx context.Context) error {
	return q.end(ctx, func() error {
		q.mu.Lock()
		q.closing = true
		q.wake() // those that wait for room
		q.mu.Unlock()
		signal(q.more)
		signal(q.hurry)
		var err error
		select {
		case <-q.ended:
		case <-ctx.Done():
			err = q.giveUp(ctx.Err())
		}
		q.cancel()
		return errors.Join(err, beacon.Close(ctx, q.next))
	})
}

// giveUp ends delivery before it is done.
func (q *Queue) giveUp(cause error) error {
	q.mu.Lock()
	q.cause = cause
	q.mu.Unlock()
	q.cancel()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case <-q.ended:
	case <-t.C:
		q.lose(nil)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := int(q.stats.LostClosing) + len(q.held); n > 0 {
		return undelivered(n, cause, q.lastErr)
	}
	return nil
}

// Healthy returns nil while there is room, whether or not the sink behind is well, and
// otherwise [ErrFull]; after Close, [ErrClosed]. It fails, too, while a call of the sink
// behind does not return that had to a second ago.
func (q *Queue) Healthy(context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closing:
		return ErrClosed
	case q.late.Load():
		return errOverdue
	case q.n+len(q.held) >= q.o.MaxEvents || q.bytes >= q.o.MaxBytes:
		return ErrFull
	}
	return nil
}

// Stats returns what became of the events so far. It never waits for the sink behind.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Pending, s.PendingBytes = q.n+len(q.held), q.bytes
	return s
}
