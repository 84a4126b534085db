package sink

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A Member is a sink in a [Tee]. Make one with [Required] or [BestEffort]; the
// zero value, and a nil sink, make Tee panic.
type Member struct {
	sink     beacon.Sink
	required bool
	onError  func(error)
}

// Required returns a Member without which a [Tee] has not taken the events.
func Required(s beacon.Sink) Member { return Member{sink: s, required: true} }

// BestEffort returns a Member whose errors, those of Flush and Close and panics
// included, go to onError and nowhere else; nil ignores them. onError may be called
// concurrently; a panic in it is ignored, as is [runtime.Goexit].
//
// The call waits for s all the same, but no more than a second longer than its context
// lasts. If s may be slow, put a [VolatileQueue] in front of it. While 8 calls of it hang
// it gets no others.
func BestEffort(s beacon.Sink, onError func(error)) Member {
	return Member{sink: s, onError: onError}
}

// Tee returns a sink that hands each event to all members. It calls the required
// ones first, in order, all of them even if one fails; then, if they took the
// events, the others. Each gets a slice of its own.
//
// If required members fail, the error of Consume is theirs, joined as
// [beacon.JoinErrors] does. A retry after it reaches all members, so those that took
// the events get them twice, with the same ID; see [Dedup]. The error is permanent
// only if all of them are: if one is temporary, a retry can help that member, and
// the permanent ones are part of the text only. The one with the longest delay
// decides when. If each of them names the events that it did not take, with a
// [*beacon.PartialError], the error names all of these. A panic in a required member
// is an error that is answered like one, 500.
//
// Flush and Close reach all members, concurrently: each has all the time there is.
// Healthy asks the required ones in the same way.
//
// Tee copies members. It panics if one has no sink, or none is required: then nil
// would not mean that anybody took the events.
func Tee(members ...Member) Sink {
	t := &tee{}
	for _, m := range members {
		mustSink("Tee", m.sink)
		if m.required {
			t.required = append(t.required, m.sink)
		} else {
			t.bestEffort = append(t.bestEffort, &helper{Member: m})
		}
	}
	if len(t.required) == 0 {
		panic("sink: Tee: no member is required")
	}
	return t
}

type tee struct {
	lifetime
	required   []beacon.Sink
	bestEffort []*helper
}

// A helper is a member that is not required.
type helper struct {
	Member
	hanging atomic.Int64 // calls that nobody waits for any more
}

// maxHanging bounds the goroutines of calls that hang.
const maxHanging = 8

// consume hands the events to the sink. It comes back whatever that does.
func (m *helper) consume(ctx context.Context, events []beacon.Event) error {
	if m.hanging.Load() >= maxHanging {
		return errOverdue
	}
	done := make(chan error, 1)
	go func() {
		err := errGone
		defer func() { done <- err }()
		err = delivery.Consume(ctx, m.sink, events)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	m.hanging.Add(1)
	go func() {
		<-done
		m.hanging.Add(-1)
	}()
	return errOverdue
}

func (t *tee) Consume(ctx context.Context, events []beacon.Event) error {
	if t.closed.Load() {
		return ErrClosed
	}
	left := len(t.required) + len(t.bestEffort)
	own := func() []beacon.Event {
		if left--; left > 0 {
			return slices.Clone(events)
		}
		return events
	}
	var errs []error
	for _, s := range t.required {
		if err := delivery.Consume(ctx, s, own()); err != nil {
			errs = append(errs, delivery.Whole(err, len(events)))
		}
	}
	if len(errs) > 0 {
		return beacon.JoinErrors(errs...)
	}
	for _, m := range t.bestEffort {
		m.failed(m.consume(ctx, own()))
	}
	return nil
}

// failed tells the host about an error of a member that is not required.
func (m Member) failed(err error) {
	if err != nil && m.onError != nil {
		contain(func() { m.onError(err) })
	}
}

// all calls f for all members and joins the errors of the required ones.
func (t *tee) all(f func(beacon.Sink) error) error {
	var wg sync.WaitGroup
	for _, m := range t.bestEffort {
		wg.Go(func() {
			err := errGone
			defer func() { m.failed(err) }()
			err = delivery.Guard(func() error { return f(m.sink) })
		})
	}
	err := each(t.required, f)
	wg.Wait()
	return err
}

func (t *tee) Flush(ctx context.Context) error {
	return t.all(func(s beacon.Sink) error { return beacon.Flush(ctx, s) })
}

func (t *tee) Close(ctx context.Context) error {
	return t.end(ctx, func() error {
		return t.all(func(s beacon.Sink) error { return beacon.Close(ctx, s) })
	})
}

func (t *tee) Healthy(ctx context.Context) error {
	if t.closed.Load() {
		return ErrClosed
	}
	return each(t.required, func(s beacon.Sink) error { return beacon.Healthy(ctx, s) })
}
