// Package clientip finds out whose request it is, as far as proxies can be trusted.
package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds how far X-Forwarded-For is followed.
const maxHops = 16

// Of returns the client's address, or the zero Addr if there is none. It walks
// X-Forwarded-For from the right while the address it has is a trusted proxy's:
// only what a trusted proxy appended is believed, and an entry that is not an
// address ends the walk at the last good one.
//
// The peer of a Unix socket has no address. It is a program on this machine, so
// where there are trusted proxies at all it counts as one.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr, ok := parse(r.RemoteAddr)
	if len(trusted) == 0 {
		return addr
	}
	local := !ok && (r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/')
	hops := strings.Join(r.Header["X-Forwarded-For"], ",")
	for range maxHops {
		if hops == "" || !local && !isTrusted(addr, trusted) {
			break
		}
		i := strings.LastIndexByte(hops, ',')
		next, ok := parse(strings.TrimSpace(hops[i+1:]))
		if !ok {
			break
		}
		addr, hops, local = next, hops[:max(i, 0)], false
	}
	return addr
}

// Network returns the network that an address is in: IPv4 /24, IPv6 /48.
func Network(a netip.Addr) netip.Addr {
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // both lengths are valid for their family
	return p.Addr()
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parse reads an address with or without a port or brackets, and brings the
// IPv4-mapped form and zones down to the plain address.
func parse(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}
