package sink

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// Defaults of [DedupOptions].
const (
	DefaultDedupIDs    = 1 << 17
	DefaultDedupWindow = 24 * time.Hour
)

// DedupOptions bound what a Dedup remembers. The zero value is all defaults.
type DedupOptions struct {
	// MaxIDs is how many ids are remembered; default [DefaultDedupIDs]. Each takes
	// about 80 bytes, whatever its length: 10 MiB by default. Beyond, the oldest are
	// forgotten.
	MaxIDs int

	// Window is how long an id is remembered; default [DefaultDedupWindow].
	Window time.Duration
}

// Dedup returns a sink that lets an event through once, by its ID: browsers and
// retries send some twice. Twins are taken without being handed on, which is nil if
// none are left. Events with an empty ID all pass.
//
// An id counts as seen only after next took the event. The twin of an event that
// is on its way to next waits for the outcome, and goes itself if that is an error.
// Of twins in one call the first goes.
//
// Ids are remembered in memory only, and not for ever: after a restart, or once an
// id had to make room, a twin passes. So a store should have a unique key all the
// same; Dedup spares it the work. It never costs an event: ids are told apart by
// 128 bits of a hash with random keys, which a client cannot aim at.
//
// Dedup panics if next is nil or an option is negative.
func Dedup(next beacon.Sink, o DedupOptions) Sink {
	mustSink("Dedup", next)
	return &dedup{
		front:  front{next: next},
		window: orDefault("DedupOptions.Window", o.Window, DefaultDedupWindow),
		max:    orDefault("DedupOptions.MaxIDs", o.MaxIDs, DefaultDedupIDs),
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

// An idKey stands for an id.
type idKey [2]uint64

type sighting struct {
	key idKey
	at  time.Duration // since start
}

// A flight is a call of next under way.
type flight struct {
	landed chan struct{} // made by the first that waits for it
}

func (d *dedup) Consume(ctx context.Context, events []beacon.Event) error {
	if d.closed.Load() {
		return ErrClosed
	}
	var few [4]idKey // spares most calls an allocation
	for {
		mine, keys, others, landed := d.claim(events, few[:0])
		if len(mine) > 0 || len(events) == 0 {
			if err := d.deliver(ctx, mine, keys); err != nil {
				return err // the caller tries all of it again
			}
		}
		if len(others) == 0 {
			return nil
		}
		// Only now, with nothing claimed: two calls with the same ids in another
		// order would wait for each other otherwise.
		select {
		case <-landed:
		case <-ctx.Done():
			return ctx.Err()
		}
		events = others
	}
}

// claim splits events into those that are this call's to deliver, and those whose
// twins are on their way, in other calls or in this one: the flight of the first of
// these lands with landed. Seen ones are in neither. It owns events.
func (d *dedup) claim(events []beacon.Event, keys []idKey) (mine []beacon.Event, claimed []idKey, others []beacon.Event, landed <-chan struct{}) {
	for i := range events {
		keys = append(keys, d.key(events[i].ID))
	}
	now := time.Since(d.start)
	f := new(flight)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
	n := 0
	for i := range events {
		if key := keys[i]; events[i].ID != "" {
			if _, ok := d.seen[key]; ok {
				continue
			}
			if other, ok := d.flying[key]; ok {
				others = append(others, events[i])
				if landed == nil {
					if other.landed == nil {
						other.landed = make(chan struct{})
					}
					landed = other.landed
				}
				continue
			}
			d.flying[key] = f
			claimed = append(keys[:len(claimed)], key) // never passes i
		}
		if n != i {
			events[n] = events[i]
		}
		n++
	}
	clear(events[n:])
	return events[:n], claimed, others, landed
}

// deliver hands the events to next, and then lets go of the keys.
func (d *dedup) deliver(ctx context.Context, events []beacon.Event, keys []idKey) error {
	taken := false
	defer func() { d.release(keys, taken) }()
	if err := d.next.Consume(ctx, events); err != nil {
		return err
	}
	taken = true
	return nil
}

func (d *dedup) release(keys []idKey, taken bool) {
	if len(keys) == 0 {
		return
	}
	now := time.Since(d.start)
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flying[keys[0]]
	for _, key := range keys {
		delete(d.flying, key)
		if taken {
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
	return idKey{maphash.String(d.seeds[0], id), maphash.String(d.seeds[1], id)}
}
