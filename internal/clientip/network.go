package clientip

import "net/netip"

var (
	sixToFour  = netip.MustParsePrefix("2002::/16")      // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")      // RFC 4380
	nat64      = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	carrierNAT = netip.MustParsePrefix("100.64.0.0/10")  // RFC 6598
)

// Key returns the network of a single customer: an IPv4 address, or the /64 of an IPv6
// one. An IPv6 address that stands for an IPv4 one is keyed as that: whoever has one
// IPv4 address has 65,536 /64 of 6to4, and behind a translator all of IPv4 is one /64.
func Key(a netip.Addr) netip.Prefix {
	bits := 64
	if v4, ok := embedded(a); ok {
		a = v4
	}
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // both lengths are valid for their family
	return p
}

// Wide returns the largest network that one customer may have around a [Key]: the /48
// of a /64. For IPv4 it is the key itself.
func Wide(key netip.Prefix) netip.Prefix {
	if key.Addr().Is4() {
		return key
	}
	p, _ := key.Addr().Prefix(48)
	return p
}

// Private says whether an address is of no single client of the Internet: this machine,
// a private or link-local network, the inside of a carrier's or a site's own translator,
// or none at all.
func Private(a netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() ||
		carrierNAT.Contains(a) || localNAT64.Contains(a)
}

// Network returns the network that an address is in, without what tells its customers
// apart: IPv4 /24, IPv6 /48, and as much of an IPv4 address in an IPv6 one as of a plain
// one.
func Network(a netip.Addr) netip.Addr {
	bits := 48
	switch {
	case a.Is4():
		bits = 24
	case sixToFour.Contains(a):
		bits = 16 + 24
	case nat64.Contains(a):
		bits = 96 + 24
	}
	p, _ := a.Prefix(bits) // all are valid for their family
	return p.Addr()
}

// embedded returns the IPv4 address that an IPv6 one stands for. A private one is not
// believed: nothing on the Internet has it, and it would pass for a proxy.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	var v4 netip.Addr
	switch {
	case sixToFour.Contains(a):
		v4 = netip.AddrFrom4([4]byte(b[2:]))
	case nat64.Contains(a):
		v4 = netip.AddrFrom4([4]byte(b[12:]))
	case teredo.Contains(a): // written with its bits turned over, so that no NAT changes it
		v4 = netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	}
	return v4, !Private(v4)
}
