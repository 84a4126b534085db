package limit

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math/bits"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/pagebeacon/beacon/internal/clientip"
)

// What a network has used up: the causes of a refusal.
var (
	errEvents = errors.New("too many events from one network")
	errBytes  = errors.New("too many bytes from one network")
)

const (
	ways        = 8 // how many networks share a place
	shards      = 64
	maxNetworks = 1 << 24
)

// A table has an account for each network, as far as there is room. It is a hash table of
// a fixed size whose places hold a few accounts each: a network is in its place or
// nowhere, so that no one has to look far, however many there are.
type table struct {
	bounds [2]bound // of events and bytes
	start  time.Time
	seed   maphash.Seed // random: nobody outside knows which networks share a place
	places [][ways]account
	shards [shards]shard // the place with number i is guarded by i mod shards
}

// A shard guards a part of the places, and counts what happens there.
type shard struct {
	sync.Mutex
	admitted, limitedEvents, limitedBytes uint64
	networks                              int
	evicted                               uint64
}

// An account is one network's.
type account struct {
	id      id
	full    cost   // when each bucket is full again, since the start of the table
	limited uint64 // requests
	agents  uint64 // a bit for each user agent of those, by its hash
}

// An id is a netip.Prefix in little room. The zero id is that of no network.
type id struct {
	high uint64 // of the address
	bits uint8  // 32 is IPv4; 48 and 64 are IPv6
}

func newID(p netip.Prefix) id {
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		return id{uint64(binary.BigEndian.Uint32(b[:])), 32}
	}
	b := p.Addr().As16()
	return id{binary.BigEndian.Uint64(b[:]), uint8(p.Bits())}
}

func (i id) prefix() netip.Prefix {
	if i.bits == 32 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i.high)))), 32)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], i.high)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(i.bits))
}

func (t *table) init(networks int, bounds [2]bound) {
	places := max((networks+ways-1)/ways, shards)
	t.places = make([][ways]account, 1<<bits.Len(uint(places-1)))
	t.bounds, t.start, t.seed = bounds, time.Now(), maphash.MakeSeed()
}

// scale says what a cost is to a network.
func (i id) scale(c cost) cost {
	if i.bits == 48 {
		c[0], c[1] = c[0]/wideFactor, c[1]/wideFactor
	}
	return c
}

// take charges a request to its network, and to the wide one around it, if both can pay
// anything at all. If not it returns when to come again, and what there is too much of.
func (t *table) take(network netip.Prefix, c cost, r *http.Request) (wait time.Duration, why error) {
	narrow, wide := newID(network), newID(clientip.Wide(network))
	now := time.Since(t.start)
	if wide != narrow {
		// First, so that the many networks in a /48 that is used up need no accounts.
		if wait, why = t.takeFrom(wide, c, r, now); why != nil {
			return wait, why
		}
	}
	wait, why = t.takeFrom(narrow, c, r, now)
	if why != nil && wide != narrow {
		t.with(wide, now, func(_ *shard, a *account) {
			c := wide.scale(c)
			a.full[0], a.full[1] = a.full[0]-c[0], a.full[1]-c[1]
		})
	}
	return wait, why
}

func (t *table) takeFrom(network id, c cost, r *http.Request, now time.Duration) (wait time.Duration, why error) {
	c = network.scale(c)
	t.with(network, now, func(s *shard, a *account) {
		events, bytes := a.full[0]-now-t.bounds[0].burst, a.full[1]-now-t.bounds[1].burst
		switch wait = max(events, bytes) + 1; {
		case wait <= 0:
			a.add(c, &t.bounds, now)
			if network.bits != 48 {
				s.admitted++
			}
			return
		case events >= bytes:
			s.limitedEvents++
			why = errEvents
		default:
			s.limitedBytes++
			why = errBytes
		}
		a.limited++
		a.agents |= 1 << (maphash.String(t.seed, r.UserAgent()) % 64)
	})
	return wait, why
}

// charge charges a network for what it has sent, even if it cannot pay.
func (t *table) charge(network netip.Prefix, c cost) {
	narrow, wide := newID(network), newID(clientip.Wide(network))
	now := time.Since(t.start)
	t.with(narrow, now, func(_ *shard, a *account) { a.add(narrow.scale(c), &t.bounds, now) })
	if wide != narrow {
		t.with(wide, now, func(_ *shard, a *account) { a.add(wide.scale(c), &t.bounds, now) })
	}
}

func (a *account) add(c cost, bounds *[2]bound, now time.Duration) {
	for i := range c {
		a.full[i] = min(max(a.full[i], now)+c[i], now+bounds[i].most)
	}
}

// with calls f with the account of a network, which is opened if there is none.
func (t *table) with(network id, now time.Duration, f func(*shard, *account)) {
	place := maphash.Comparable(t.seed, network) & uint64(len(t.places)-1)
	s := &t.shards[place%shards]
	s.Lock()
	defer s.Unlock()
	f(s, s.account(&t.places[place], network, now))
}

// account finds the account of a network in its place. If there is none, and no room, the
// one that is full first makes room: it has the least to remember.
func (s *shard) account(place *[ways]account, network id, now time.Duration) *account {
	victim := &place[0]
	for i := range place {
		a := &place[i]
		if a.id == network {
			return a
		}
		if a.id == (id{}) {
			victim = a
			break // accounts are never closed: there is none behind
		}
		if max(a.full[0], a.full[1]) < max(victim.full[0], victim.full[1]) {
			victim = a
		}
	}
	switch {
	case victim.id == (id{}):
		s.networks++
	case max(victim.full[0], victim.full[1]) > now:
		s.evicted++
	}
	*victim = account{id: network}
	return victim
}
