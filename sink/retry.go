package sink

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// RetryOptions say how often and how long to try again. The zero value is all
// defaults.
type RetryOptions struct {
	// The wait before retry n, from 0, is random between nothing and the smaller
	// of Cap and Base times 2 to the n; defaults 50 ms and 2 s.
	Base, Cap time.Duration

	// MaxElapsed bounds the time from the first attempt to the last one's
	// beginning; default 5 s. The deadline of the context does too, if it is
	// earlier.
	MaxElapsed time.Duration

	// Budget bounds retries over all calls: each takes one from it, and each
	// attempt that succeeds puts back a tenth, up to Budget; it also fills up by
	// itself within a minute. Default 100. So a short failure is retried freely, and
	// in an outage the sink gets about the load that it would get without Retry.
	//
	// Only the first retry of a call may take from the lower half. So events that
	// always fail use up the upper one, and while they are less than a tenth of those
	// that succeed there is a retry left for everybody else's.
	Budget int
}

// Retry returns a sink that calls next again when it fails temporarily, with the
// events that it did not take if it named these with a [*beacon.PartialError]. It
// waits as long as a [*beacon.RetryAfterError] or a [*beacon.RequestError] says, and
// a random time on top. It gives up, with the last error of next, when
//
//   - the error is permanent: [beacon.ErrPermanent], or a [*beacon.RequestError]
//     with a status from 400 to 499 other than 408, 425 and 429
//   - the wait would exceed MaxElapsed or the deadline of the context; a delay that
//     was asked for is never cut short
//   - the budget is used up
//   - the context ends or the sink is closed
//
// Retry stands better in front of a [Batch] than behind it: there one bad event makes
// all of its batch wait while it is tried again.
//
// A spool and a [VolatileQueue] try again by themselves, for as long as it takes;
// Retry behind one only makes it slower to notice.
//
// The error is as next gave it, unless an attempt before took a part: then it names
// those of the call's events that none took.
//
// Each attempt gets a copy of the slice. A panic in next is not retried and goes
// through, unless an attempt before took a part: then it is an error that is answered
// like one, 500. Retry panics if next is nil or an option is negative.
func Retry(next beacon.Sink, o RetryOptions) Sink {
	mustSink("Retry", next)
	r := &retry{
		front:      front{next: next},
		base:       orDefault("RetryOptions.Base", o.Base, 50*time.Millisecond),
		limit:      orDefault("RetryOptions.Cap", o.Cap, 2*time.Second),
		maxElapsed: orDefault("RetryOptions.MaxElapsed", o.MaxElapsed, 5*time.Second),
		stop:       make(chan struct{}),
	}
	r.budget.max = perRetry * float64(orDefault("RetryOptions.Budget", o.Budget, 100))
	r.budget.left, r.budget.filled = r.budget.max, time.Now()
	return r
}

type retry struct {
	front
	base, limit, maxElapsed time.Duration
	budget                  retryBudget
	stop                    chan struct{} // closed by Close
}

// A retryBudget says how many retries may be made, counted in what one success is worth.
type retryBudget struct {
	max float64

	mu     sync.Mutex
	left   float64
	filled time.Time // when time last put something back
}

const perRetry = 10

// take takes retry n of a call, from 0, if it may be made.
func (b *retryBudget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.put(b.max * now.Sub(b.filled).Minutes())
	b.filled = now
	least := 0.0
	if n > 0 {
		least = b.max / 2
	}
	if b.left-perRetry < least {
		return false
	}
	b.left -= perRetry
	return true
}

// giveBack notes a success.
func (b *retryBudget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(1)
}

func (b *retryBudget) put(n float64) { b.left = min(b.left+n, b.max) }

func (r *retry) Consume(ctx context.Context, events []beacon.Event) error {
	if r.closed.Load() {
		return ErrClosed
	}
	end := time.Now().Add(r.maxElapsed)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	var tally delivery.Tally
	var at []int // where the events that are left stood in the call; nil for all of it
	for n := 0; ; n++ {
		err, panicked := r.try(ctx, slices.Clone(events), at != nil)
		if err == nil {
			r.budget.giveBack()
			return nil
		}
		if panicked || beacon.IsPermanent(err) || !r.wait(ctx, n, end, err) {
			if at == nil {
				return err
			}
			tally.Add(at, err)
			return tally.Err()
		}
		if failed, _, named := delivery.Failed(err, len(events)); named && len(failed) < len(events) {
			tally.Taken(len(events) - len(failed))
			events = pick(events, failed)
			if at == nil {
				at = failed
			} else {
				at = pick(at, failed)
			}
		}
	}
}

// try makes an attempt. Once a part was taken it makes an error of a panic, since one
// that goes through says nothing of that part.
func (r *retry) try(ctx context.Context, events []beacon.Event, part bool) (err error, panicked bool) {
	if !part {
		return r.next.Consume(ctx, events), false
	}
	panicked = true
	err = delivery.Guard(func() error {
		err := r.next.Consume(ctx, events)
		panicked = false
		return err
	})
	return err, panicked
}

// wait waits before retry n and says whether it may be made.
func (r *retry) wait(ctx context.Context, n int, end time.Time, err error) bool {
	asked, _ := beacon.RetryAfter(err)
	left := time.Until(end)
	if asked >= left { // compared before anything is added: it may be as long as can be
		return false
	}
	// The jitter comes on top of what the sink asked for: it asks all the same.
	wait := asked + delivery.Backoff(r.base, r.limit, n)
	if wait >= left || r.closed.Load() || ctx.Err() != nil || !r.budget.take(n) {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-r.stop:
	}
	return false
}

// Close ends all waiting: those calls return the error they have. Then it closes
// next.
func (r *retry) Close(ctx context.Context) error {
	return r.end(ctx, func() error {
		close(r.stop)
		return beacon.Close(ctx, r.next)
	})
}
