// Package wire reads and writes the formats that beacons come in: bytes in, pieces
// out. It knows nothing of events or of HTTP, and what it returns shares the memory
// of what it was given.
package wire

import (
	"strings"
	"unsafe"
)

// Text returns b as a string without copying it. Whatever is decoded from a body
// shares its memory, and a body is never written to again once it is read: that
// is what makes the strings immutable.
func Text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// unhex maps a hex digit to its value and any other byte to 0xFF.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// First returns the first value of the first header that has one. Headers are
// read straight from the map: their names are canonical already.
func First(headers ...[]string) string {
	for _, vs := range headers {
		if len(vs) > 0 {
			return vs[0]
		}
	}
	return ""
}

// Method returns the method without the request line that it stands in.
func Method(m string) string {
	for _, known := range [...]string{"POST", "GET", "HEAD", "PUT", "PATCH", "DELETE"} {
		if m == known {
			return known
		}
	}
	return strings.Clone(m)
}
