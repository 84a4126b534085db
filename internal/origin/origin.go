// Package origin is the list of allowed origins.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A List is a list of origins. The zero value allows none. It never changes, so it
// may be used concurrently.
type List struct {
	exact     map[string]bool
	wildcards []wildcard
}

// wildcard matches <scheme><labels><base>, as in "https://" "www" ".example.com:8443".
type wildcard struct{ scheme, base string }

// Parse makes a list of patterns, or reports all mistakes in them. A pattern is an
// origin of http or https, such as "https://example.com:8443", in which "*." may
// stand in front of the domain for its subdomains at any depth, though not for
// itself. Scheme and host may be in upper case, and the default port may be given.
//
// All else must be written as browsers do (HTML §7.1.1), since a pattern that
// is only nearly right allows nothing, or something else, in silence. That goes for
// a trailing dot, too: browsers keep it, and "https://example.com." is not the
// same origin, but whoever writes it hardly ever means that.
func Parse(patterns []string) (List, error) {
	l := List{exact: make(map[string]bool, len(patterns))}
	var errs []error
	for _, p := range patterns {
		scheme, host, err := parse(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("origin %q: %w", p, err))
		} else if base, ok := strings.CutPrefix(host, "*"); ok {
			l.wildcards = append(l.wildcards, wildcard{scheme, base})
		} else {
			l.exact[scheme+host] = true
		}
	}
	if errs != nil {
		return List{}, errors.Join(errs...)
	}
	return l, nil
}

// parse returns the parts of a pattern in canonical form, as in "https://" and
// "*.example.com:8443".
func parse(pattern string) (scheme, host string, err error) {
	fail := func(format string, args ...any) (string, string, error) {
		return "", "", fmt.Errorf(format, args...)
	}
	switch pattern {
	case "*":
		return fail(`"*" is not a pattern: set AnyOrigin`)
	case "null":
		return fail("every sandboxed page and every local file has this one")
	}
	if err := checkASCII(pattern); err != nil {
		return "", "", err
	}
	scheme, host, ok := strings.Cut(strings.ToLower(pattern), "://")
	switch {
	case !ok:
		return fail(`not of the form "https://example.com"`)
	case scheme != "https" && scheme != "http":
		return fail("the scheme is neither http nor https")
	}
	if i := strings.IndexAny(host, `/\?#@`); i >= 0 {
		switch host[i] {
		case '?':
			return fail("an origin has no query, not even an empty one")
		case '#':
			return fail("an origin has no fragment, not even an empty one")
		case '@':
			return fail("an origin has no user")
		}
		return fail("an origin has no path, not even a slash")
	}
	host, port, err := parseHost(host)
	if err != nil {
		return "", "", err
	}
	if scheme == "https" && port == ":443" || scheme == "http" && port == ":80" {
		port = ""
	}
	return scheme + "://", host + port, nil
}

// parseHost takes a host in lower case, with its wildcard and port if it has them, and
// returns it and the port with its colon.
func parseHost(s string) (host, port string, err error) {
	fail := func(format string, args ...any) (string, string, error) {
		return "", "", fmt.Errorf(format, args...)
	}
	host, wild := strings.CutPrefix(s, "*.")
	if strings.Contains(host, "*") {
		return fail(`a wildcard is only the whole first label of a domain, as in "https://*.example.com"`)
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i:]
	}
	isIP := strings.HasPrefix(host, "[") || endsInNumber(host)
	if isIP {
		err = checkIP(host)
	} else {
		err = checkDomain(host)
	}
	if err == nil {
		err = checkPort(port)
	}
	switch {
	case err != nil:
		return "", "", err
	case !wild:
		return host, port, nil
	case isIP:
		return fail("an IP address has no subdomains")
	case len(host) > maxDomain-len("x."):
		return fail("no subdomain is short enough for DNS")
	case isPublicSuffix(host):
		return fail("%s is a public suffix: list the sites under it one by one", host)
	}
	return "*." + host, port, nil
}

func checkASCII(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		return errors.New("not ASCII: write the form that browsers send, which is xn--… for a domain")
	}
	return nil
}

const maxDomain = 253 // as text (RFC 1035 §3.1)

func checkDomain(s string) error {
	switch {
	case s == "":
		return errors.New("the host is missing")
	case s[len(s)-1] == '.':
		return errors.New("with a trailing dot it is another origin: leave the dot out")
	case len(s) > maxDomain:
		return fmt.Errorf("the host is longer than %d bytes", maxDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case label == "":
			return errors.New("the host has an empty label")
		case len(label) > 63:
			return errors.New("a label of the host is longer than 63 bytes")
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("a label of the host starts or ends with a hyphen")
		}
		if i := strings.IndexFunc(label, func(r rune) bool { return !isLabelByte(byte(r)) }); i >= 0 {
			return fmt.Errorf("a host has no %q", label[i])
		}
	}
	return nil
}

// endsInNumber says whether browsers take a host for an IPv4 address (URL §3.5).
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	digits, hex := "0123456789", false
	if last, hex = strings.CutPrefix(last, "0x"); hex {
		digits += "abcdef"
	}
	return (last != "" || hex) && strings.Trim(last, digits) == ""
}

// checkIP insists on the form in which browsers serialise an address (URL §3.6).
func checkIP(host string) error {
	s, isV6 := strings.CutPrefix(host, "[")
	s, closed := strings.CutSuffix(s, "]")
	addr, err := netip.ParseAddr(s)
	switch {
	case isV6 && (err != nil || !closed || !addr.Is6()):
		return errors.New("not an IPv6 address in brackets")
	case isV6 && addr.Zone() != "":
		return errors.New("an origin has no zone")
	case !isV6 && (err != nil || !addr.Is4()):
		return errors.New("a host whose last label is a number is an IPv4 address, which has four numbers up to 255")
	}
	want := addr.String()
	if b := addr.As16(); addr.Is4In6() { // of which browsers know no form with dots
		want = fmt.Sprintf("::ffff:%x:%x", int(b[12])<<8|int(b[13]), int(b[14])<<8|int(b[15]))
	}
	if s != want {
		return fmt.Errorf("browsers write [%s]", want)
	}
	return nil
}

// checkPort takes the port with its colon, or nothing.
func checkPort(s string) error {
	if s == "" {
		return nil
	}
	if n, err := strconv.ParseUint(s[1:], 10, 16); err != nil || n == 0 || s[1] == '0' {
		return errors.New("the port is not a number from 1 to 65535 without leading zeros")
	}
	return nil
}

// Allow says whether the list has an origin, given as browsers serialise it. An
// opaque one, "null", is on no list.
func (l *List) Allow(origin string) bool {
	return l.exact[origin] || slices.ContainsFunc(l.wildcards, func(w wildcard) bool {
		rest, ok := strings.CutPrefix(origin, w.scheme)
		labels, under := strings.CutSuffix(rest, w.base)
		return ok && under && isLabels(labels)
	})
}

// isLabels keeps a wildcard from matching across what is not part of a host name:
// "https://evil.com/.example.com" must not pass for a subdomain. It is no stricter
// than that, since browsers do open hosts with a hyphen where no domain has one.
func isLabels(s string) bool {
	last := byte('.')
	for i := range len(s) {
		if s[i] == '.' && last == '.' || s[i] != '.' && !isLabelByte(s[i]) {
			return false
		}
		last = s[i]
	}
	return last != '.'
}

// isLabelByte allows the underscore: DNS has it, and browsers send it.
func isLabelByte(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
}
