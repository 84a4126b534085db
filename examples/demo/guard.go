package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard answers only requests for this server by one of its own names. A site whose name
// leads to this machine after a while (DNS rebinding) is of the same origin to a browser,
// and could read what the demo shows.
//
// The headers keep everything but the endpoint, which has its own, from pages of others.
func (d *demo) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ownHost(r.Host, d.name) {
			http.Error(w, "this demo answers to localhost, to addresses, and to the name in -addr", http.StatusForbidden)
			return
		}
		if r.URL.Path != endpoint {
			w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost says whether the server may be called host, with a port or without. An address
// leads nowhere else.
func ownHost(host, name string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || name != "" && host == strings.ToLower(name)
}
