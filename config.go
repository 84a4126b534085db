package beacon

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/internal/origin"
	"github.com/pagebeacon/beacon/internal/pagetoken"
	"github.com/pagebeacon/beacon/internal/wire"
)

// Config says what a [Handler] does. Only Sink is required; the zero value of
// any other field is its default. [New] copies it, so changing it later has no
// effect.
type Config struct {
	// Sink takes the events.
	Sink Sink

	// Path is where [Handler.Middleware] listens, exactly, and where
	// [Handler.ScriptTag] sends beacons; default "/_pb". A Handler mounted on a mux
	// does not look at it.
	Path string

	// ScriptPath is where [Handler.Middleware] serves the browser client (package
	// client), exactly, and its other files beside it: of "/assets/own.js", these are
	// "/assets/own.mjs", "/assets/own.light.js" and so on, as "/_pb.js" has "/_pb.mjs",
	// and each with the hash of its content before the last dot, as in
	// [Handler.ScriptURL]. Default "/_pb.js".
	ScriptPath string

	// NoScript is for a host that serves the client elsewhere, or none.
	NoScript bool

	// Origins are allowed besides the host's own: "https://example.com", or
	// "https://*.example.com" for its subdomains at any depth (not itself). Scheme,
	// which is http or https, and port must match. New refuses patterns that no
	// browser's origin can match, and wildcards over a public suffix such as
	// "https://*.co.uk".
	//
	// A request is the host's own if its Sec-Fetch-Site says so or, from
	// browsers that do not send that, if Origin and Host agree: a proxy must pass
	// Host on. An image, or what else a page loads without an Origin, is held to the
	// list by its Referer if Sec-Fetch-Site says that the page is another's; one of a
	// page that sends no referrer is refused, as its posts are, whose origin is "null".
	//
	// What is left without Origin is accepted, since nothing tells it apart from any
	// other client: links that are followed, frames, servers, and images over plain
	// http and in browsers before 2023, which have no Sec-Fetch-Site. This keeps other
	// sites' scripts and images out, not other programs: see TokenKeys. CSP reports,
	// which browsers send by themselves and in part with the origin "null", are
	// accepted from everywhere.
	Origins []string

	// AnyOrigin allows every origin but "null", that of sandboxed and some
	// no-referrer pages, and every image. Under [Handler.Capture], whose route is the host's own, that
	// goes for what a page can send without a preflight, and only pages of Origins can
	// read the answer; a preflight of any other is refused.
	AnyOrigin bool

	// Hosts are the names that the host answers to: "example.com", "*.example.com" for
	// its subdomains at any depth (not itself), an address as in "127.0.0.1" or
	// "[::1]", each with a port behind it or for all ports. A request whose Host is
	// none of them is refused, preflights too. Empty, it is any name.
	//
	// It is for a server that can be reached without TLS, on a loopback address or in
	// an intranet above all: another site's owner can let the site's name point to that
	// address (DNS rebinding), and to the visitor's browser its pages are the host's
	// own. Behind a proxy that changes Host, it is the proxy's Host that counts.
	Hosts []string

	// TokenKeys are the keys of page tokens, of 16 bytes or more: the first makes them,
	// and all are good for those that come back. [Handler.ScriptTag] puts a token into
	// the page, and the browser client sends it along; the events of a request with a
	// valid one are [Event.Verified]. See [Handler.Token] for pages without the client.
	// To change a key, put the new one in front on all servers, and leave the old one
	// out two days later. Bytes that are random, from a secret store, and used for
	// nothing else are a good key. Without any there are no tokens.
	//
	// A token tells that somebody had loaded a page of the host's in the last 48 hours,
	// by the clock of the server that wrote it, and no more: who loads a page has one,
	// and can use it for whatever is sent within that time. It stops those who do not
	// look at the site, and dates the others. It is bound to no visitor, so pages may
	// be cached, for less than a day.
	TokenKeys [][]byte

	// RequireToken refuses what has no valid token, on a route of [Handler.Capture] too,
	// though not preflights. That goes for reports that browsers send by themselves, for
	// pages that were open for two days, and for those of a cache.
	RequireToken bool

	// Methods are accepted besides GET, HEAD and POST, for pages that use
	// fetch or fetchLater with "PUT", for instance. They are case-sensitive, as
	// browsers send them: "PUT", but "patch" if the page wrote that.
	Methods []string

	// Admit, if set, is asked before the body of a request is read, and not for
	// preflights: to limit rates, as package limit does. Its error is that of a Sink, and
	// [ErrDrop] drops the request. It must not read the body. Concurrency is as for
	// Sink.
	Admit func(r *http.Request) error

	// Type, if set, says what a body really is where its Content-Type does not, as
	// that of JSON lines sent as text/plain; "" leaves it. [Request] has the header as
	// it was received all the same. Concurrency is as for Sink.
	Type func(r *http.Request) string

	// Answer, if set, answers requests that were taken, or dropped on purpose: some
	// clients send a beacon again until they get a 200, or a JSON object. By default
	// that is 204, or 200 and a transparent image for an <img>. The envelopes of the
	// browser client are always answered 204. CORS headers are set already. Concurrency
	// is as for Sink.
	Answer func(w http.ResponseWriter, r *http.Request)

	// MaxBody is the size in bytes of a body as sent; default 1 MiB.
	MaxBody int64

	// Limits bound what a body may hold.
	Limits Limits

	// MaxInFlight bounds the memory of all requests until they are answered, in bytes:
	// their headers, their bodies, compressed and not, and the events that are made of them
	// ([Event.Size]), each reserved before it is allocated, but for headers. Default 64
	// MiB, or more if one request can need it. Up to 2 KiB of events, and 4 KiB of headers,
	// are as much as a connection costs anyway and not counted. While a body outgrows its buffer
	// there may be twice as much of it for a moment.
	//
	// A request that finds no room waits for up to a second and is then answered 429.
	// One, or all that come from one network (an IPv4 address, or an IPv6 /48), may
	// hold an eighth, or four bodies and what is made of one if that is more; a request
	// that needs more by itself is refused with 413. Requests of a private
	// or loopback address that is not in TrustedProxies, behind which all clients could
	// be, share the whole; the Logger is told, once. A sixteenth is kept for
	// small bodies, of up to 8 KiB.
	//
	// The process as a whole stays below what it takes when idle, 22 KB for each
	// connection, and twice the sum of MaxInFlight and the queues of its sinks, such as
	// spool.Options.MemoryBytes. The garbage collector is why it is twice. Headers that are
	// still being read are beyond a handler, and a megabyte of short ones takes 13: set
	// http.Server.MaxHeaderBytes, as to 16 KiB. So is what an HTTP/2 connection has received
	// and nobody has read yet, up to a megabyte: see HTTP2Config.MaxReceiveBufferPerConnection.
	MaxInFlight int64

	// MaxRequests bounds the requests in progress; default 10,000. One that exceeds it
	// waits and is answered as with MaxInFlight, and one network may have an eighth.
	MaxRequests int

	// ReadTimeout bounds the reading of one body, give or take an eighth; default 10
	// s. A body that brings less than 16 bytes a second over half of that, if it is a
	// second or more, ends then. While others wait for room, so does one that brings
	// less than 1 KiB a second, or too little to be complete in time, from its first
	// second on. A body that is not net/http's own may take longer.
	//
	// Slow headers are beyond a handler's reach: set http.Server.ReadHeaderTimeout. Behind
	// a middleware whose ResponseWriter has neither SetReadDeadline nor Unwrap, such as
	// http.TimeoutHandler, a body that stalls cannot be ended; the Logger is told, and what
	// comes through too late is refused.
	ReadTimeout time.Duration

	// SinkTimeout is after which the Sink's context ends; default 10 s. The answer
	// waits for a Sink that ignores it.
	SinkTimeout time.Duration

	// ClientIP says whether events hold the client's address; by default they
	// do not.
	ClientIP IPPolicy

	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed:
	// the client is the rightmost address in it that is not one of them. Without
	// any, it is the peer of the connection. With any, the peer of a Unix socket,
	// which has no address, is one of them.
	TrustedProxies []netip.Prefix

	// Enrich, if set, is called with each event before the Sink: to say who the
	// user is, in Attrs; to redact; or to drop the event with [ErrDrop]. Any
	// other error fails the whole request as the same error of a Sink would. It
	// must not read the request's body. Concurrency is as for Sink.
	Enrich func(r *http.Request, e *Event) error

	// OnRefused, if set, is called with each request that was not taken, whether
	// refused here or failed by the Sink, before it is answered: the last chance
	// to keep a dead letter. body is what was sent, compressed if it was. It is
	// complete, or nil if it could not be had, unless why is about the body itself:
	// then it is what came, up to MaxBody bytes. It may be kept but not changed,
	// since events may share it.
	// Concurrency is as for Sink.
	OnRefused func(r *http.Request, body []byte, why *RequestError)

	// Logger gets refusals at Warn, at most one a second for each reason, and
	// failures of the Sink at Error, alike. By default nothing is logged.
	Logger *slog.Logger
}

// IPPolicy says how much of a client's address events hold.
type IPPolicy uint8

const (
	IPNone      IPPolicy = iota // nothing
	IPTruncated                 // the network: IPv4 /24, IPv6 /48, and /24 of an IPv4 address in one
	IPFull                      // the address
)

// withDefaults returns a frozen copy of c with its defaults filled in and what of it is
// checked first, or all its mistakes at once.
func (c Config) withDefaults() (Config, cors, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Sink != nil, "Sink is required")
	c.Path = cmp.Or(c.Path, "/_pb")
	check(strings.HasPrefix(c.Path, "/"), "Path %q does not start with a slash", c.Path)
	c.ScriptPath = cmp.Or(c.ScriptPath, "/"+client.Script)
	check(strings.HasPrefix(c.ScriptPath, "/") && strings.HasSuffix(c.ScriptPath, ".js"),
		"ScriptPath %q does not start with a slash and end with .js", c.ScriptPath)
	check(c.ScriptPath != c.Path, "Path and ScriptPath are the same")
	for _, m := range c.Methods {
		switch known := strings.ToUpper(m); known {
		case http.MethodOptions, http.MethodConnect, http.MethodTrace, "TRACK":
			check(false, "method %q cannot carry beacons", m)
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
			check(m == known, "method %q is always sent as %q", m, known) // Fetch §2.2.1
		default:
			check(wire.IsToken(m), "method %q cannot be one", m)
		}
	}
	c.Methods = append([]string{http.MethodGet, http.MethodHead, http.MethodPost}, c.Methods...)
	slices.Sort(c.Methods)
	c.Methods = slices.Compact(c.Methods)

	l := &c.Limits
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"MaxBody", c.MaxBody}, {"MaxInFlight", c.MaxInFlight}, {"MaxRequests", int64(c.MaxRequests)},
		{"ReadTimeout", int64(c.ReadTimeout)}, {"SinkTimeout", int64(c.SinkTimeout)},
		{"MaxDecoded", l.MaxDecoded}, {"MaxRatio", int64(l.MaxRatio)}, {"MaxQuery", int64(l.MaxQuery)},
		{"MaxFields", int64(l.MaxFields)}, {"MaxDepth", int64(l.MaxDepth)}, {"MaxEvents", int64(l.MaxEvents)},
		{"MaxAge", int64(l.MaxAge)},
	} {
		check(n.value >= 0, "%s is negative", n.name)
	}
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 10*time.Second)
	c.SinkTimeout = cmp.Or(c.SinkTimeout, 10*time.Second)
	c.Limits = l.withDefaults()
	const most = 1 << 60 // so that sums do not overflow
	check(c.MaxBody <= most && c.Limits.MaxDecoded <= most, "MaxBody or MaxDecoded is more than there is memory")
	need := min(c.MaxBody, most) + min(c.Limits.MaxDecoded, most)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, max(64<<20, need))
	check(c.MaxInFlight >= need,
		"MaxInFlight %d is less than one request can need, MaxBody and MaxDecoded together", c.MaxInFlight)
	c.MaxRequests = cmp.Or(c.MaxRequests, 10_000)
	check(c.ClientIP <= IPFull, "ClientIP %d is unknown", c.ClientIP)
	for _, p := range c.TrustedProxies {
		check(p.IsValid(), "TrustedProxies holds an invalid prefix")
	}
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	for i, k := range c.TokenKeys {
		check(len(k) >= pagetoken.MinKey, "TokenKeys[%d] has %d bytes, and needs %d", i, len(k), pagetoken.MinKey)
	}
	check(!c.RequireToken || len(c.TokenKeys) > 0, "RequireToken needs TokenKeys")
	origins, err := origin.Parse(c.Origins)
	if err != nil {
		errs = append(errs, err)
	}
	hosts, err := origin.ParseHosts(c.Hosts)
	if err != nil {
		errs = append(errs, err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	allow := strings.Join(c.Methods, ", ") + ", OPTIONS"
	return c, cors{origins: origins, any: c.AnyOrigin, hosts: hosts, methods: c.Methods, allow: allow}, errors.Join(errs...)
}

// making is the most that is made of a body, but for what its events have in common: what
// it inflates to, a copy of each item, and the events.
func (c *Config) making() int64 {
	const event = 2 << 10 // besides its text
	return 2*c.Limits.MaxDecoded + int64(c.Limits.MaxEvents)*event
}

// share is what one request, or one network, may hold of MaxInFlight: an eighth, or a few
// bodies and what is made of one.
func (c *Config) share() int64 {
	return min(c.MaxInFlight, max(c.MaxInFlight/8, 4*c.MaxBody+c.making()))
}
