// Package cloudevents has what the forms in which an event is a CloudEvent share.
package cloudevents

import (
	"net/url"
	"strings"
)

const (
	Version     = "1.0"
	Type        = "com.github.pagebeacon.beacon.v1" // of the JSON form of an event
	ContentType = "application/json"
)

// Text returns what a client sent such that it is a string.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Source returns where an event was sent to, the origin (or host) and path: a valid,
// non-empty URI reference whatever the client said.
func Source(origin, host, path string) string {
	if plainOrigin(origin) && plainPath(path) {
		if path != "" && path[0] == '/' {
			return origin + path
		}
		return origin + "/" + path
	}
	u := url.URL{Path: "/" + strings.TrimPrefix(path, "/")}
	if o, err := url.Parse(origin); err == nil && o.Host != "" {
		u.Scheme, u.Host = o.Scheme, o.Host
	} else {
		u.Host = host
	}
	return u.String()
}

// plainOrigin says whether an origin is such that parsing it and writing it again gives the
// same: what browsers send is, and there is no need to.
func plainOrigin(s string) bool {
	rest, found := strings.CutPrefix(s, "https://")
	if !found {
		rest, found = strings.CutPrefix(s, "http://")
	}
	if !found || rest == "" {
		return false
	}
	for _, c := range []byte(rest) {
		if c != '.' && c != '-' && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

// plainPath says the same of a path.
func plainPath(s string) bool {
	for _, c := range []byte(s) {
		if c != '/' && c != '.' && c != '-' && c != '_' && c != '~' && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
