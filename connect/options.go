package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
	"github.com/pagebeacon/beacon/internal/histogram"
)

// RelayOptions say how a [Relay] goes about it. Done and Dead are required; zero is the
// default of all else.
type RelayOptions[T any] struct {
	// Done is told of events that are settled, so that they may be committed or
	// acknowledged. It may be called concurrently, from as many goroutines as there are
	// calls of next, and holds up the one that it is called from. It must not keep the
	// slice, must not panic, and must not call Flush, Forget or Close.
	Done func(tags []T)

	// Dead keeps events that next will never take, most often in a topic or stream of
	// their own. After nil they are settled; after a [*beacon.PartialError], those that
	// it does not name. After any other error they are tried again later, as often as it
	// takes, in smaller calls. There is one call at a time, and all else goes on beside
	// it; but the letters stay in memory, so that in the end Add waits for them. ctx ends
	// after Timeout.
	Dead func(ctx context.Context, letters []Letter[T]) error

	// Parallel is how many calls of next there may be at a time; default 4.
	Parallel int

	// MaxEvents and MaxBytes bound what is in memory, on the way to next and before;
	// defaults 16,384 and 64 MiB. Bytes are those of [beacon.Event.Size]; what next or
	// Dead make of the events, and the tags, are not counted.
	MaxEvents int
	MaxBytes  int64

	// BatchEvents and BatchBytes bound what next gets in one call; defaults 1,000 and
	// 1 MiB. One event always fits. There is no waiting for a batch to fill: calls are
	// as large as what comes while others are under way.
	BatchEvents int
	BatchBytes  int64

	// Timeout bounds one call of next or Dead; default 30 s.
	Timeout time.Duration

	// MaxTries is how often one event may fail temporarily, each time with others taken
	// since, until it goes to Dead; default 10.
	MaxTries int

	// Logger is told of failures, the first of a row and then one a minute, of dead
	// letters, and of calls that do not return; nil for nobody.
	Logger *slog.Logger
}

// A Letter is an event that next does not take, and why.
type Letter[T any] struct {
	Event beacon.Event
	Tag   T
	Why   error
}

var errHangs = errors.New("connect: relay: a call does not return")

// NewRelay returns a Relay in front of next. A nil from next has to mean that the events
// are stored, as it does of package store: behind a [sink.VolatileQueue] they would be
// settled while they are in memory. The error names all that is wrong with the options.
//
// [sink.VolatileQueue]: https://pkg.go.dev/github.com/pagebeacon/beacon/sink#VolatileQueue
func NewRelay[T any](next beacon.Sink, o RelayOptions[T]) (*Relay[T], error) {
	if err := o.complete(next); err != nil {
		return nil, err
	}
	r := &Relay[T]{
		next: next, o: o, owners: map[string]owner{},
		more: make(chan struct{}, 1), stopped: make(chan struct{}), ended: make(chan struct{}),
		changed: make(chan struct{}),
		took:    histogram.Seconds(),
		log:     reporter{logger: o.Logger, what: "the sink"},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.dead = undertaker[T]{
		r: r, more: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		log: reporter{logger: o.Logger, what: "keeping dead letters"},
	}
	for i := range o.Parallel {
		r.lanes = append(r.lanes, newLane(r, i))
	}
	r.start()
	return r, nil
}

// complete fills in what is not said, and refuses what makes no sense.
func (o *RelayOptions[T]) complete(next beacon.Sink) error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(next == nil, "no Sink")
	wrong(o.Done == nil, "no RelayOptions.Done")
	wrong(o.Dead == nil, "no RelayOptions.Dead")
	number := func(name string, n *int, otherwise int) {
		wrong(*n < 0, "RelayOptions.%s is %d", name, *n)
		*n = cmp.Or(*n, otherwise)
	}
	bytes := func(name string, n *int64, otherwise int64) {
		wrong(*n < 0, "RelayOptions.%s is %d", name, *n)
		*n = cmp.Or(*n, otherwise)
	}
	number("Parallel", &o.Parallel, 4)
	number("MaxEvents", &o.MaxEvents, 1<<14)
	bytes("MaxBytes", &o.MaxBytes, 64<<20)
	number("BatchEvents", &o.BatchEvents, 1000)
	bytes("BatchBytes", &o.BatchBytes, 1<<20)
	wrong(o.Timeout < 0, "RelayOptions.Timeout is %v", o.Timeout)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	number("MaxTries", &o.MaxTries, 10)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return fmt.Errorf("connect: relay: %w", errors.Join(errs...))
	}
	return nil
}

// hangs notes that a call has not returned although its context is over, or that it has
// now.
func (r *Relay[T]) hangs(what string) func(bool) {
	return func(hangs bool) {
		n := -1
		if hangs {
			n = 1
		}
		r.mu.Lock()
		r.hanging += n
		r.mu.Unlock()
		if hangs {
			r.o.Logger.Error("connect: relay: "+what+" does not return", "timeout", r.o.Timeout)
		} else {
			r.o.Logger.Info("connect: relay: " + what + " has returned")
		}
	}
}

func newLane[T any](r *Relay[T], at int) *lane[T] {
	l := &lane[T]{r: r, at: at, more: make(chan struct{}, 1), call: make(chan struct{}, 1), cut: func() {}}
	l.courier = delivery.Courier[int]{
		Next: r.next, Timeout: r.o.Timeout, Base: delivery.RetryBase, Limit: delivery.RetryLimit, MaxTries: r.o.MaxTries,
		BatchEvents: r.o.BatchEvents, BatchBytes: r.o.BatchBytes,
		AsideBytes: max(r.o.BatchBytes, r.o.MaxBytes/int64(4*r.o.Parallel)),
		Bury:       l.bury, Settled: func(slot int) { l.settled = append(l.settled, slot) },
		Hangs: r.hangs("a call of the sink"), Took: r.took.Took,
	}
	return l
}
