package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A hub keeps the last items and wakes the readers that wait for more.
//
// It knows no readers. Each has a position and asks for what comes after it, so a
// slow one holds up nobody, costs no memory, and is told how many items it was
// too slow for.
type hub struct {
	run  string // tells this hub's positions from those of the program's last run
	keep int    // items
	room int    // their bytes; the newest item is kept all the same

	mu      sync.Mutex
	items   []item // oldest first
	bytes   int    // of their data
	last    uint64 // position of the newest item; the first one has 1
	stats   []byte // the counters of the handler, as JSON
	changed chan struct{}

	done     chan struct{}
	closeOne sync.Once
}

func newHub(keep, room int) *hub {
	return &hub{
		run:     strconv.FormatInt(time.Now().UnixNano(), 36),
		keep:    keep,
		room:    room,
		changed: make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// add keeps an item, in place of the oldest ones if there are too many.
func (h *hub) add(it item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, it)
	h.bytes += len(it.data)
	drop := max(0, len(h.items)-h.keep)
	for i, old := range h.items[:len(h.items)-1] {
		if i >= drop && h.bytes <= h.room {
			break
		}
		h.bytes -= len(old.data)
		drop = i + 1
	}
	h.items = slices.Delete(h.items, 0, drop)
	h.last++
	h.broadcast()
}

// count makes readers look at the counters, which stats returns: once for all of them.
func (h *hub) count(stats func() []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats = stats()
	h.broadcast()
}

func (h *hub) broadcast() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// A news is what there is for a reader.
type news struct {
	items   []item
	missed  uint64          // how many before these are no longer kept
	stats   []byte          // not to be changed
	changed <-chan struct{} // closed when it is worth asking again
}

// since returns what there is after a position.
func (h *hub) since(pos uint64) news {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := news{stats: h.stats, changed: h.changed}
	before := h.last - uint64(len(h.items)) // position before the oldest one
	if pos < before {
		pos, n.missed = before, before-pos
	}
	n.items = slices.Clone(h.items[min(pos, h.last)-before:])
	return n
}

// events returns the events that are kept, oldest first.
func (h *hub) events() []json.RawMessage {
	items := h.since(0).items
	events := make([]json.RawMessage, len(items))
	for i, it := range items {
		events[i] = it.event
	}
	return events
}

// id writes a position for a client to come back with.
func (h *hub) id(pos uint64) string { return h.run + "-" + strconv.FormatUint(pos, 10) }

// position reads an id; one that is not of this run leads to the beginning.
func (h *hub) position(id string) uint64 {
	n, ok := strings.CutPrefix(id, h.run+"-")
	if !ok {
		return 0
	}
	pos, _ := strconv.ParseUint(n, 10, 64) // 0 where it cannot be read
	return pos
}

// close ends all readers that listen to done.
func (h *hub) close() { h.closeOne.Do(func() { close(h.done) }) }
