package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Hosts is a list of names that a server answers to. The zero value allows all. It
// never changes, so it may be used concurrently.
type Hosts struct{ list []host }

// host is a name without its wildcard, and the port with its colon if it matters.
type host struct {
	name string
	port string
	wild bool
}

// ParseHosts makes a list of names, or reports all mistakes in them. A name is a domain
// or an IP address, with brackets if it is one of IPv6, as in "example.com" and
// "[::1]". "*." may stand in front of a domain for its subdomains at any depth, though
// not for itself, and a port behind it. The rules are those of [Parse].
func ParseHosts(patterns []string) (Hosts, error) {
	var h Hosts
	var errs []error
	for _, p := range patterns {
		one, err := parseHostPattern(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("host %q: %w", p, err))
			continue
		}
		h.list = append(h.list, one)
	}
	if errs != nil {
		return Hosts{}, errors.Join(errs...)
	}
	return h, nil
}

func parseHostPattern(pattern string) (host, error) {
	switch err := checkASCII(pattern); {
	case err != nil:
		return host{}, err
	case pattern == "*":
		return host{}, errors.New("without a list any host is allowed")
	case strings.ContainsAny(pattern, `/\?#@`):
		return host{}, errors.New(`not of the form "example.com" or "example.com:8443"`)
	}
	name, port, err := parseHost(strings.ToLower(pattern))
	if err != nil {
		return host{}, err
	}
	base, wild := strings.CutPrefix(name, "*")
	return host{base, port, wild}, nil
}

// Allow says whether a Host header names the server. Browsers send the name as the
// address bar has it: with a trailing dot if somebody typed one, and without the port
// if that is the scheme's own, which may be 80 or 443 here.
func (h *Hosts) Allow(header string) bool {
	if len(h.list) == 0 {
		return true
	}
	name, port := strings.ToLower(header), ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name, port = name[:i], name[i:]
	}
	if strings.HasPrefix(name, "[") {
		name = canonicalIPv6(name)
	} else {
		name = strings.TrimSuffix(name, ".")
	}
	return slices.ContainsFunc(h.list, func(p host) bool {
		if p.port != "" && p.port != port && (port != "" || p.port != ":80" && p.port != ":443") {
			return false
		}
		if !p.wild {
			return p.name == name
		}
		labels, under := strings.CutSuffix(name, p.name)
		return under && isLabels(labels)
	})
}

// canonicalIPv6 writes an address in brackets as browsers do; others send what they
// were given.
func canonicalIPv6(s string) string {
	a, err := netip.ParseAddr(strings.TrimSuffix(s[1:], "]"))
	if err != nil || a.Is4In6() {
		return s
	}
	return "[" + a.String() + "]"
}
