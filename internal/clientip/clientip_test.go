package clientip_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon/internal/clientip"
)

func TestNetworks(t *testing.T) {
	type networks struct{ Key, Wide, Truncated string }
	for _, tt := range []struct {
		name, addr string
		want       networks
	}{
		{"IPv4", "203.0.113.7", networks{"203.0.113.7/32", "203.0.113.7/32", "203.0.113.0"}},
		{"IPv6", "2001:db8:1:2:3::4", networks{"2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8:1::"}},
		{"6to4", "2002:cb00:7107::1", networks{"203.0.113.7/32", "203.0.113.7/32", "2002:cb00:7100::"}},
		{"6to4, another subnet", "2002:cb00:7107:ffff::1", networks{"203.0.113.7/32", "203.0.113.7/32", "2002:cb00:7100::"}},
		{"6to4 of a private address", "2002:a00:1::1", networks{"2002:a00:1::/64", "2002:a00:1::/48", "2002:a00::"}},
		{"NAT64", "64:ff9b::203.0.113.7", networks{"203.0.113.7/32", "203.0.113.7/32", "64:ff9b::cb00:7100"}},
		{"NAT64 of loopback", "64:ff9b::127.0.0.1", networks{"64:ff9b::/64", "64:ff9b::/48", "64:ff9b::7f00:0"}},
		{"Teredo", "2001:0:4136:e378:8000:63bf:34ff:8ef8", networks{"203.0.113.7/32", "203.0.113.7/32", "2001:0:4136::"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := netip.MustParseAddr(tt.addr)
			key := clientip.Key(a)
			got := networks{key.String(), clientip.Wide(key).String(), clientip.Network(a).String()}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrivate(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": true, "::": true,
		"10.1.2.3": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true, "fd00::1": true, "fc00::1": true,
		"169.254.1.1": true, "fe80::1": true, "100.64.0.1": true, "100.127.255.255": true, "64:ff9b:1::1": true,
		"203.0.113.7": false, "172.32.0.1": false, "100.128.0.1": false, "100.63.255.255": false,
		"2001:db8::1": false, "2002:a00:1::1": false, "64:ff9b::1": false,
	} {
		if got := clientip.Private(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if !clientip.Private(netip.Addr{}) {
		t.Error("no address is not private")
	}
}

func TestClient(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("198.51.100.7/32")}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		trusted    []netip.Prefix
		want       string // empty: nobody's
	}{
		{name: "direct", peer: "203.0.113.7:1234", want: "203.0.113.7/32"},
		{name: "direct, IPv6", peer: "[2001:db8:1:2::3]:1234", want: "2001:db8:1:2::/64"},
		{name: "direct, IPv4-mapped", peer: "[::ffff:203.0.113.7]:1234", want: "203.0.113.7/32"},
		{name: "direct, says it is another", peer: "203.0.113.7:1234", forwarded: []string{"192.0.2.1"}, trusted: proxies, want: "203.0.113.7/32"},
		{name: "loopback", peer: "127.0.0.1:1234"},
		{name: "loopback, with a client that nobody believes", peer: "127.0.0.1:1234", forwarded: []string{"203.0.113.7"}},
		{name: "private", peer: "192.168.1.1:1234", forwarded: []string{"203.0.113.7"}, trusted: proxies},
		{name: "link-local with zone", peer: "[fe80::1%eth0]:1234"},
		{name: "Unix socket", peer: "@"},
		{name: "Unix socket and proxies", peer: "@", forwarded: []string{"203.0.113.7"}, trusted: proxies, want: "203.0.113.7/32"},
		{name: "no address at all", peer: "somewhere", forwarded: []string{"203.0.113.7"}, trusted: proxies},
		{name: "proxy", peer: "10.0.0.1:1234", forwarded: []string{"203.0.113.7"}, trusted: proxies, want: "203.0.113.7/32"},
		{name: "proxy, with ports", peer: "10.0.0.1:1234", forwarded: []string{"[2001:db8:1:2::3]:99"}, trusted: proxies, want: "2001:db8:1:2::/64"},
		{name: "proxy, with brackets", peer: "10.0.0.1:1234", forwarded: []string{"[2001:db8:1:2::3]"}, trusted: proxies, want: "2001:db8:1:2::/64"},
		{name: "proxy, IPv4 with a port", peer: "10.0.0.1:1234", forwarded: []string{"203.0.113.7:99"}, trusted: proxies, want: "203.0.113.7/32"},
		{name: "proxy that says nothing", peer: "10.0.0.1:1234", trusted: proxies},
		{name: "public proxy that says nothing", peer: "198.51.100.7:1234", trusted: proxies},
		{name: "proxy that hides it", peer: "10.0.0.1:1234", forwarded: []string{"unknown"}, trusted: proxies},
		{name: "proxy behind one that nobody named", peer: "10.0.0.1:1234", forwarded: []string{"203.0.113.7, 10.9.9.9"}, trusted: proxies},
		{name: "two proxies", peer: "10.0.0.1:1234", forwarded: []string{"192.0.2.1, 203.0.113.7", "10.0.0.2"}, trusted: proxies, want: "203.0.113.7/32"},
		{name: "a private address that the client made up", peer: "10.0.0.1:1234", forwarded: []string{"10.9.9.9, 203.0.113.7"}, trusted: proxies, want: "203.0.113.7/32"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.RemoteAddr = tt.peer
			if tt.forwarded != nil {
				r.Header["X-Forwarded-For"] = tt.forwarded
			}
			key, ok := clientip.Client(r, tt.trusted)
			got := ""
			if ok {
				got = key.String()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n := testing.AllocsPerRun(10, func() { clientip.Client(r, tt.trusted) }); tt.want != "" && len(tt.forwarded) < 2 && n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
