package beacon

import "github.com/pagebeacon/beacon/internal/wire"

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
	}
}

func orDefault[T int | int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func (l *Limits) inflate() wire.InflateLimits {
	return wire.InflateLimits{Bytes: l.MaxDecoded, Ratio: l.MaxRatio}
}

// maxHeader bounds what a header may contribute to an event. Browsers stay far
// below; a server that leaves MaxHeaderBytes alone reads a megabyte.
const maxHeader = 8 << 10
