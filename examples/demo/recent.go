package main

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// Recent has the JSON form of the last events, which is what the file keeps.
type recent struct {
	keep int // events
	room int // their bytes; the newest is kept all the same

	mu     sync.Mutex
	events []json.RawMessage // oldest first
	bytes  int
	latest latest
}

// Latest says what came last, and how many came until then.
type latest struct {
	N    uint64    `json:"n"`
	Kind string    `json:"kind,omitempty"`
	Name string    `json:"name,omitempty"`
	Time time.Time `json:"time,omitzero"` // when it was received
}

// add keeps an event, in place of the oldest ones if there are too many.
func (r *recent) add(e beacon.Event, data json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, data)
	r.bytes += len(data)
	drop := max(0, len(r.events)-r.keep)
	for i, old := range r.events[:len(r.events)-1] {
		if i >= drop && r.bytes <= r.room {
			break
		}
		r.bytes -= len(old)
		drop = i + 1
	}
	r.events = slices.Delete(r.events, 0, drop)
	r.latest = latest{N: r.latest.N + 1, Kind: e.Body.Kind(), Name: printable(short(e.Name)), Time: e.Received}
}

// all returns the events that are kept, oldest first.
func (r *recent) all() []json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]json.RawMessage{}, r.events...)
}

func (r *recent) last() latest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.bytes, r.latest = nil, 0, latest{}
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
