// Package sink has sinks that stand in front of other sinks.
//
//	Batch          group commit: many calls become one, and each gets its answer
//	Retry          tries again when the sink behind fails temporarily
//	Dedup          lets an event pass once
//	Tee            hands each event to several sinks
//	ByName         hands each event to the sink for its name
//	Filter, Sample leave events out
//	Split          makes several events of one
//	Log            writes a log record for each event; it is the last of its chain
//	VolatileQueue  answers before it has delivered, and so can lose events
//
// They nest. The outermost is called first, so
//
//	s := sink.Retry(sink.Batch(store, sink.BatchOptions{}), sink.RetryOptions{})
//
// tries again what a batch did not take, and only that.
//
// # What holds for all of them
//
// They keep the contract of [beacon.Sink]: they are safe for concurrent use, and
// but for VolatileQueue they return nil only once the sink behind has. Delivery
// is at least once: after an error, part of the events may be stored all the same,
// and whoever tries again makes duplicates of them. [beacon.Event.ID] is what
// tells these apart.
//
// An error keeps its kind on the way out: what is permanent behind (see
// [beacon.ErrPermanent]) is permanent in front, and a delay that a
// [*beacon.RetryAfterError] asks for is still found. Exceptions say so. If the sink
// behind names the events that it did not take, with a [*beacon.PartialError], it
// does not get the others again, and the error in front names the events of that
// call.
//
// Close closes what is behind too, once, however often it is called; Consume
// fails with [ErrClosed] from then on. A Close while another is under way waits for
// it, but not longer than its context. The first comes back two seconds after the end of
// its context at the latest, whatever the sink behind does. Flush, Close and Healthy are
// passed on to sinks that have them, or are an [io.Closer], and are nil for sinks that do
// not.
//
// A sink behind that panics, hangs or ends the goroutine with [runtime.Goexit] does that to
// the call in which it does, as if nothing stood before it, and to no other. Batch,
// VolatileQueue and members of a Tee that are [BestEffort] keep it from their callers, too.
//
// # Mistakes
//
// Functions that make a sink panic if what they get makes no sense, such as no
// sink to stand in front of or a negative number: that is a mistake in the program.
// [github.com/pagebeacon/beacon/spool.Open] can fail for other reasons too, and
// returns a mistake as an error. Zero means the default that each field names.
package sink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// A Sink is what the functions here return: a [beacon.Sink] with all its optional
// interfaces, which are passed on to the sink behind. It is safe for concurrent use.
type Sink interface {
	beacon.Sink
	beacon.Flusher
	beacon.Closer
	beacon.HealthChecker
}

// ErrClosed is what Consume and Healthy return after Close. It is temporary: the
// process that comes next may take the events.
var ErrClosed = errors.New("sink: closed")

// A lifetime is what every sink here has: it can be closed once.
type lifetime struct {
	closed atomic.Bool

	mu   sync.Mutex
	done chan struct{} // closed when the close that the first Close began is over
	err  error         // of that; read it after done
}

// end closes the sink: it runs f, but only the first time. Others wait for that
// and get its error, or that of their own context. f, which may be somebody else's code,
// has a goroutine of its own, so that it can hang or end that.
func (l *lifetime) end(ctx context.Context, f func() error) error {
	l.mu.Lock()
	first := l.done == nil
	if first {
		l.done = make(chan struct{})
		l.closed.Store(true)
		l.err = errGone
		go func() {
			defer close(l.done)
			l.err = delivery.Guard(f)
		}()
	}
	l.mu.Unlock()

	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
	}
	if first { // f knows that, too, and has more to say
		t := time.NewTimer(2 * closeGrace)
		defer t.Stop()
		select {
		case <-l.done:
			return l.err
		case <-t.C:
		}
	}
	return ctx.Err()
}

// closeGrace is how long to wait for a call of somebody else's code whose context has
// ended.
const closeGrace = time.Second

// overdueAfter is how long to wait for a call whose context ends after d.
func overdueAfter(d time.Duration) time.Duration {
	return d + min(closeGrace, math.MaxInt64-d)
}

var (
	errGone    = errors.New("sink: the sink behind ended the goroutine")
	errOverdue = errors.New("sink: the sink behind does not return")
)

// A front is a sink before another that has nothing of its own to flush.
type front struct {
	lifetime
	next beacon.Sink
}

func (f *front) Flush(ctx context.Context) error { return beacon.Flush(ctx, f.next) }

func (f *front) Close(ctx context.Context) error {
	return f.end(ctx, func() error { return beacon.Close(ctx, f.next) })
}

func (f *front) Healthy(ctx context.Context) error {
	if f.closed.Load() {
		return ErrClosed
	}
	return beacon.Healthy(ctx, f.next)
}

// each calls f for all sinks, concurrently, and joins their errors. A panic is one, and so
// is the end of the goroutine.
func each(sinks []beacon.Sink, f func(beacon.Sink) error) error {
	errs := make([]error, len(sinks))
	var wg sync.WaitGroup
	for i, s := range sinks {
		wg.Go(func() {
			errs[i] = errGone
			errs[i] = delivery.Guard(func() error { return f(s) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// contain calls a function of the host's that only listens, whatever it does but hang.
func contain(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = delivery.Guard(func() error { f(); return nil })
	}()
	<-done
}

// mustSink panics if next is nil; name is the function that got it.
func mustSink(name string, next beacon.Sink) {
	if next == nil {
		panic("sink: " + name + ": no sink to stand in front of")
	}
}

// orDefault returns v, or def if v is zero. It panics if v is negative.
func orDefault[T int | int64 | time.Duration](name string, v, def T) T {
	if v < 0 {
		panic(fmt.Sprintf("sink: %s is negative: %v", name, v))
	}
	if v == 0 {
		return def
	}
	return v
}

// pinned is what the events of a request may keep alive beside what [beacon.Event.Size]
// says. An event keeps alive no more than twice that and 8 KiB, so twice what is counted
// is the most that there is in memory.
const pinned = 4 << 10

// weight returns the bytes that event i of a call counts where memory is bounded. The
// events of a request stand together, and share what they pin.
func weight(events []beacon.Event, i int) int64 {
	n := int64(events[i].Size())
	if i == 0 || !sameRequest(&events[i-1], &events[i]) {
		n += pinned
	}
	return n
}

// sameRequest says whether two events came in one request, if that is known.
func sameRequest(a, b *beacon.Event) bool {
	return a.Request.ID != "" && a.Request.ID == b.Request.ID
}

// pick returns the elements of s at some positions, which rise, in the same array. The
// others are let go.
func pick[T any](s []T, which []int) []T {
	for i, w := range which {
		s[i] = s[w]
	}
	clear(s[len(which):])
	return s[:len(which)]
}
