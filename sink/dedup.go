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
	// MaxIDs is how many ids are remembered; default 131,072. Each takes about 90
	// bytes, whatever its length: 12 MiB by default. Beyond, ids are forgotten, the
	// oldest first; see [Dedup] for whose.
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
// # What a stranger can do
//
// Anybody can send new ids, and so make Dedup forget those of others. It takes many
// requests: when there is no more room, first the ids go that the handler made, which
// nobody outside can send again, down to an eighth of MaxIDs; then those of a request
// behind its sixteenth, down to a quarter; and then the others. So by default it takes
// more than 5,000 requests to flush what visitors sent in small ones. Package limit and
// [beacon.Config.Admit] bound how fast these come. What is won is that a twin passes.
//
// Dedup panics if next is nil or an option is negative.
func Dedup(next beacon.Sink, o DedupOptions) Sink {
	mustSink("Dedup", next)
	return &dedup{
		front:  front{next: next},
		window: orDefault("DedupOptions.Window", o.Window, 24*time.Hour),
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		start:  time.Now(),
		seen:   newMemory(orDefault("DedupOptions.MaxIDs", o.MaxIDs, 1<<17)),
		flying: map[idKey]*flight{},
	}
}

type dedup struct {
	front
	window time.Duration
	seeds  [2]maphash.Seed
	start  time.Time

	mu     sync.Mutex
	seen   memory
	flying map[idKey]*flight
}

// An idKey stands for an id; the zero value for none.
type idKey [2]uint64

type knownID struct {
	key  idKey
	kind idKind
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
	var fewIDs [4]knownID // these spare most calls an allocation
	var fewAt [16]int
	at := fewAt[:0] // where the events stand in the call
	for i := range events {
		at = append(at, i)
	}
	var o outcome
	for handed := false; ; {
		f := new(flight)
		mine, others, c := d.claim(f, events, at, fewIDs[:0])
		if len(mine) > 0 || len(events) == 0 {
			err, named := d.deliver(ctx, f, mine, c)
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
	at    []int     // where its own stand in the call
	ids   []knownID // theirs; with the zero key if they have none
	twins []twins   // of them, in this call

	othersAt []int
	landed   <-chan struct{} // closed when the first of the others' twins has its outcome
}

// claim sorts events, which it owns as it does at. Those that are the call's own go
// with the flight f.
func (d *dedup) claim(f *flight, events []beacon.Event, at []int, ids []knownID) (mine, others []beacon.Event, c claim) {
	request := 0 // where that of the event begins
	for i := range events {
		if i > 0 && !sameRequest(&events[i-1], &events[i]) {
			request = i
		}
		id := knownID{kind: kindOf(&events[i], i-request)}
		if events[i].ID != "" {
			id.key = d.key(events[i].ID)
		}
		ids = append(ids, id)
	}
	now := time.Since(d.start)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen.expire(now - d.window)
	n := 0
	for i, id := range ids {
		if key := id.key; key != (idKey{}) {
			if d.seen.has(key) {
				continue
			}
			if other, ok := d.flying[key]; ok {
				if other == f {
					c.twins = append(c.twins, twins{at[slices.IndexFunc(ids[:n], func(x knownID) bool { return x.key == key })], at[i]})
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
			events[n], at[n], ids[n] = events[i], at[i], id
		}
		n++
	}
	clear(events[n:])
	c.at, c.ids = at[:n], ids[:n]
	return events[:n], others, c
}

// deliver hands the events to next, and then lets go of the keys. named says whether
// next named those that it did not take.
func (d *dedup) deliver(ctx context.Context, f *flight, events []beacon.Event, c claim) (err error, named bool) {
	taken := func(int) bool { return false } // if this does not come back
	defer func() { d.release(f, c, taken) }()
	err = d.next.Consume(ctx, events)
	failed, _, named := delivery.Failed(err, len(events))
	taken = func(i int) bool {
		_, found := slices.BinarySearch(failed, i)
		return !found
	}
	return err, named
}

// release ends the flight: ids of events that were taken are seen from now on.
func (d *dedup) release(f *flight, c claim, taken func(i int) bool) {
	now := time.Since(d.start)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, id := range c.ids {
		if id.key == (idKey{}) {
			continue
		}
		delete(d.flying, id.key)
		if taken(i) {
			d.seen.add(id, now)
		}
	}
	if f.landed != nil {
		close(f.landed)
	}
}

func (d *dedup) key(id string) idKey {
	return idKey{maphash.String(d.seeds[0], id) | 1, maphash.String(d.seeds[1], id)}
}
