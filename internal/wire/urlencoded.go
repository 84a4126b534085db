package wire

import "strings"

// Pairs walks over the pairs of an application/x-www-form-urlencoded entry list
// (URL §5.1). It cannot fail: what is not a valid percent-encoding is literal, ";"
// is not a separator, and bytes that are not UTF-8 are kept, since a windows-1252
// page sends those. The standard library's parser drops such pairs.
//
// Names and values without escapes share the source; those with escapes share one
// copy.
type Pairs struct {
	src   string
	pos   int
	plain []byte // backing store of the decoded strings
}

// URLEncoded returns the pairs of src.
func URLEncoded(src string) Pairs { return Pairs{src: src} }

// Room says how many pairs to make room for: their number, or 0 if it takes a walk
// to know it, as where many are empty.
func (p *Pairs) Room() int {
	if p.src == "" || strings.Contains(p.src, "&&") {
		return 0
	}
	return strings.Count(p.src, "&") + 1
}

// Most is at least how many pairs there are, or limit if that is less.
func (p *Pairs) Most(limit int) int {
	if p.src == "" {
		return 0
	}
	return min(strings.Count(p.src, "&")+1, limit)
}

// Backing returns how many bytes the names and values keep alive together.
func (p *Pairs) Backing() int { return len(p.src) + cap(p.plain) }

// Next returns the next pair; "&&" holds none.
func (p *Pairs) Next() (name, value string, ok bool) {
	src, i := p.src, p.pos
	for i < len(src) && src[i] == '&' {
		i++
	}
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
	p.pos = i
	if i == start {
		return "", "", false
	}
	name = src[start:i]
	if eq >= 0 {
		name, value = src[start:eq], src[eq+1:i]
	}
	if escapedName || escapedValue {
		if p.plain == nil {
			// Decoding only shrinks, so this never grows and what was cut from it
			// stays valid.
			p.plain = make([]byte, 0, len(src)-start)
		}
		if escapedName {
			name, p.plain = unescape(name, p.plain)
		}
		if escapedValue {
			value, p.plain = unescape(value, p.plain)
		}
	}
	return name, value, true
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
	return Text(out[:n]), dst[:start+n]
}
