// Package beacon receives what browsers send when a page reports something
// without waiting for an answer, and hands it to the host application as typed
// events.
//
// # What is received
//
//   - navigator.sendBeacon with every body type it accepts (W3C Beacon)
//   - fetch with keepalive, fetchLater, and XMLHttpRequest (WHATWG Fetch)
//   - <form> submissions in all three encodings (HTML, RFC 7578)
//   - <img> pixels, that is GET and HEAD with a query (WHATWG URL)
//   - <a ping> hyperlink auditing (HTML)
//   - Reporting API batches and legacy CSP reports (W3C Reporting, CSP 3)
//   - newline-delimited JSON
//   - the gzip and deflate form of all of these, declared or not
//
// # Use
//
// A host writes a [Sink], usually with [On] or [SinkFunc], makes a [Handler]
// with [New], and mounts it, or wraps its whole mux with [Handler.Middleware].
//
//	h, err := beacon.New(beacon.Config{
//		Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
//			return store.Save(ctx, events)
//		}),
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("/log-tracking", h) // no method: the mux would answer preflights itself
//
// Between the handler and a store that may be slow or away belongs package spool,
// which makes a 204 mean that the events are on stable storage. Package sink has
// what else may stand in front of a store: batches, retries, and more.
//
// # Guarantees
//
//   - A beacon is answered 204 (or as [Config.Answer] has it) only if the Sink took
//     the events, or the host itself chose to drop them (see [ErrDrop]). The one
//     other 204 is that of a preflight, which carries none.
//   - The Sink's context survives the browser hanging up, which it does as soon
//     as the body is out.
//   - A body decodes to what the page handed over, byte for byte and in order.
//     A field that does not fit, or an item of a batch that is malformed or nests too
//     deeply, is reported beside the event ([Event.Errors]) and never costs its
//     neighbours.
//   - A request that is refused is counted under a reason ([Handler.Stats]),
//     answered with it, and offered to [Config.OnRefused] with its raw body.
//   - Everything is bounded: bytes, decompressed bytes, the query, fields, JSON
//     depth, events, bodies in flight, time.
//
// # Stability
//
// Use keyed literals for the structs here; fields may be added. The text of
// errors and of log records may change; reasons, status codes and the JSON form
// of [Event] may not.
package beacon

import (
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"time"
)

// An Event is one beacon, or one of several that a single request carried.
//
// The zero value of a field means that the browser did not say; only ID,
// Received, Time, Body and Request.ID are always set by a [Handler]. An Event is a
// plain value of about 500 bytes: Body, Query, Attrs and Errors are shared between
// copies, and events of one request share their Query.
//
// The strings and bytes of an event share memory with each other and with the request
// that they came in, so all of it lives as long as any of them: see [Event.Size]. To
// keep a part of an event for long, or to change what it points to, use [Event.Clone]
// or strings.Clone. What [Event.Bind] fills in is a copy already, but for files.
type Event struct {
	// ID is the idempotency key: the client's if it sent one, as the script of
	// package client does and the header Idempotency-Key can, else [Request.ID], with
	// ".0", ".1" and so on behind it in a batch. Browsers repeat a request whose
	// connection broke, and such a twin has a new ID unless the client chose it.
	ID string

	// Name is the client's name for the event, the type of a report
	// ("csp-violation"), "ping", or empty.
	Name string

	// Time is when it happened, on the server's clock, as well as can be known:
	// Received less the age that a report or the client gives, which counts up to
	// [Limits.MaxAge], else Received.
	Time time.Time

	// Received is when the handler took the request, in UTC.
	Received time.Time

	// Sent is when the client sent it, on the client's clock: Received less Sent
	// is how far that is off, and the way it took. Zero if the client did not
	// say, or could not know, as for a request that the browser held back.
	Sent time.Time

	// Body is what was sent. It is never nil.
	Body Body

	// Query is the URL's query, decoded like a form body, in order, without the token
	// of [Config.TokenKeys].
	Query Form

	// Page is the page it came from, as the browser worded it: the Referer
	// header, a report's URL, or a ping's origin page. Referrer policies cut it
	// to the origin or leave it out; it is unverified client text and not
	// always parsable as a URL. An envelope of the browser client gives it itself, by
	// default without the query, or keeps it to itself.
	Page string

	// Session and View are ids that the client gave; View is one page view.
	Session, View string

	// Series is the client's name for a series of events, and Seq the position in
	// it, from 1; empty and 0 without one. View, Series and Seq identify an event:
	// one that comes again has the same, and the same ID. An event of a series that
	// could not be read has no Seq, and a note; so has one beyond 1,000,000, which
	// no page gets to, and which would be the last word of its series for good. Mode is
	// what the series means.
	Series string
	Seq    uint64
	Mode   Mode

	// Request says how it came.
	Request Request

	// Privacy holds the privacy preferences sent along.
	Privacy Privacy

	// Verified says that the request had a token which the host put into one of its
	// pages, see [Config.TokenKeys]. [Config.Enrich] may set it as well, for an event
	// that the host knows to come from one of them.
	Verified bool

	// Attrs is the host's: set it in [Config.Enrich].
	Attrs map[string]string

	// Errors lists what in this event did not fit, without costing the event:
	// the reason why a body is not what its type promised, or, inside [On],
	// the fields that could not be bound.
	Errors []FieldError
}

// Mode is how the events of a series add up, in whatever order they arrive.
type Mode string

const (
	ModeNone    Mode = ""        // no series
	ModeAppend  Mode = "append"  // each adds to the others
	ModeReplace Mode = "replace" // the one with the largest Seq stands for all
)

// A Request is what the HTTP request said about itself. All of it is
// unverified client text, except ID, TLS and, behind [Config.TrustedProxies],
// ClientIP. Cookies and Authorization are never copied.
type Request struct {
	// ID is random, and the same for all events of one request: what a batch says
	// in one of its items about all others can be found again.
	ID string

	Method      string // as received; methods are case-sensitive
	Host        string
	Path        string // decoded URL path
	ContentType string // header as received; empty if absent
	Encoding    string // content coding: "gzip" or "deflate" when it was undone here, else what was left in place
	Origin      string // may be the literal "null"
	UserAgent   string

	// Sec-Fetch-Site, -Mode, -Dest: empty over plain http from other hosts
	// than localhost, from Reporting API uploads, and from old browsers.
	FetchSite, FetchMode, FetchDest string

	Purpose  string     // Sec-Purpose, or the older Purpose and X-Moz: "prefetch", "prefetch;prerender"
	ClientIP netip.Addr // zero unless [Config.ClientIP] asks for it
	TLS      bool       // the connection to this server used TLS
}

// Privacy is what the visitor's browser asks of sites. The handler only
// reports it: a host that honours it returns [ErrDrop] from [Config.Enrich].
type Privacy struct {
	GPC bool // Sec-GPC: 1 (Global Privacy Control)
	DNT bool // DNT: 1 (Do Not Track, no longer standardised)
}

// Body is what a beacon carried, one of [Empty], [Text], [JSON], [Form],
// [Binary], [Ping] and [Report]. The set is closed: switch on the concrete type.
type Body interface {
	// Kind is the variant's name in the JSON form of an [Event]: "empty", "text",
	// "json", "form", "binary", "ping" or "report".
	Kind() string

	body()
}

// Empty is a beacon without data, such as navigator.sendBeacon(url),
// navigator.sendBeacon(url, "") and an image request.
type Empty struct{}

// Text is a text/* body, byte for byte. Browsers send UTF-8, but a Blob may
// hold any charset, so it need not be valid UTF-8.
type Text string

// JSON is a valid JSON text, byte for byte: a body with a JSON type, an item of a
// batch, or a body of text/plain, application/x-www-form-urlencoded,
// application/octet-stream, a compression's type or no type that is a JSON object or
// array. Pages send JSON as text to spare themselves the CORS preflight. It marshals as
// the JSON that it is, and prints as text.
type JSON json.RawMessage

// String returns the JSON text.
func (j JSON) String() string { return string(j) }

// MarshalJSON returns the JSON text itself, and null for an empty one.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j) == 0 {
		return []byte("null"), nil
	}
	return j, nil
}

// UnmarshalJSON sets j to a copy of b.
func (j *JSON) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(j).UnmarshalJSON(b) }

// Form is an entry list (XHR §4.3): the names and values of FormData,
// URLSearchParams, a <form> or a query. Order and duplicates are kept.
type Form []Field

// Binary is a body of any other type, or of none (ArrayBuffer, typed arrays,
// untyped Blob). Type is the Content-Type as received, unparsable ones
// included; it is empty if there was none, or only that of a compression which was
// undone.
type Binary struct {
	Type string
	Data []byte
}

// Ping is a hyperlink auditing request (<a ping>). From is the page with the
// link, with its fragment; browsers leave it out when an https page pings
// another origin.
type Ping struct{ From, To string }

// Report is one report of the Reporting API. A legacy CSP report
// (application/csp-report) is brought into the same form: type "csp-violation"
// and the Reporting API's names in Body.
type Report struct {
	Type      string
	URL       string        // the document that the report is about
	UserAgent string        // as the report says, which may differ from the request
	Age       time.Duration // from the incident to the upload; see [Event.Time]
	Body      json.RawMessage
}

// Kind returns "empty".
func (Empty) Kind() string { return "empty" }

// Kind returns "text".
func (Text) Kind() string { return "text" }

// Kind returns "json".
func (JSON) Kind() string { return "json" }

// Kind returns "form".
func (Form) Kind() string { return "form" }

// Kind returns "binary".
func (Binary) Kind() string { return "binary" }

// Kind returns "ping".
func (Ping) Kind() string { return "ping" }

// Kind returns "report".
func (Report) Kind() string { return "report" }

func (Empty) body()  {}
func (Text) body()   {}
func (JSON) body()   {}
func (Form) body()   {}
func (Binary) body() {}
func (Ping) body()   {}
func (Report) body() {}

// A Field is one entry of a [Form]. If File is set the entry is a file and
// Value is empty.
type Field struct {
	Name, Value string
	File        *File
}

// A File is a file entry. Name is the name as the page gave it, path and all:
// never use it as a path. An empty file, or one with an empty name, is a file.
type File struct {
	Name string
	Type string
	Data []byte
}

// Get returns the value of the first field of that name that is not a file,
// or "".
func (f Form) Get(name string) string {
	for i := range f {
		if f[i].Name == name && f[i].File == nil {
			return f[i].Value
		}
	}
	return ""
}

// Values returns the values of all fields of that name that are not files, in
// order.
func (f Form) Values(name string) []string {
	var vs []string
	for i := range f {
		if f[i].Name == name && f[i].File == nil {
			vs = append(vs, f[i].Value)
		}
	}
	return vs
}

// File returns the first file of that name, or nil.
func (f Form) File(name string) *File {
	i := slices.IndexFunc(f, func(x Field) bool { return x.Name == name && x.File != nil })
	if i < 0 {
		return nil
	}
	return f[i].File
}

// A Sink takes events. It is the one interface that a host implements.
//
// Consume is called on the goroutine of the request, concurrently for
// concurrent requests, and before the answer is written: time spent in it is
// back-pressure, not latency for the user.
//
// The Sink owns the slice: it may keep it and change the events in it, and
// nothing is pooled or reused. What the events point to (bodies, queries, files)
// may be shared, and must not be changed in place.
//
// The context carries the request's values but not its cancellation: the page
// is closing, and the browser hangs up as soon as the body is out. It ends after
// [Config.SinkTimeout], and when Consume returns. A Sink that delivers later, such as
// a spool, or for several requests at once gives the one behind it a context without
// those values: what is needed there belongs in [Event.Attrs].
//
// A nil error means that the Sink takes responsibility for every event, and is
// answered 204. An error that wraps [ErrPermanent] will never succeed and is
// answered 422. A [*RetryAfterError] is answered 503 with its delay, and any
// other error 503 with a default one. Browsers do not repeat beacons, so an
// error usually means that the events are lost unless [Config.OnRefused] keeps
// them.
//
// Capabilities beyond this are optional interfaces: [Flusher], [Closer] (or
// [io.Closer]) and [HealthChecker]. A Sink that hands events on to another either
// passes these calls on, with [Flush], [Close] and [Healthy], or has a method
// Unwrap() Sink that returns the other one. An error that is true for some of the
// events only is a [*PartialError].
type Sink interface {
	Consume(ctx context.Context, events []Event) error
}

// SinkFunc is a function used as a [Sink].
type SinkFunc func(ctx context.Context, events []Event) error

// Consume calls f.
func (f SinkFunc) Consume(ctx context.Context, events []Event) error { return f(ctx, events) }

var _ Sink = SinkFunc(nil)

// A Flusher is a [Sink] that holds events back. Flush returns nil once every event
// taken before the call has left it, for a Sink behind it or for its store, and
// an error if that failed or ctx ended first. It may be called at any time.
type Flusher interface {
	Flush(ctx context.Context) error
}

// A Closer is a [Sink] with something to end. Close flushes it, for as long as
// ctx lasts, ends it, and then closes the Sink behind it, if there is one: closing
// the outermost of a chain closes all, in the right order. From then on Consume
// fails with a temporary error. A second Close does nothing.
//
// An error says that something is lost or could not be ended. What is kept in a
// durable place for the next start is not lost.
type Closer interface {
	Close(ctx context.Context) error
}

// A HealthChecker is a [Sink] that knows whether it can take events now. Healthy
// returns nil, or why not. It should be quick: probes ask every few seconds. See
// [Handler.Ready].
type HealthChecker interface {
	Healthy(ctx context.Context) error
}

// Flush flushes s if it is a [Flusher], or else the first Sink behind it that is,
// as Unwrap() Sink leads there. It is nil if there is none.
func Flush(ctx context.Context, s Sink) error {
	if f, ok := capability[Flusher](s); ok {
		return f.Flush(ctx)
	}
	return nil
}

// Close closes s if it is a [Closer] or an [io.Closer], or else the first Sink
// behind it that is, as Unwrap() Sink leads there. It is nil if there is none. A
// [Closer] is told of ctx; an io.Closer takes the time that it takes.
func Close(ctx context.Context, s Sink) error {
	for ; s != nil; s = unwrap(s) {
		switch c := s.(type) {
		case Closer:
			return c.Close(ctx)
		case io.Closer:
			return c.Close()
		}
	}
	return nil
}

// Healthy asks s whether it can take events if it is a [HealthChecker], or else the
// first Sink behind it that is, as Unwrap() Sink leads there. It is nil if there is
// none: a Sink that cannot tell can.
func Healthy(ctx context.Context, s Sink) error {
	if h, ok := capability[HealthChecker](s); ok {
		return h.Healthy(ctx)
	}
	return nil
}

// capability finds the first Sink of a chain that is a T too.
func capability[T any](s Sink) (t T, ok bool) {
	for ; s != nil; s = unwrap(s) {
		if t, ok = s.(T); ok {
			return t, true
		}
	}
	return t, false
}

func unwrap(s Sink) Sink {
	if u, ok := s.(interface{ Unwrap() Sink }); ok {
		return u.Unwrap()
	}
	return nil
}
