package beacon

import (
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// Limits bound what one request may hold. Zero is the default of each. A request
// beyond one of them is refused with 413, but for what nests too deeply: only a body of
// a JSON type is refused for that. Another body stays what it is by its type, and an
// item of a batch, or a report, becomes a [Binary], all with a note in [Event.Errors].
// Headers are not refused either: they are cut to 8 KiB each.
type Limits struct {
	MaxDecoded int64 // bytes of a body after decompression; default 4 MiB
	MaxRatio   int   // decompressed to compressed size, beyond 64 KiB; default 100
	MaxQuery   int   // bytes of the URL's query, as it is sent; default 64 KiB
	MaxFields  int   // fields of a form, parts of a multipart body, pairs of a query; default 1,000
	MaxDepth   int   // nesting of a JSON text, at most 9,000; default 512
	MaxEvents  int   // events in one request; default 1,000

	// MaxAge is the most by which [Event.Time] lies before [Event.Received], whatever a
	// client says: nothing is refused for it. Default 30 days, which no browser
	// keeps a report; what waits in the browser client's store may be a day old.
	MaxAge time.Duration
}

// deepest leaves room for what hosts put around a body: encoding/json stops at 10,000.
const deepest = 9000

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxDecoded: orDefault(l.MaxDecoded, 4<<20),
		MaxRatio:   orDefault(l.MaxRatio, 100),
		MaxQuery:   orDefault(l.MaxQuery, 64<<10),
		MaxFields:  orDefault(l.MaxFields, 1000),
		MaxDepth:   min(orDefault(l.MaxDepth, 512), deepest),
		MaxEvents:  orDefault(l.MaxEvents, 1000),
		MaxAge:     orDefault(l.MaxAge, 30*24*time.Hour),
	}
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// bounds are the limits of one request, and whom to ask for the memory that it takes.
type bounds struct {
	Limits
	hold func(bytes int64) error // nil if nobody counts
	free int                     // how much of it may be had without asking
}

// unclaimed is what the events of a request may take without asking: as much as its
// connection costs in any case. Those of most beacons fit.
const unclaimed = 2 << 10

// room asks for n bytes before they are allocated.
func (b *bounds) room(n int) error {
	if b.free -= n; b.free >= 0 || b.hold == nil {
		return nil
	}
	more := -b.free
	b.free = 0
	return b.hold(int64(more))
}

func (b *bounds) inflate() wire.InflateLimits {
	return wire.InflateLimits{Bytes: b.MaxDecoded, Ratio: b.MaxRatio, Hold: b.hold}
}

// maxHeader bounds what a header may contribute to an event. Browsers stay far
// below; a server that leaves MaxHeaderBytes alone reads a megabyte.
const maxHeader = 8 << 10
