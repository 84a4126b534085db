package beacon

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds how far X-Forwarded-For is followed.
const maxHops = 16

// clientIP returns the client's address as far as the policy allows. It walks
// X-Forwarded-For from the right while the address it has is a trusted proxy's:
// only what a trusted proxy appended is believed, and an entry that is not an
// address ends the walk at the last good one.
func (h *Handler) clientIP(r *http.Request) netip.Addr {
	if h.cfg.ClientIP == IPNone {
		return netip.Addr{}
	}
	addr, _ := parseAddr(r.RemoteAddr)
	if len(h.cfg.TrustedProxies) > 0 {
		hops := strings.Join(r.Header["X-Forwarded-For"], ",")
		for range maxHops {
			if hops == "" || !h.trusted(addr) {
				break
			}
			i := strings.LastIndexByte(hops, ',')
			next, ok := parseAddr(strings.TrimSpace(hops[i+1:]))
			if !ok {
				break
			}
			addr, hops = next, hops[:max(i, 0)]
		}
	}
	if h.cfg.ClientIP == IPFull || !addr.IsValid() {
		return addr
	}
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // both lengths are valid for their family
	return p.Addr()
}

func (h *Handler) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(h.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseAddr reads an address with or without a port or brackets, and brings the
// IPv4-mapped form and zones down to the plain address.
func parseAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}
