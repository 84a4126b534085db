package connect

import (
	"context"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
	"github.com/pagebeacon/beacon/internal/lograte"
)

// A letter is an event on its way to Dead.
type letter struct {
	event beacon.Event
	slot  int
	why   error
}

// An undertaker brings letters to Dead, one call at a time, so that nothing else waits
// for that.
type undertaker[T any] struct {
	r     *Relay[T]
	more  chan struct{} // there are letters
	hurry chan struct{} // do not wait for the next attempt

	// The goroutine's alone.
	log   reporter
	rate  lograte.Limiter
	tags  []T
	fails int // calls in a row with nothing kept

	// Under the lock of the Relay.
	turn
	letters delivery.Ring[letter]
	failure error // of the last call
}

func (u *undertaker[T]) run() {
	r := u.r
	most := r.o.BatchEvents
	for r.ctx.Err() == nil {
		letters := u.take(most)
		if len(letters) == 0 {
			select {
			case <-u.more:
			case <-r.ctx.Done():
			}
			continue
		}
		err := delivery.Call(r.ctx, r.o.Timeout, r.hangs("a call for dead letters"), func(ctx context.Context) error {
			err := r.o.Dead(ctx, u.given(letters))
			if err != nil {
				_ = err.Error() // which may panic, and is guarded here
			}
			return err
		})
		failed := u.settle(letters, err)
		u.tell(letters, failed, err)
		if failed == 0 {
			most = min(2*most, r.o.BatchEvents)
			continue
		}
		most = max(1, failed/2) // one of them may be what fails the others
		u.pause(err)
	}
}

// take takes so many letters, and begins a turn, unless there are none.
func (u *undertaker[T]) take(most int) []letter {
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	var letters []letter
	for len(letters) < most {
		l, ok := u.letters.Pop()
		if !ok {
			break
		}
		letters = append(letters, l)
	}
	u.busy = len(letters) > 0
	return letters
}

// given makes of letters what Dead gets, and may keep.
func (u *undertaker[T]) given(letters []letter) []Letter[T] {
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	given := make([]Letter[T], len(letters))
	for i, l := range letters {
		given[i] = Letter[T]{Event: l.event, Tag: u.r.slots[l.slot].tag, Why: l.why}
	}
	return given
}

// settle notes what a call led to, and returns how many letters were not kept. Those go to
// the end of the line.
func (u *undertaker[T]) settle(letters []letter, err error) (left int) {
	r := u.r
	failed, _, _ := delivery.Failed(err, len(letters))
	left = len(failed)
	kept := make([]int, 0, len(letters))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range letters {
		s := &r.slots[l.slot]
		switch {
		case len(failed) > 0 && failed[0] == i:
			if failed = failed[1:]; s.gone {
				r.release(l.slot)
			} else {
				u.letters.Push(l)
			}
		default:
			kept = append(kept, l.slot)
		}
	}
	if u.fails++; len(kept) > 0 {
		u.fails = 0
	}
	if r.ctx.Err() == nil {
		if u.failure = err; err != nil {
			r.stats.DeadErrors++
		}
		if u.letters.Len() == 0 { // what failed was forgotten
			u.failure = nil
		}
	}
	u.tags = r.report(&u.turn, kept, u.tags, &r.stats.Dead)
	return left
}

func (u *undertaker[T]) tell(letters []letter, failed int, err error) {
	if u.r.ctx.Err() == nil {
		u.log.outcome(err, true)
	}
	if kept := len(letters) - failed; kept > 0 {
		if suppressed, ok := u.rate.Allow(""); ok {
			one := letters[len(letters)-1]
			u.r.o.Logger.Error("connect: relay: dead letters", "count", kept, "suppressed", suppressed,
				"id", delivery.Printable(one.event.ID), "error", delivery.Printable(one.why.Error()))
		}
	}
}

// pause waits until it is time for the next attempt.
func (u *undertaker[T]) pause(err error) {
	r := u.r
	asked, _ := beacon.RetryAfter(err)
	t := time.NewTimer(max(min(asked, time.Minute), delivery.Backoff(delivery.RetryBase, delivery.RetryLimit, u.fails)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-u.hurry:
	case <-r.ctx.Done():
	}
}
