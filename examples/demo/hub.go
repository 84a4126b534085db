package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An item is an event as the page gets it.
type item struct {
	Event   json.RawMessage `json:"event"`
	Session string          `json:"session,omitempty"` // "12.34 seconds"
	Problem string          `json:"problem,omitempty"` // why there is no session although it was meant
}

// A hub keeps the last items and wakes the readers that wait for more.
//
// It knows no readers. Each has a position and asks for what comes after it, so a
// slow one holds up nobody, costs no memory, and is told how many items it was
// too slow for.
type hub struct {
	run  string // tells this hub's positions from those of the program's last run
	keep int

	mu      sync.Mutex
	items   []item // oldest first
	last    uint64 // position of the newest item; the first one has 1
	changed chan struct{}

	done     chan struct{}
	closeOne sync.Once
}

func newHub(keep int) *hub {
	return &hub{
		run:     strconv.FormatInt(time.Now().UnixNano(), 36),
		keep:    keep,
		changed: make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// add keeps an item, in place of the oldest one if there are too many.
func (h *hub) add(it item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.items) == h.keep {
		h.items = slices.Delete(h.items, 0, 1)
	}
	h.items = append(h.items, it)
	h.last++
	h.broadcast()
}

// wake makes readers look again although there is no new item.
func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broadcast()
}

func (h *hub) broadcast() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// since returns the items after a position, how many of those are no longer
// kept, and a channel that is closed when it is worth asking again.
func (h *hub) since(pos uint64) (items []item, missed uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.last - uint64(len(h.items)) // position before the oldest one
	if pos < before {
		pos, missed = before, before-pos
	}
	return slices.Clone(h.items[min(pos, h.last)-before:]), missed, h.changed
}

// events returns the events that are kept, oldest first.
func (h *hub) events() []json.RawMessage {
	items, _, _ := h.since(0)
	events := make([]json.RawMessage, len(items))
	for i, it := range items {
		events[i] = it.Event
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
