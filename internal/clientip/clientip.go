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
	local := r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/'
	var addr netip.Addr
	if !local {
		addr, _ = parse(r.RemoteAddr)
	}
	if len(trusted) == 0 {
		return addr
	}
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

// Client returns the network that a request came from, for a limit of its own: see
// [Key]. It is false where all clients could be behind one address, and a limit would
// be everyone's: for a peer on this machine or a private network, which is a proxy that
// nobody named, and for a named proxy that does not say who its client is.
func Client(r *http.Request, trusted []netip.Prefix) (key netip.Prefix, ok bool) {
	return Own(Of(r, trusted), trusted)
}

// Own is what [Client] says of the address that [Of] found.
func Own(addr netip.Addr, trusted []netip.Prefix) (key netip.Prefix, ok bool) {
	if Private(addr) || isTrusted(addr, trusted) {
		return netip.Prefix{}, false
	}
	return Key(addr), true
}

// OnThisMachine says whether a request is of a visitor on the same machine, as during
// development, and not one that a proxy there passes on.
func OnThisMachine(r *http.Request) bool {
	peer, _ := parse(r.RemoteAddr)
	return peer.IsLoopback() && r.Header["X-Forwarded-For"] == nil
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parse reads an address with or without a port or brackets, and brings the
// IPv4-mapped form and zones down to the plain address.
func parse(s string) (netip.Addr, bool) {
	var a netip.Addr
	var err error
	// What has no port is not tried as if it had one: that makes an error each time.
	if strings.Count(s, ":") == 1 || strings.Contains(s, "]:") {
		var ap netip.AddrPort
		ap, err = netip.ParseAddrPort(s)
		a = ap.Addr()
	} else {
		a, err = netip.ParseAddr(strings.Trim(s, "[]"))
	}
	return a.Unmap().WithZone(""), err == nil
}
