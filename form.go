package beacon

import (
	"bytes"
	"strings"
	"unsafe"
)

// text returns b as a string without copying it. Whatever is decoded from a body
// shares its memory, and a body is never written to again once it is read: that
// is what makes the strings immutable.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// parseURLEncoded scans an application/x-www-form-urlencoded entry list (URL
// §5.1) in one pass. It cannot fail but for the number of fields: what is not a
// valid percent-encoding is literal, ";" is not a separator, and bytes that are
// not UTF-8 are kept, since a windows-1252 page sends those. The standard
// library's parser drops such pairs.
//
// Values without escapes share src; those with escapes share one copy.
func parseURLEncoded(src string, maxFields int) (Form, error) {
	if src == "" {
		return Form{}, nil
	}
	// A pair is counted before it is stored, so that a body of "&" costs nothing.
	fields := make(Form, 0, min(strings.Count(src, "&")+1, maxFields))
	var plain []byte // backing store of the decoded strings
	for i := 0; i < len(src); i++ {
		start, eq := i, -1
		escapedName, escapedValue := false, false
	pair:
		for ; i < len(src); i++ {
			c := src[i]
			if c > '=' { // letters, mostly: nothing special is beyond "="
				continue
			}
			switch c {
			case '&':
				break pair
			case '=':
				if eq < 0 {
					eq = i
				}
			case '%', '+':
				if eq < 0 {
					escapedName = true
				} else {
					escapedValue = true
				}
			}
		}
		if i == start {
			continue // "&&" holds no pair
		}
		if len(fields) == maxFields {
			return nil, tooLarge(ReasonTooManyFields, "more than %d fields", maxFields)
		}
		name, value := src[start:i], ""
		if eq >= 0 {
			name, value = src[start:eq], src[eq+1:i]
		}
		if escapedName || escapedValue {
			if plain == nil {
				// Decoding only shrinks, so this never grows and what was cut
				// from it stays valid.
				plain = make([]byte, 0, len(src)-start)
			}
			if escapedName {
				name, plain = unescape(name, plain)
			}
			if escapedValue {
				value, plain = unescape(value, plain)
			}
		}
		fields = append(fields, Field{Name: name, Value: value})
	}
	return fields, nil
}

// unescape appends the decoded form of s to dst, which has room for it, and
// returns it as a string that shares dst. A "%" without two hex digits stands for
// itself (URL §1.3).
func unescape(s string, dst []byte) (string, []byte) {
	start := len(dst)
	out := dst[start:cap(dst)]
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 < len(s) {
				hi, lo := unhex[s[i+1]], unhex[s[i+2]]
				if hi|lo < 16 {
					c = hi<<4 | lo
					i += 2
				}
			}
		}
		out[n] = c
		n++
	}
	return text(out[:n]), dst[:start+n]
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

// unescapeName undoes the multipart escaping of names and file names: exactly
// %22, %0D and %0A (HTML §4.10.21.8). "%" itself is not escaped by browsers, so
// a page's own literal "%22" is read as a quote; nothing can tell the two apart.
func unescapeName(b []byte) string {
	i := bytes.IndexByte(b, '%')
	if i < 0 {
		return text(b)
	}
	var out []byte
	for start := 0; ; {
		j := bytes.IndexByte(b[i:], '%')
		if j < 0 || i+j+3 > len(b) {
			if out == nil {
				return text(b)
			}
			return text(append(out, b[start:]...))
		}
		i += j
		var c byte
		switch string(b[i+1 : i+3]) {
		case "22":
			c = '"'
		case "0D":
			c = '\r'
		case "0A":
			c = '\n'
		default:
			i++
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(b))
		}
		out = append(append(out, b[start:i]...), c)
		i += 3
		start = i
	}
}
