package sink

import (
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// An idKind says how dear an id is when there is no room for all.
type idKind uint8

const (
	// One that a client chose, which may send it again.
	idOfClient idKind = iota

	// The same, but behind others of its request: so that few requests cannot flush
	// what many have brought.
	idOfMany

	// One that the handler made. Nobody outside has it, so its twin comes soon or
	// never, when a sink in front tries again.
	idOfHandler

	idKinds
)

// fewOfRequest is how many ids of a request are not idOfMany.
const fewOfRequest = 16

// kindOf returns the kind of the id of an event; n is how many there are before it in
// its request.
func kindOf(e *beacon.Event, n int) idKind {
	switch {
	case e.Request.ID != "" && strings.HasPrefix(e.ID, e.Request.ID):
		return idOfHandler
	case n >= fewOfRequest:
		return idOfMany
	}
	return idOfClient
}

// A memory is a set of ids that were seen. It has a bound, and forgets the oldest of a
// kind. It is not safe for concurrent use.
type memory struct {
	max   int
	keep  [idKinds]int // of a kind, whatever comes of the others
	at    map[idKey]struct{}
	slots []sighting // grows up to max
	free  int        // the first free slot, or -1
	kinds [idKinds]line
}

// A sighting is an id in its line.
type sighting struct {
	key  idKey
	when time.Duration
	next int // slot of the next one in line or, of a free one, of the next free one; or -1
}

// A line is the order in which ids of a kind were seen.
type line struct {
	n           int
	first, last int // slots
}

func newMemory(most int) memory {
	m := memory{max: most, at: map[idKey]struct{}{}, free: -1}
	m.keep = [idKinds]int{idOfMany: most / 4, idOfHandler: most / 8}
	return m
}

func (m *memory) has(key idKey) bool {
	_, ok := m.at[key]
	return ok
}

// add adds an id that is not there, and forgets another one if there is no room.
func (m *memory) add(id knownID, now time.Duration) {
	if len(m.at) == m.max {
		m.forget(m.cheapest(id.kind))
	}
	slot := m.free
	if slot < 0 {
		slot = len(m.slots)
		m.slots = append(m.slots, sighting{})
	} else {
		m.free = m.slots[slot].next
	}
	m.slots[slot] = sighting{id.key, now, -1}
	l := &m.kinds[id.kind]
	if l.n == 0 {
		l.first = slot
	} else {
		m.slots[l.last].next = slot
	}
	l.last = slot
	l.n++
	m.at[id.key] = struct{}{}
}

// cheapest returns the kind of which the oldest has to make room for one of another, or
// the same.
func (m *memory) cheapest(kind idKind) idKind {
	for k := idKinds - 1; k > 0; k-- {
		n := m.kinds[k].n
		if k == kind {
			n++
		}
		if n > m.keep[k] && m.kinds[k].n > 0 {
			return k
		}
	}
	return idOfClient
}

// expire forgets what was seen at that time or before.
func (m *memory) expire(until time.Duration) {
	for k := range idKinds {
		for l := &m.kinds[k]; l.n > 0 && m.slots[l.first].when <= until; {
			m.forget(k)
		}
	}
}

// forget forgets the oldest of a kind.
func (m *memory) forget(kind idKind) {
	l := &m.kinds[kind]
	slot := l.first
	s := &m.slots[slot]
	delete(m.at, s.key)
	l.first = s.next
	l.n--
	*s = sighting{next: m.free}
	m.free = slot
}
