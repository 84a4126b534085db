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
)

// Config says what a [Handler] does. Only Sink is required; the zero value of
// any other field is its default. [New] copies it, so changing it later has no
// effect.
type Config struct {
	// Sink takes the events.
	Sink Sink

	// Path is where [Handler.Middleware] listens, exactly; default
	// [DefaultPath]. A Handler mounted on a mux ignores it.
	Path string

	// ScriptPath is where [Handler.Middleware] serves the browser client (package
	// client), exactly, and with the hash of its content before the last dot; see
	// [Handler.ScriptURL]. Default [DefaultScriptPath]; "-" for nowhere.
	ScriptPath string

	// Origins are allowed besides the host's own: "https://example.com",
	// "https://*.example.com" for its subdomains at any depth (not itself), or
	// "*" for every origin. Scheme and port must match. "null", the origin of
	// sandboxed and some no-referrer pages, never does.
	//
	// A request is the host's own if its Sec-Fetch-Site says so or, from
	// browsers that do not send that, if Origin and Host agree. Requests without
	// Origin (images, links, most servers) are accepted: nothing tells them
	// apart from those of any other client. This keeps other sites' pages out,
	// not other programs.
	Origins []string

	// Methods are accepted besides GET, HEAD and POST, for pages that use
	// fetch or fetchLater with "PUT", for instance.
	Methods []string

	// MaxBody is the size in bytes of a body as sent; default [DefaultMaxBody].
	MaxBody int64

	// Limits bound what a body may hold.
	Limits Limits

	// MaxInFlight bounds the bytes of all bodies that are in memory at a time,
	// compressed and not; default [DefaultMaxInFlight]. A request that would
	// exceed it waits for up to a second and is then answered 429.
	MaxInFlight int64

	// ReadTimeout bounds the reading of one body, give or take an eighth; default
	// [DefaultReadTimeout]. Slow headers are beyond a handler's reach: set
	// http.Server.ReadHeaderTimeout.
	ReadTimeout time.Duration

	// SinkTimeout is after which the Sink's context ends; default
	// [DefaultSinkTimeout]. The answer waits for a Sink that ignores it.
	SinkTimeout time.Duration

	// ClientIP says whether events hold the client's address; by default they
	// do not.
	ClientIP IPPolicy

	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed:
	// the client is the rightmost address in it that is not one of them. Without
	// any, it is the peer of the connection.
	TrustedProxies []netip.Prefix

	// Enrich, if set, is called with each event before the Sink: to say who the
	// user is, in Attrs; to redact; or to drop the event with [ErrDrop]. Any
	// other error fails the whole request as the same error of a Sink would. It
	// must not read the request's body. Concurrency is as for Sink.
	Enrich func(r *http.Request, e *Event) error

	// OnRefused, if set, is called with each request that was not taken, whether
	// refused here or failed by the Sink, before it is answered: the last chance
	// to keep a dead letter. body is what was sent, compressed if it was, and at
	// most its first MaxBody bytes; it is complete unless why is about the body
	// itself. It may be kept but not changed, since events may share it.
	// Concurrency is as for Sink.
	OnRefused func(r *http.Request, body []byte, why *RequestError)

	// Logger gets refusals at Warn, at most one a second for each reason, and
	// failures of the Sink at Error, alike. By default nothing is logged.
	Logger *slog.Logger
}

// Defaults of [Config].
const (
	DefaultPath        = "/_pb" // says nothing that filter lists look for
	DefaultScriptPath  = "/_pb.js"
	DefaultMaxBody     = 1 << 20
	DefaultMaxInFlight = 64 << 20
	DefaultReadTimeout = 10 * time.Second
	DefaultSinkTimeout = 10 * time.Second
)

// IPPolicy says how much of a client's address events hold.
type IPPolicy uint8

const (
	IPNone      IPPolicy = iota // nothing
	IPTruncated                 // the network: IPv4 /24, IPv6 /48
	IPFull                      // the address
)

// withDefaults returns a frozen copy of c with its defaults filled in, or all
// its mistakes at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Sink != nil, "Sink is required")
	c.Path = cmp.Or(c.Path, DefaultPath)
	check(strings.HasPrefix(c.Path, "/"), "Path %q does not start with a slash", c.Path)
	c.ScriptPath = cmp.Or(c.ScriptPath, DefaultScriptPath)
	check(c.ScriptPath == "-" || strings.HasPrefix(c.ScriptPath, "/") && strings.HasSuffix(c.ScriptPath, ".js"),
		"ScriptPath %q does not start with a slash and end with .js", c.ScriptPath)
	check(c.ScriptPath != c.Path, "Path and ScriptPath are the same")
	for _, m := range c.Methods {
		check(isToken(m) && m != http.MethodOptions, "method %q cannot carry beacons", m)
	}
	c.Methods = append([]string{http.MethodGet, http.MethodHead, http.MethodPost}, c.Methods...)
	slices.Sort(c.Methods)
	c.Methods = slices.Compact(c.Methods)

	l := &c.Limits
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"MaxBody", c.MaxBody}, {"MaxInFlight", c.MaxInFlight},
		{"ReadTimeout", int64(c.ReadTimeout)}, {"SinkTimeout", int64(c.SinkTimeout)},
		{"MaxDecoded", l.MaxDecoded}, {"MaxRatio", int64(l.MaxRatio)}, {"MaxFields", int64(l.MaxFields)},
		{"MaxDepth", int64(l.MaxDepth)}, {"MaxEvents", int64(l.MaxEvents)},
	} {
		check(n.value >= 0, "%s is negative", n.name)
	}
	c.MaxBody = cmp.Or(c.MaxBody, DefaultMaxBody)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, DefaultReadTimeout)
	c.SinkTimeout = cmp.Or(c.SinkTimeout, DefaultSinkTimeout)
	c.Limits = l.withDefaults()
	c.MaxInFlight = cmp.Or(c.MaxInFlight, max(DefaultMaxInFlight, c.MaxBody+c.Limits.MaxDecoded))
	check(c.MaxInFlight >= c.MaxBody+c.Limits.MaxDecoded,
		"MaxInFlight %d is less than one request can need, MaxBody and MaxDecoded together", c.MaxInFlight)
	check(c.ClientIP <= IPFull, "ClientIP %d is unknown", c.ClientIP)
	for _, p := range c.TrustedProxies {
		check(p.IsValid(), "TrustedProxies holds an invalid prefix")
	}
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	c.Origins = slices.Clone(c.Origins)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if len(errs) > 0 {
		return c, fmt.Errorf("beacon: invalid config: %w", errors.Join(errs...))
	}
	return c, nil
}
