package beacon

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pagebeacon/beacon/internal/intake"
	"github.com/pagebeacon/beacon/internal/origin"
	"github.com/pagebeacon/beacon/internal/wire"
)

// preflightMaxAge is how long browsers may remember a preflight, in seconds: the
// most that Chromium allows. A remembered one saves a round trip that a closing
// page may not have.
const preflightMaxAge = "7200"

// cors is what a request has to come from and with, and what browsers are told of it.
type cors struct {
	origins origin.List
	any     bool // of the origins
	hosts   origin.Hosts
	methods []string
	allow   string // the value of Allow
}

func (c *cors) accepts(method string) bool { return slices.Contains(c.methods, method) }

// A source is what a request says of where it comes from, and who reads the answer.
type source struct {
	headers     intake.Headers
	crossOrigin bool
	capture     bool // the answer is the host's own, and it wants the events too
}

// sameOrigin says whether a request with this Origin comes from the host's own
// pages. Sec-Fetch-Site cannot be set by a page, and it is right behind a proxy
// that changed Host and for a page whose referrer policy makes its Origin "null".
func sameOrigin(r *http.Request, h *intake.Headers) bool {
	if h.FetchSite != "" {
		return h.FetchSite == "same-origin" || h.FetchSite == "none"
	}
	_, host, ok := strings.Cut(h.Origin, "://")
	return ok && strings.EqualFold(host, r.Host)
}

func isCrossOrigin(r *http.Request, h *intake.Headers) bool {
	return h.HasOrigin && !sameOrigin(r, h)
}

// check refuses what is for another host, or comes from another origin than those
// allowed, and sets the headers that let an allowed one see the answer (Fetch §3.2).
// sendBeacon always sends credentials, so the origin is echoed and wildcards, which are
// literal then, are never used.
func (c *cors) check(w http.ResponseWriter, r *http.Request, from *source) error {
	if !c.hosts.Allow(r.Host) {
		return refusal(ReasonHost, quote(r.Host))
	}
	if !from.crossOrigin {
		return c.checkReferer(r, from)
	}
	origin := from.headers.Origin
	listed := c.origins.Allow(origin)
	switch {
	case listed, c.any && origin != "null" && origin != "" && !(from.capture && r.Method == http.MethodOptions):
	case isCSPReport(r, &from.headers) && !from.capture:
		// The browser sends it by itself, for a violation of frame-ancestors with the
		// origin "null". Any page can name this endpoint as its report-uri, but no
		// script can send the type without a preflight: the list guards nothing.
		return nil
	default:
		return refusal(ReasonOrigin, originError(r, origin))
	}
	if from.capture && !listed {
		return nil // the answer is the host's: it is not for every page of the web to read
	}
	setHeaders(w.Header(),
		"Access-Control-Allow-Origin", origin,
		"Access-Control-Allow-Credentials", "true",
		"Access-Control-Expose-Headers", "Retry-After, Beacon-Refused") // for a client that tries again
	return nil
}

// checkReferer refuses what a page of another site loads without an Origin, which are
// images and the GETs of a script with no-cors; with an Origin it is cross-origin. What
// follows a link or opens a frame has none either: there Sec-Fetch-Mode is navigate, and
// the page is the visitor's next.
func (c *cors) checkReferer(r *http.Request, from *source) error {
	site, referer := from.headers.FetchSite, from.headers.Referer
	if c.any || from.headers.FetchMode != "no-cors" ||
		site != "cross-site" && site != "same-site" || isCSPReport(r, &from.headers) && !from.capture {
		return nil
	}
	scheme, host, _ := strings.Cut(referer, "://")
	if i := strings.IndexAny(host, `/?#\`); i >= 0 {
		host = host[:i]
	}
	// Back from a redirect of another site, what the host's own page loads is no
	// longer same-origin.
	if c.origins.Allow(scheme+"://"+host) || host != "" && strings.EqualFold(host, r.Host) {
		return nil
	}
	if referer == "" {
		return refusal(ReasonOrigin, fmt.Errorf("%s, and a page that sends no Referer", site))
	}
	return refusal(ReasonOrigin, fmt.Errorf("%q as Referer", cut(referer)))
}

func isCSPReport(r *http.Request, h *intake.Headers) bool {
	return r.Method == http.MethodPost && wire.ParseMediaType(h.ContentType).Kind == wire.KindCSPReport
}

// originError says what may be wrong besides the list.
func originError(r *http.Request, origin string) error {
	if r.Header["Sec-Fetch-Site"] == nil && strings.HasPrefix(origin, "http") {
		return fmt.Errorf("%q; if that is the site's own, Host is %q: does the proxy pass it on?", cut(origin), cut(r.Host))
	}
	return quote(origin)
}

// preflight answers an OPTIONS request. A preflight that is refused costs the
// beacon behind it, which is then never sent: it is counted and reported like
// any request that was not taken.
func (c *cors) preflight(w http.ResponseWriter, r *http.Request, from *source) error {
	header := w.Header()
	header.Set("Allow", c.allow)
	if err := c.check(w, r, from); err != nil {
		return err
	}
	method := r.Header.Get("Access-Control-Request-Method")
	if method == "" {
		return nil // a plain question for the methods
	}
	if !c.accepts(method) {
		return methodError(method)
	}
	header.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	setHeaders(header, "Access-Control-Allow-Methods", c.allow, "Access-Control-Max-Age", preflightMaxAge)
	// The origin is trusted at this point, so any header it wants to send is
	// fine: ones that mean nothing here are ignored.
	if want := strings.Join(r.Header["Access-Control-Request-Headers"], ","); wire.IsHeaderList(want) {
		header.Set("Access-Control-Allow-Headers", want)
	}
	return nil
}

func methodError(method string) error {
	return refusal(ReasonMethod, quote(method))
}

// quoted is an error that is no more than what a client said. Most of them nobody reads,
// since a reason is logged once a second. It is a copy: an error may be kept for longer
// than the request, whose line may be long, and whose strings an adapter may write to again.
type quoted struct {
	text [64]byte
	n    int
}

func quote(s string) error {
	q := new(quoted)
	q.n = copy(q.text[:], s)
	return q
}

func (q *quoted) Error() string { return strconv.Quote(string(q.text[:q.n])) }

// cut shortens client text for an error.
func cut(s string) string { return s[:min(len(s), 64)] }
