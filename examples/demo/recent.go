package main

import (
	"encoding/json"
	"slices"
	"sort"
	"sync"

	"github.com/pagebeacon/beacon"
)

// Recent has the JSON form of the last events, which is what the file keeps.
type recent struct {
	keep int // events
	room int // their bytes; the newest is kept all the same

	mu     sync.Mutex
	events []json.RawMessage // oldest first
	bytes  int
	n      uint64 // of the last one
	old    uint64 // of the last one of the runs before
	came   []came // the last of them
}

// What came is what the page is told of an event. Texts are cut.
type came struct {
	N       uint64   `json:"n"` // of all, in the order in which they came
	Kind    string   `json:"kind"`
	Name    string   `json:"name,omitempty"`
	Sample  string   `json:"sample,omitempty"` // of the page, that it is
	Session string   `json:"session,omitempty"`
	Time    float64  `json:"time"` // when it was received, in milliseconds
	JSON    string   `json:"json,omitempty"`
	Code    code     `json:"code"` // that got it
	Said    []string `json:"said"` // by that
}

func (a arrival) came() came {
	c := came{
		Kind: a.Body.Kind(), Name: printable(short(a.Name)), Sample: short(a.Query.Get("kind")), Session: a.Session,
		Time: float64(a.Received.UnixMicro()) / 1e3, Code: a.code, Said: make([]string, len(a.said)),
	}
	for i, text := range a.said {
		c.Said[i] = cut(text, 1000)
	}
	if j, ok := a.Body.(beacon.JSON); ok && len(j) <= 1000 {
		c.JSON = string(j)
	}
	return c
}

// add keeps an event, in place of the oldest ones if there are too many.
func (r *recent) add(a arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, a.data)
	r.bytes += len(a.data)
	drop := max(0, len(r.events)-r.keep)
	for i, old := range r.events[:len(r.events)-1] {
		if i >= drop && r.bytes <= r.room {
			break
		}
		r.bytes -= len(old)
		drop = i + 1
	}
	r.events = slices.Delete(r.events, 0, drop)
	c := a.came()
	r.n++
	c.N = r.n
	r.came = append(r.came[max(0, len(r.came)+1-told):], c)
}

// told is how many of the last events the page can ask for.
const told = 50

// all returns the events that are kept, oldest first.
func (r *recent) all() []json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]json.RawMessage{}, r.events...)
}

// since returns what came after the first n, and how many that were in all. A page that
// was there before this run has the number of another, and gets what came in this one.
func (r *recent) since(n uint64) ([]came, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < r.old || n > r.n {
		n = r.old
	}
	i := sort.Search(len(r.came), func(i int) bool { return r.came[i].N > n })
	return append([]came{}, r.came[i:]...), r.n
}

// begin says that what is there is of the runs before.
func (r *recent) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.old = r.n
}

// size returns how many events are kept, and their bytes.
func (r *recent) size() (events, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events), r.bytes
}

// clear forgets all but how many came: a page asks for those after the last it knows.
func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.bytes, r.came = nil, 0, nil
}
