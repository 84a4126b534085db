package sink

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A Queue keeps events in memory and delivers them in the background. Make one
// with [VolatileQueue]. It is safe for concurrent use.
type Queue struct {
	lifetime
	next beacon.Sink
	late atomic.Bool // a call of next does not return
	o    QueueOptions

	ctx     context.Context // of delivery
	cancel  context.CancelFunc
	courier delivery.Courier[uint64] // of the goroutine alone
	more    chan struct{}            // there are events, or it is time to close
	hurry   chan struct{}            // do not wait for the next attempt
	ended   chan struct{}            // closed when the goroutine has

	mu      sync.Mutex
	closing bool
	ring    []beacon.Event // the n from head on are pending
	sizes   []int64        // of each of them
	head, n int
	held    []uint64 // what the courier has: how many events were taken before each
	bytes   int64    // of all pending
	stats   QueueStats
	cause   error         // why delivery was given up
	lastErr error         // of the last attempt
	changed chan struct{} // closed, and a new one made, when events leave
}

var _ Sink = (*Queue)(nil)

// VolatileQueue returns a Queue in front of next that answers before it has
// delivered: its Consume returns nil as soon as there is room in memory. Events
// that were answered 204 are lost
//
//   - if the process dies: all that are in memory
//   - if next refuses them for good, or they are given up; see MaxTries
//   - if the context of Close ends before next has taken them
//
// It suits data that may be lost now and then, and sinks whose slowness is to
// delay no one, as behind [BestEffort]. Package spool keeps events on disk instead.
//
// A full queue keeps what it has and, after Wait, refuses what comes. Delivery
// goes in order, one batch at a time; a temporary failure is retried for as long as
// it lasts, with growing waits of up to 5 seconds, and a panic in next is one, or a
// call of [runtime.Goexit]. An event that next refuses for good is narrowed down to, and
// costs no other. One that fails by itself, or that next names as not taken, with a
// [*beacon.PartialError], is set aside and tried again while the others go on; those
// of its session wait for it, but for a second only.
//
// The context of next carries no values of a request. A call that does not return stops
// delivery until it does, as no other is made beside it: Healthy and the log tell.
//
// VolatileQueue starts a goroutine, which Close ends. It panics if next is nil, an
// option is negative, or Wait and NoWait are both set.
func VolatileQueue(next beacon.Sink, o QueueOptions) *Queue {
	mustSink("VolatileQueue", next)
	o.MaxEvents = orDefault("QueueOptions.MaxEvents", o.MaxEvents, 1<<16)
	o.MaxBytes = orDefault("QueueOptions.MaxBytes", o.MaxBytes, 64<<20)
	if o.NoWait && o.Wait > 0 {
		panic(fmt.Sprintf("sink: QueueOptions.NoWait is set, and Wait is %v", o.Wait))
	}
	o.Wait = orDefault("QueueOptions.Wait", o.Wait, time.Second)
	o.BatchEvents = orDefault("QueueOptions.BatchEvents", o.BatchEvents, batchEvents)
	o.BatchBytes = orDefault("QueueOptions.BatchBytes", o.BatchBytes, batchBytes)
	o.Timeout = orDefault("QueueOptions.Timeout", o.Timeout, callTimeout)
	o.MaxTries = orDefault("QueueOptions.MaxTries", o.MaxTries, 10)
	q := &Queue{
		next: next, o: o,
		more: make(chan struct{}, 1), hurry: make(chan struct{}, 1), ended: make(chan struct{}),
		changed: make(chan struct{}),
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	logger := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	q.courier = delivery.Courier[uint64]{
		Next: next, Timeout: o.Timeout, Base: delivery.RetryBase, Limit: delivery.RetryLimit, MaxTries: o.MaxTries,
		BatchEvents: o.BatchEvents, BatchBytes: o.BatchBytes, AsideBytes: o.BatchBytes,
		Bury: func(events []beacon.Event, _ []uint64, why []error) (int, error) {
			for i := range events {
				q.tell(events[i:i+1:i+1], why[i])
			}
			return len(events), nil
		},
		Hangs: func(hangs bool) {
			if q.late.Store(hangs); hangs {
				logger.Error("sink: queue: the sink behind does not return, and nothing is delivered", "timeout", o.Timeout)
			} else {
				logger.Info("sink: queue: the sink behind has returned")
			}
		},
	}
	go q.run()
	return q
}

// Consume takes the events if there is room, or when there is within Wait. Else it
// returns a [*beacon.RetryAfterError] with [ErrFull], which asks for 5 seconds, or the
// error of ctx; after Close, [ErrClosed].
func (q *Queue) Consume(ctx context.Context, events []beacon.Event) error {
	if len(events) == 0 {
		return nil
	}
	var few [16]int64 // spares most calls an allocation
	sizes, size := few[:0], int64(0)
	if len(events) > len(few) {
		sizes = make([]int64, 0, len(events))
	}
	for i := range events {
		sizes = append(sizes, weight(events, i))
		size += sizes[i]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	// It will be there for a while: the time to detach it is worth the room.
	detach := len(events) == 1 && size < 2*pinned && q.bytes > q.o.MaxBytes/2
	if detach {
		size -= pinned
		sizes[0] = size
	}
	if err := q.waitForRoom(ctx, len(events), size); err != nil {
		q.stats.Refused += uint64(len(events))
		return err
	}
	if detach {
		events[0] = events[0].Clone()
	}
	q.push(events, sizes)
	q.bytes += size
	q.stats.Taken += uint64(len(events))
	signal(q.more)
	return nil
}

// waitForRoom returns nil when there is room. The lock is held before and after.
func (q *Queue) waitForRoom(ctx context.Context, events int, size int64) error {
	var timeout <-chan time.Time
	for {
		if q.closing {
			return ErrClosed
		}
		n := q.n + len(q.held)
		if n == 0 || n+events <= q.o.MaxEvents && q.bytes+size <= q.o.MaxBytes {
			return nil
		}
		if q.o.NoWait {
			return noRoom()
		}
		if timeout == nil {
			t := time.NewTimer(q.o.Wait)
			defer t.Stop()
			timeout = t.C
		}
		changed := q.changed
		q.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-timeout:
			err = noRoom()
		}
		q.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// noRoom returns an error of its own for each call: who gets one may change it.
func noRoom() error { return &beacon.RetryAfterError{After: 5 * time.Second, Err: ErrFull} }

// signal wakes the one that waits for c, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run delivers until the queue is closed and empty, or delivery is cancelled.
func (q *Queue) run() {
	defer close(q.ended)
	for {
		closing := q.feed()
		if q.courier.Len() == 0 {
			if closing {
				return
			}
			<-q.more
			continue
		}
		p, wait, err := q.courier.Try(q.ctx)
		q.settle(p, err)
		if wait > 0 {
			q.pause(wait)
		}
		if q.ctx.Err() != nil {
			q.lose(q.courier.Take())
			return
		}
	}
}

// pause waits until it is time for the next attempt.
func (q *Queue) pause(wait time.Duration) {
	var more <-chan struct{}
	if q.courier.Eager() {
		more = q.more
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-more:
	case <-q.hurry:
		q.courier.Hurry()
	case <-q.ctx.Done():
	}
}

// feed gives the courier what it has a use for.
func (q *Queue) feed() (closing bool) {
	events, bytes := q.courier.Room()
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; q.n > 0 && events > 0 && bytes > 0; events-- {
		at, first := q.head, q.stats.Taken-uint64(q.n)
		q.courier.Add(q.ring[at], q.sizes[at], first)
		q.held = append(q.held, first)
		bytes -= q.sizes[at]
		q.ring[at] = beacon.Event{}
		q.head, q.n = q.at(1), q.n-1
	}
	if q.n == 0 && len(q.ring) > 4*q.o.BatchEvents { // what a bad hour needed
		q.ring, q.sizes, q.head = nil, nil, 0
	}
	return q.closing
}

// push appends to the ring. The caller holds the lock.
func (q *Queue) push(events []beacon.Event, sizes []int64) {
	if need := q.n + len(events); need > len(q.ring) {
		ring, ringSizes := make([]beacon.Event, max(need, 2*len(q.ring))), make([]int64, max(need, 2*len(q.ring)))
		for i := range q.n {
			ring[i], ringSizes[i] = q.ring[q.at(i)], q.sizes[q.at(i)]
		}
		q.ring, q.sizes, q.head = ring, ringSizes, 0
	}
	for i := range events {
		at := q.at(q.n + i)
		q.ring[at], q.sizes[at] = events[i], sizes[i]
	}
	q.n += len(events)
}

// at is where event i of those pending is.
func (q *Queue) at(i int) int { return (q.head + i) % len(q.ring) }

// settle notes what an attempt led to.
func (q *Queue) settle(p delivery.Progress, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() == nil { // else it says no more than that
		q.lastErr = err
	}
	q.held = slices.AppendSeq(q.held[:0], q.courier.Held())
	q.bytes -= p.Bytes
	q.stats.Delivered += uint64(p.Delivered)
	q.stats.LostPermanent += uint64(p.Buried)
	if p != (delivery.Progress{}) {
		q.wake()
	}
}

// pending returns how many of the first events that were taken are still to be delivered.
// The caller holds the lock.
func (q *Queue) pending(first uint64) int {
	n, _ := slices.BinarySearch(q.held, first)
	if gone := q.stats.Taken - uint64(q.n); first > gone {
		n += int(first - gone)
	}
	return n
}

// wake wakes all that wait for a change. The caller holds the lock.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// lose gives up what is pending. had is what the courier had, or nil if it is at that.
func (q *Queue) lose(had []beacon.Event) {
	q.mu.Lock()
	lost := had
	for ; q.n > 0; q.head, q.n = q.at(1), q.n-1 {
		lost = append(lost, q.ring[q.head])
		q.bytes -= q.sizes[q.head]
		q.ring[q.head] = beacon.Event{}
	}
	if had != nil {
		q.held, q.bytes = nil, 0
	}
	q.stats.LostClosing += uint64(len(lost))
	why := undelivered(len(lost), q.cause, q.lastErr)
	q.wake()
	q.mu.Unlock()
	q.tell(lost, why)
}

func (q *Queue) tell(lost []beacon.Event, why error) {
	if q.o.OnLost != nil && len(lost) > 0 {
		contain(func() { q.o.OnLost(lost, why) })
	}
}
