package sink

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// DedupOptions bound what a Dedup remembers. The zero value is all defaults.
type DedupOptions struct {
	// MaxIDs is how many ids are remembered; default 131,072. Each takes about 80
	// bytes, whatever its length: 10 MiB by default. Beyond, the oldest are
	// forgotten.
	MaxIDs int

	// Window is how long an id is remembered; default 24 hours.
	Window time.Duration
}

// Dedup returns a sink that lets an event through once, by its ID: browsers and
// retries send some twice. Twins are taken without being handed on, which is nil if
// none are left. Events with an empty ID all pass.
//
// An id counts as seen only after next took the event. The twin of an event that
// is on its way to next waits for the outcome, and goes itself if that is an error.
// Of twins in one call the first goes, for both. If next names the events that it did
// not take, with a [*beacon.PartialError], the others count as seen, and the error of
// Consume names those of the call that are neither.
//
// Ids are remembered in memory only, and not for ever: after a restart, or once an
// id had to make room, a twin passes. So a store should have a unique key all the
// same; Dedup spares it the work. It never costs an event: ids are told apart by
// 127 bits of a hash with random keys, which a client cannot aim at.
//
// Dedup panics if next is nil or an option is negative.
func Dedup(next beacon.Sink, o DedupOptions) Sink {
	mustSink("Dedup", next)
	return &dedup{
		front:  front{next: next},
		window: orDefault("DedupOptions.Window", o.Window, 24*time.Hour),
		max:    orDefault("DedupOptions.MaxIDs", o.MaxIDs, 1<<17),
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		start:  time.Now(),
		seen:   map[idKey]struct{}{},
		flying: map[idKey]*flight{},
	}
}

type dedup struct {
	front
	window time.Duration
	max    int
	seeds  [2]maphash.Seed
	start  time.Time

	mu     sync.Mutex
	seen   map[idKey]struct{}
	ring   []sighting // the order in which ids were seen; grows up to max
	oldest int        // in ring
	n      int        // in ring
	flying map[idKey]*flight
}

// An idKey stands for an id; the zero value for none.
type idKey [2]uint64

type sighting struct {
	key idKey
	at  time.Duration // since start
}

// A flight is a call of next under way.
type flight struct {
	landed chan struct{} // made by the first that waits for it
}

// errNotTried is why an event was not taken whose twin was on its way in another call.
var errNotTried = errors.New("sink: not tried after this")

func (d *dedup) Consume(ctx context.Context, events []beacon.Event) error {
	if d.closed.Load() {
		return ErrClosed
	}
	var fewKeys [4]idKey // these spare most calls an allocation
	var fewAt [16]int
	at := fewAt[:0] // where the events stand in the call
	for i := range events {
		at = append(at, i)
	}
	var o outcome
	for handed := false; ; {
		f := new(flight)
		mine, others, c := d.claim(f, events, at, fewKeys[:0])
		if len(mine) > 0 || len(events) == 0 {
			err, named := d.deliver(ctx, f, mine, c.keys)
			o.tally.Add(c.at, err)
			o.twins = append(o.twins, c.twins...)
			if err != nil && !named {
				if handed && len(others) > 0 { // or else it is about all of the call
					o.tally.Add(c.othersAt, errNotTried)
				}
				return o.err()
			}
			handed = true
		}
		if len(others) == 0 {
			return o.err()
		}
		// Only now, with nothing claimed: two calls with the same ids in another
		// order would wait for each other otherwise.
		select {
		case <-c.landed:
		case <-ctx.Done():
			o.tally.Add(c.othersAt, ctx.Err())
			return o.err()
		}
		events, at = others, c.othersAt
	}
}

// An outcome is what became of a call's events.
type outcome struct {
	tally delivery.Tally
	twins []twins
}

// twins are events of one call with the same id, of which only the first is handed on;
// these are their positions.
type twins struct{ first, second int }

// err is the error of the call: twins share the fate of the first.
func (o *outcome) err() error {
	err := o.tally.Err()
	if part, ok := errors.AsType[*beacon.PartialError](err); ok { // the tally's own
		for _, t := range o.twins {
			if slices.Contains(part.Failed, t.first) {
				part.Failed = append(part.Failed, t.second)
			}
		}
		slices.Sort(part.Failed)
	}
	return err
}

// A claim is what a call found out about its events: which are its own to deliver, and
// which have twins that are on their way in other calls. Seen ones are neither.
type claim struct {
	at    []int   // where its own stand in the call
	keys  []idKey // theirs; the zero idKey without an id
	twins []twins // of them, in this call

	othersAt []int
	landed   <-chan struct{} // closed when the first of the others' twins has its outcome
}

// claim sorts events, which it owns as it does at. Those that are the call's own go
// with the flight f.
func (d *dedup) claim(f *flight, events []beacon.Event, at []int, keys []idKey) (mine, others []beacon.Event, c claim) {
	for i := range events {
		var key idKey
		if events[i].ID != "" {
			key = d.key(events[i].ID)
		}
		keys = append(keys, key)
	}
	now := time.Since(d.start)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
	n := 0
	for i, key := range keys {
		if key != (idKey{}) {
			if _, ok := d.seen[key]; ok {
				continue
			}
			if other, ok := d.flying[key]; ok {
				if other == f {
					c.twins = append(c.twins, twins{at[slices.Index(keys[:n], key)], at[i]})
					continue
				}
				others = append(others, events[i])
				c.othersAt = append(c.othersAt, at[i])
				if c.landed == nil {
					if other.landed == nil {
						other.landed = make(chan struct{})
					}
					c.landed = other.landed
				}
				continue
			}
			d.flying[key] = f
		}
		if n != i {
			events[n], at[n], keys[n] = events[i], at[i], key
		}
		n++
	}
	clear(events[n:])
	c.at, c.keys = at[:n], keys[:n]
	return events[:n], others, c
}

// deliver hands the events to next, and then lets go of the keys. named says whether
// next named those that it did not take.
func (d *dedup) deliver(ctx context.Context, f *flight, events []beacon.Event, keys []idKey) (err error, named bool) {
	taken := func(int) bool { return false } // if this does not come back
	defer func() { d.release(f, keys, taken) }()
	err = d.next.Consume(ctx, events)
	failed, _, named := delivery.Failed(err, len(events))
	taken = func(i int) bool {
		_, found := slices.BinarySearch(failed, i)
		return !found
	}
	return err, named
}

// release ends the flight: ids of events that were taken are seen from now on.
func (d *dedup) release(f *flight, keys []idKey, taken func(i int) bool) {
	now := time.Since(d.start)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, key := range keys {
		if key == (idKey{}) {
			continue
		}
		delete(d.flying, key)
		if taken(i) {
			d.remember(key, now)
		}
	}
	if f.landed != nil {
		close(f.landed)
	}
}

func (d *dedup) remember(key idKey, now time.Duration) {
	if d.n == d.max {
		d.forget()
	}
	i := d.oldest + d.n
	if d.n == len(d.ring) { // then oldest is 0
		d.ring = append(d.ring, sighting{})
	} else {
		i %= len(d.ring)
	}
	d.ring[i] = sighting{key, now}
	d.seen[key] = struct{}{}
	d.n++
}

func (d *dedup) expire(now time.Duration) {
	for d.n > 0 && now-d.ring[d.oldest].at >= d.window {
		d.forget()
	}
}

func (d *dedup) forget() {
	delete(d.seen, d.ring[d.oldest].key)
	d.oldest = (d.oldest + 1) % len(d.ring)
	d.n--
}

func (d *dedup) key(id string) idKey {
	return idKey{maphash.String(d.seeds[0], id) | 1, maphash.String(d.seeds[1], id)}
}
