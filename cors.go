package beacon

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// preflightMaxAge is how long browsers may remember a preflight, in seconds: the
// most that Chromium allows. A remembered one saves a round trip that a closing
// page may not have.
const preflightMaxAge = "7200"

// origins is the allow-list, translated once.
type origins struct {
	any        bool
	exact      map[string]bool
	subdomains []subdomains
}

// subdomains matches scheme://<labels>.base[:port].
type subdomains struct{ scheme, base string }

func parseOrigins(list []string) (origins, error) {
	o := origins{exact: map[string]bool{}}
	var errs []error
	for _, s := range list {
		if s == "*" {
			o.any = true
			continue
		}
		scheme, host, err := parseOrigin(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("origin %q: %w", s, err))
			continue
		}
		if base, ok := strings.CutPrefix(host, "*"); ok {
			o.subdomains = append(o.subdomains, subdomains{scheme + "://", base})
		} else {
			o.exact[scheme+"://"+host] = true
		}
	}
	return o, errors.Join(errs...)
}

// parseOrigin brings an allowed origin into the form in which browsers serialise
// theirs (HTML §7.1.1): lower case, no default port.
func parseOrigin(s string) (scheme, host string, err error) {
	if s == "null" {
		return "", "", errors.New("null is not an origin: every sandboxed page has it")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", "", errors.New("not a URL")
	case u.Scheme == "" || u.Host == "":
		return "", "", errors.New("scheme and host are required")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", "", errors.New("more than scheme, host and port")
	}
	scheme, host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	name, wild := strings.CutPrefix(host, "*.")
	switch {
	case name == "" || strings.Contains(name, "*"):
		return "", "", errors.New(`a wildcard stands only for the first labels, as in "https://*.example.com"`)
	case wild && strings.HasPrefix(name, ":"):
		return "", "", errors.New("wildcard without a domain")
	}
	for _, c := range []byte(host) {
		if c >= 0x80 {
			return "", "", errors.New("browsers send the ASCII form of a domain: write that")
		}
	}
	return scheme, host, nil
}

// allow says whether the serialised origin is on the list. An opaque origin is
// not a member of anything.
func (o *origins) allow(origin string) bool {
	if origin == "null" {
		return false
	}
	if o.any || o.exact[origin] {
		return true
	}
	for _, w := range o.subdomains {
		if rest, ok := strings.CutPrefix(origin, w.scheme); ok && len(rest) > len(w.base) &&
			strings.HasSuffix(rest, w.base) && isHost(rest[:len(rest)-len(w.base)]) {
			return true
		}
	}
	return false
}

// isHost keeps a wildcard from matching across what is not part of a host name:
// "https://evil.com/.example.com" must not pass for a subdomain.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s[0] != '.' && s[len(s)-1] != '.'
}

// sameOrigin says whether a request with this Origin comes from the host's own
// pages. Sec-Fetch-Site cannot be set by a page, and it is right behind a proxy
// that changed Host and for a page whose referrer policy makes its Origin "null".
func sameOrigin(r *http.Request, origin string) bool {
	if site := first(r.Header["Sec-Fetch-Site"]); site != "" {
		return site == "same-origin" || site == "none"
	}
	_, host, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(host, r.Host)
}

func isCrossOrigin(r *http.Request) bool {
	origin := r.Header["Origin"]
	return len(origin) > 0 && !sameOrigin(r, origin[0])
}

// admit checks the origin of a request, and sets the headers that let an allowed
// one see the answer (Fetch §3.2). sendBeacon always sends credentials, so the
// origin is echoed and wildcards, which are literal then, are never used.
func (h *Handler) admit(header http.Header, r *http.Request, crossOrigin bool) error {
	if !crossOrigin {
		return nil
	}
	origin := r.Header["Origin"][0]
	if !h.origins.allow(origin) {
		return &RequestError{Status: http.StatusForbidden, Reason: ReasonOrigin, Err: fmt.Errorf("%q", cut(origin))}
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Credentials", "true")
	header.Set("Access-Control-Expose-Headers", "Retry-After, Beacon-Refused") // for a client that tries again
	return nil
}

// preflight answers an OPTIONS request. A preflight that is refused costs the
// beacon behind it, which is then never sent: it is counted and reported like
// any request that was not taken.
func (h *Handler) preflight(header http.Header, r *http.Request, crossOrigin bool) error {
	header.Set("Allow", h.allow)
	if err := h.admit(header, r, crossOrigin); err != nil {
		return err
	}
	method := r.Header.Get("Access-Control-Request-Method")
	if method == "" {
		return nil // a plain question for the methods
	}
	if !h.accepts(method) {
		return methodError(method)
	}
	header.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	header.Set("Access-Control-Allow-Methods", h.allow)
	header.Set("Access-Control-Max-Age", preflightMaxAge)
	// The origin is trusted at this point, so any header it wants to send is
	// fine: ones that mean nothing here are ignored.
	if want := strings.Join(r.Header["Access-Control-Request-Headers"], ","); isHeaderList(want) {
		header.Set("Access-Control-Allow-Headers", want)
	}
	return nil
}

func isHeaderList(s string) bool {
	if len(s) == 0 || len(s) > 1024 {
		return false
	}
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.Trim(name, " \t"); name != "" && (!isToken(name) || name == "*") {
			return false
		}
	}
	return true
}

func methodError(method string) error {
	return &RequestError{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod, Err: fmt.Errorf("%q", cut(method))}
}

// cut shortens client text for an error.
func cut(s string) string { return s[:min(len(s), 64)] }
