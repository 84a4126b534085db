package sessions

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/clientip"
)

// DailyOptions say how a [Daily] makes keys. The zero value is the default.
type DailyOptions struct {
	// Secret is what the keys of all days are made with, 16 random bytes or more that
	// are used for nothing else. All servers with one secret give a visitor the same
	// key, also after a restart. But who ever has it, and guesses an address, can tell
	// for all days which key it had.
	//
	// By default there is a random secret for each day, which is never stored, and
	// forgotten with the first event after the day that follows: from then on nobody can
	// tell. The price is that each server has keys of its own, and that a restart ends
	// all visits.
	Secret []byte

	// Rules are those of the sessions. The Gap is for how long a visitor who was heard
	// before midnight may be away and keep the key, and the Max for how long after
	// midnight it is kept at most; never beyond the next one.
	Rules Rules

	// MaxVisitors is how many visitors are remembered over a midnight, in about 50
	// bytes each; default 100,000. Those beyond it have a new key then.
	MaxVisitors int

	// DropAddress lets [Daily.Enrich] take the address out of all events: what nobody
	// stores nobody has to protect.
	DropAddress bool

	// Logger is told, once, if visitors cannot be told apart; default [slog.Default].
	Logger *slog.Logger
}

// Daily tells visitors apart without storing anything on their devices, for a day: the
// key of a visitor is a keyed hash (HMAC-SHA-256) of the client's network, the user agent
// and the host. A network is that of a single customer: an IPv4 address, or the /64 of
// an IPv6 one. Visitors who have all three in common, as in an office, are one.
//
// Keys change at midnight UTC, except for a visit that goes on: who was heard within the
// [Rules.Gap] before keeps the key until the visit ends. Only one server knows that: a
// visit that comes to another one then is two.
//
// It needs the client's address: set [beacon.Config.ClientIP] to [beacon.IPFull], and
// behind a proxy TrustedProxies. Whether the address identifies a person in the eyes of
// the law, and so whether this needs consent, is for the host to find out.
//
// All methods are safe for concurrent use.
type Daily struct {
	o          DailyOptions
	gap, limit int64 // microseconds

	mu   sync.RWMutex
	days map[int64]*day // yesterday, today and tomorrow

	noAddress, tooLate, forgotten atomic.Uint64
	unaddressed, unnamedProxy     sync.Once
}

// DailyStats is what a [Daily] has counted since it was made.
type DailyStats struct {
	// NoAddress is how many events had no address, and so got no key.
	NoAddress uint64

	// TooLate is how many events were received on a day of which the secret is
	// forgotten, and so got no key.
	TooLate uint64

	// Remembered is how many visitors keep their key over a midnight if they come
	// again in time, and Forgotten how many events there were of those for whom there
	// was no room.
	Remembered int
	Forgotten  uint64
}

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// A day has the secret of its keys.
type day struct {
	macs sync.Pool // of *mac

	mu    sync.Mutex
	heard map[digest]int64 // when visitors were last, of those who were there when it ended
}

type digest [16]byte

// A mac is a hash with its key, and room for what goes in and comes out.
type mac struct {
	hash.Hash
	buf []byte
}

// NewDaily returns an error if the secret is too short to be one, the rules are not
// valid, or MaxVisitors is negative.
func NewDaily(o DailyOptions) (*Daily, error) {
	if o.Secret != nil && len(o.Secret) < 16 {
		return nil, fmt.Errorf("sessions: DailyOptions.Secret has %d bytes, and needs 16", len(o.Secret))
	}
	if o.MaxVisitors < 0 {
		return nil, errors.New("sessions: DailyOptions.MaxVisitors is negative")
	}
	if err := o.Rules.Validate(); err != nil {
		return nil, err
	}
	o.Secret, o.MaxVisitors = slices.Clone(o.Secret), cmp.Or(o.MaxVisitors, 100_000)
	d := &Daily{o: o, days: map[int64]*day{}}
	d.gap, d.limit = o.Rules.micros()
	return d, nil
}

// Enrich gives an event that has no Session the key of its visitor, as
// [beacon.Config.Enrich]: it is a part of the event then, and stays the same however
// late it is stored. It never returns an error.
func (d *Daily) Enrich(r *http.Request, e *beacon.Event) error {
	if e.Session == "" {
		e.Session = d.Key(*e)
		if a := e.Request.ClientIP; a.IsValid() && clientip.Private(a) && !clientip.OnThisMachine(r) {
			d.unnamedProxy.Do(func() {
				d.logger().Warn("sessions: visitors come from an address that all of them could be behind, and cannot be told apart; " +
					"name the reverse proxy in TrustedProxies and let it send X-Forwarded-For")
			})
		}
	}
	if d.o.DropAddress {
		e.Request.ClientIP = netip.Addr{}
	}
	return nil
}

// Key returns the Session of an event, or else the key of its visitor, as [Source.Key].
// It is "" if the event has no address, or was received on a day of which the secret is
// forgotten. Where events can be seen again after a restart, Enrich is better.
func (d *Daily) Key(e beacon.Event) string {
	if e.Session != "" {
		return e.Session
	}
	if !e.Request.ClientIP.IsValid() {
		d.noAddress.Add(1)
		d.unaddressed.Do(func() {
			d.logger().Warn("sessions: events have no address, and visitors cannot be told apart; set Config.ClientIP to beacon.IPFull")
		})
		return ""
	}
	now := time.Now()
	at := cmp.Or(e.Received, e.Time, now).UnixMicro()
	number := at / dayMicros
	today, yesterday := d.on(number, now.UnixMicro()/dayMicros)
	if today == nil {
		d.tooLate.Add(1)
		return ""
	}
	since := at - number*dayMicros
	if yesterday != nil && since <= d.limit {
		if k := yesterday.key(&e); yesterday.goesOn(k, at, d.gap) {
			return k.String()
		}
	}
	k := today.key(&e)
	if dayMicros-since <= d.gap && !today.hear(k, at, d.o.MaxVisitors) {
		d.forgotten.Add(1)
	}
	return k.String()
}

// Stats returns what was counted until now.
func (d *Daily) Stats() DailyStats {
	s := DailyStats{NoAddress: d.noAddress.Load(), TooLate: d.tooLate.Load(), Forgotten: d.forgotten.Load()}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, x := range d.days {
		x.mu.Lock()
		s.Remembered += len(x.heard)
		x.mu.Unlock()
	}
	return s
}

func (d *Daily) logger() *slog.Logger { return cmp.Or(d.o.Logger, slog.Default()) }

// on returns a day and the one before it, or nil where there is none. With the first
// event of a day, those that are not next to the current one end, and their secrets.
func (d *Daily) on(number, current int64) (today, yesterday *day) {
	d.mu.RLock()
	today, yesterday = d.days[number], d.days[number-1]
	d.mu.RUnlock()
	if today != nil {
		return today, yesterday
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.days {
		if near := n-current <= 1 && current-n <= 1; !near {
			delete(d.days, n)
		}
	}
	near := number-current <= 1 && current-number <= 1
	if today = d.days[number]; today == nil && (near || d.o.Secret != nil) {
		today = d.newDay(number)
		if near {
			d.days[number] = today
		}
	}
	return today, d.days[number-1]
}

func (d *Daily) newDay(number int64) *day {
	key := make([]byte, sha256.Size)
	if d.o.Secret == nil {
		_, _ = rand.Read(key) // it cannot fail
	} else {
		m := hmac.New(sha256.New, d.o.Secret)
		m.Write(binary.BigEndian.AppendUint64([]byte("beacon: visitors of day "), uint64(number)))
		key = m.Sum(key[:0])
	}
	x := &day{heard: map[digest]int64{}}
	x.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, key)} }
	return x
}

// key is that of the visitor who sent an event.
func (x *day) key(e *beacon.Event) (k digest) {
	network := clientip.Key(e.Request.ClientIP).Addr().As16()
	host := strings.ToLower(e.Request.Host)
	m := x.macs.Get().(*mac)
	m.Reset()
	m.buf = append(m.buf[:0], network[:]...)
	m.buf = binary.AppendUvarint(m.buf, uint64(len(host)))
	m.buf = append(append(m.buf, host...), e.Request.UserAgent...)
	_, _ = m.Write(m.buf)
	m.buf = m.Sum(m.buf[:0])
	copy(k[:], m.buf)
	x.macs.Put(m)
	return k
}

// String returns the key as text of 22 characters.
func (k digest) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// hear remembers a visitor, if there is room.
func (x *day) hear(k digest, at int64, most int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	last, ok := x.heard[k]
	if !ok && len(x.heard) >= most {
		return false
	}
	x.heard[k] = max(last, at)
	return true
}

// goesOn tells whether a visitor was there when the day ended, and is still there.
func (x *day) goesOn(k digest, at, gap int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	last, ok := x.heard[k]
	if !ok || at-last > gap {
		return false
	}
	x.heard[k] = max(last, at)
	return true
}
