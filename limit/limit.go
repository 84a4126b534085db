// Package limit keeps any one network from sending more than its share of beacons.
//
//	limiter, err := limit.New(limit.Options{})
//	…
//	h, err := beacon.New(limiter.Guard(beacon.Config{Sink: store}))
//
// Each network has two token buckets, one of events and one of bytes. A request is
// asked about before its body is read, and passes while both have anything left. What it
// turns out to carry is charged when it has been decoded, so a large batch can leave a
// debt: its network waits until that is paid off. What is refused costs nothing, and is
// answered 429 with Retry-After and the reason [beacon.ReasonLimited]; its body is not
// read, not even for [beacon.Config.OnRefused].
//
// # What a network is
//
// An IPv4 address, or a /64 of IPv6. All /64 of one /48 together have 16 times the limit
// of one, since a single customer can have a whole /48. An IPv6 address that stands for
// an IPv4 one (6to4, Teredo, NAT64) counts as that. Addresses come from the connection and,
// behind [beacon.Config.TrustedProxies], from X-Forwarded-For.
//
// The peer is nobody's network if it is on this machine or a private network and is no
// trusted proxy, or is one that does not name its client: then all clients could be
// behind it. Its requests pass, are counted ([Stats.Unkeyed]), and the Logger of the
// Config is told once.
//
// # Who shares a network
//
// A household, an office, or thousands of customers of a mobile carrier: one limit for
// all of them. Try it with [Options.DryRun] before it refuses anything, and look at
// [Limiter.Top]: an office has many user agents and is limited for a minute at a time; a
// flood has one, or as many as there are requests, and is limited around the clock.
//
// # What it cannot do
//
// It bounds what one network does, not what all do together: against a flood from very
// many networks it is [beacon.Config.MaxInFlight] and the store's own limits that hold.
// It remembers as many networks as [Options.Networks] says. When those are more, the ones
// whose buckets are fullest are forgotten first, so one in debt stays limited unless
// there are that many in deeper debt; which ones share a place in memory cannot be
// guessed from outside. A network that was forgotten starts with full buckets.
//
// It counts in this process alone: behind a load balancer each instance has limits of its
// own.
package limit

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/clientip"
)

// Options say how much is too much. Zero is the default of each.
type Options struct {
	// Events is how many events a network may send in a second, in the long run;
	// default 100. A request counts as one besides the events that it carries, so this
	// is 50 beacons of one event: some hundred people behind one address who each open a
	// page every ten seconds. For no limit, give a number that nobody reaches.
	Events int

	// EventBurst is how many events a network may send at once when it has been quiet
	// for long; default those of a minute.
	EventBurst int

	// Bytes is how many bytes a network may send in a second, in the long run; default
	// 256 KiB. Both the body as it is sent and what its events take in memory
	// ([beacon.Event.Size]) count, which is about 1.5 KiB for a small beacon. A body of
	// unknown length counts as 16 KiB.
	Bytes int

	// ByteBurst is how many bytes a network may send at once when it has been quiet for
	// long; default those of a minute.
	ByteBurst int

	// Networks is how many networks are remembered, rounded up to a power of two;
	// default 65,536, which take 3 MiB. An IPv6 client takes two places.
	Networks int

	// DryRun lets everything pass and only counts what would have been limited. In it a
	// network's debt does not grow beyond its burst, since it pays for requests that
	// would have been refused.
	DryRun bool
}

// A Limiter knows how much each network has sent. It is made by [New], holds a fixed
// amount of memory, starts no goroutine, and is safe for concurrent use. Several handlers
// may share one.
type Limiter struct {
	table   table
	events  rate
	bytes   rate
	dryRun  bool
	unkeyed atomic.Uint64
	told    atomic.Bool // that there are requests of no network
}

// New returns a Limiter, or all mistakes in o at once.
func New(o Options) (*Limiter, error) {
	var errs []error
	for _, n := range []struct {
		name        string
		value, most int
	}{
		{"Events", o.Events, math.MaxInt}, {"EventBurst", o.EventBurst, math.MaxInt},
		{"Bytes", o.Bytes, math.MaxInt}, {"ByteBurst", o.ByteBurst, math.MaxInt}, {"Networks", o.Networks, maxNetworks},
	} {
		if n.value < 0 || n.value > n.most {
			errs = append(errs, fmt.Errorf("%s is %d, and can be from 0 to %d", n.name, n.value, n.most))
		}
	}
	l := &Limiter{dryRun: o.DryRun}
	l.events = newRate(cmp.Or(o.Events, 100), o.EventBurst)
	l.bytes = newRate(cmp.Or(o.Bytes, 256<<10), o.ByteBurst)
	for _, r := range []struct {
		name string
		rate rate
	}{{"EventBurst", l.events}, {"ByteBurst", l.bytes}} {
		if r.rate.burst > maxBurst {
			errs = append(errs, fmt.Errorf("%s is more than comes back in %v", r.name, maxBurst))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("limit: invalid options: %w", errors.Join(errs...))
	}
	debt := maxDebt
	if o.DryRun {
		debt = 0
	}
	l.table.init(cmp.Or(o.Networks, 1<<16), [...]bound{l.events.bound(debt), l.bytes.bound(debt)})
	return l, nil
}

// Guard returns c with the limiter in it: in Admit, before that of c, and in Enrich, the
// same. It goes by the TrustedProxies of c. A Config is guarded once; guarded twice, its
// events count twice.
func (l *Limiter) Guard(c beacon.Config) beacon.Config {
	g := &guard{
		Limiter: l, trusted: slices.Clone(c.TrustedProxies), maxBody: cmp.Or(c.MaxBody, 1<<20), logger: c.Logger,
		nextAdmit: c.Admit, nextEnrich: c.Enrich,
	}
	c.Admit, c.Enrich = g.admit, g.enrich
	return c
}

// A guard is a Limiter in one Config.
type guard struct {
	*Limiter
	trusted    []netip.Prefix
	maxBody    int64
	logger     *slog.Logger // or nil
	nextAdmit  func(*http.Request) error
	nextEnrich func(*http.Request, *beacon.Event) error
}

// unknownLength is what a body costs that does not say how long it is. Browsers say it.
const unknownLength = 16 << 10

func (g *guard) admit(r *http.Request) error {
	if err := g.take(r); err != nil {
		return err
	}
	if g.nextAdmit != nil {
		return g.nextAdmit(r)
	}
	return nil
}

// take charges the request for itself and its body, or says why it cannot pass.
func (g *guard) take(r *http.Request) error {
	network, ok := clientip.Client(r, g.trusted)
	if !ok {
		g.unkeyed.Add(1)
		g.tell(r)
		return nil
	}
	length := r.ContentLength
	if length < 0 {
		length = unknownLength
	}
	length = min(length, g.maxBody) // more is refused without being read
	wait, why := g.table.take(network, g.cost(1, length), r)
	if why == nil || g.dryRun {
		return nil
	}
	return &beacon.RequestError{Status: http.StatusTooManyRequests, Reason: beacon.ReasonLimited, RetryAfter: wait, Err: why}
}

// enrich charges for an event. The request has paid for itself, but not for what is in
// it, which nobody could know.
func (g *guard) enrich(r *http.Request, e *beacon.Event) error {
	if network, ok := clientip.Client(r, g.trusted); ok {
		g.table.charge(network, g.cost(1, int64(e.Size())))
	}
	if g.nextEnrich != nil {
		return g.nextEnrich(r, e)
	}
	return nil
}

// tell says once that requests pass unlimited: it may be that a proxy was not named. A
// visitor on the same machine, as during development, is no reason to.
func (g *guard) tell(r *http.Request) {
	if clientip.OnThisMachine(r) {
		return
	}
	if g.logger == nil || g.told.Load() || g.told.Swap(true) {
		return
	}
	peer := r.RemoteAddr // which a middleware may have set to what a client said
	g.logger.Warn("limit: not limited: requests of no network of their own; is the proxy in TrustedProxies, and does it send X-Forwarded-For?",
		slog.String("peer", strconv.Quote(peer[:min(len(peer), 64)])))
}

func (l *Limiter) cost(events, bytes int64) cost {
	return cost{l.events.time(events), l.bytes.time(bytes)}
}
