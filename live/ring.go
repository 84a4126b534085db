package live

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/pagebeacon/beacon"
)

const (
	largest = 64 << 10 // events above are kept only as they are shown
	spare   = 512      // what an item takes beside its event
)

// An item is an event that is kept. Most are never looked at, so it is worked out what to
// show of one when somebody does.
type item struct {
	n    uint64 // its position, from 1
	id   uint64 // hash of the event's ID
	key  string // of its session
	view string // its page view
	size int    // what it is counted with; guarded by the ring's owner
	in   bool

	// again says that an event of this ID was there already.
	again bool

	once  sync.Once
	event beacon.Event // until it was shown
	data  []byte       // JSON
}

var seed = maphash.MakeSeed()

func newItem(e *beacon.Event, key, view string) *item {
	it := &item{id: maphash.String(seed, e.ID), key: key, view: view, size: e.Size() + spare, event: *e}
	if it.size > largest {
		it.shown()
		it.size = len(it.data) + spare
	}
	return it
}

// shown returns what the page gets, but for the item's position.
func (it *item) shown() []byte {
	it.once.Do(func() {
		it.data = render(&it.event, it.key, it.view)
		it.event, it.key, it.view = beacon.Event{}, "", ""
	})
	return it.data
}

// A ring holds the last items, bounded by number and bytes. It knows no readers: each has
// a position and asks for what comes after it, so a slow one costs nothing.
type ring struct {
	keep, room int

	items []*item // oldest first
	bytes int
	last  uint64 // position of the newest
	ids   map[uint64]int
}

func (r *ring) add(it *item) {
	if r.ids == nil {
		r.ids = map[uint64]int{}
	}
	r.last++
	it.n, it.in = r.last, true
	it.again = r.ids[it.id] > 0
	r.ids[it.id]++
	r.items = append(r.items, it)
	r.bytes += it.size
	r.trim()
}

// grown counts an item anew after it was worked out what to show of it.
func (r *ring) grown(it *item) {
	if size := len(it.data) + spare; it.in && it.size != size {
		r.bytes += size - it.size
		it.size = size
		r.trim()
	}
}

// trim lets the oldest go while there are too many. The newest stays.
func (r *ring) trim() {
	drop := 0
	for drop < len(r.items)-1 && (len(r.items)-drop > r.keep || r.bytes > r.room) {
		old := r.items[drop]
		old.in = false
		r.bytes -= old.size
		if r.ids[old.id]--; r.ids[old.id] == 0 {
			delete(r.ids, old.id)
		}
		drop++
	}
	clear(r.items[:drop])
	r.items = r.items[drop:] // append makes room for as many again now and then
}

// since returns the items after a position, no more than most, and how many there were
// in between that are not among them.
func (r *ring) since(pos uint64, most int) (items []*item, missed uint64) {
	if pos > r.last {
		pos = 0
	}
	n := min(uint64(len(r.items)), r.last-pos)
	n = min(n, uint64(most))
	return slices.Clone(r.items[uint64(len(r.items))-n:]), r.last - pos - n
}
