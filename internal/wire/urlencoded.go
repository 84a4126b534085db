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
	most  int // that there are
	pos   int
	plain []byte // backing store of the decoded strings
}

// URLEncoded returns the pairs of src.
func URLEncoded(src string) Pairs {
	p := Pairs{src: src}
	if src != "" {
		p.most = strings.Count(src, "&") + 1
	}
	return p
}

// Room says how many pairs to make room for: their number, or 0 if it takes a walk
// to know it, as where many are empty.
func (p *Pairs) Room() int {
	if strings.Contains(p.src, "&&") {
		return 0
	}
	return p.most
}

// Most is at least how many pairs there are, or limit if that is less.
func (p *Pairs) Most(limit int) int { return min(p.most, limit) }

// Backing returns how many bytes the names and values keep alive together.
func (p *Pairs) Backing() int { return len(p.src) + cap(p.plain) }

// Next returns the next pair; "&&" holds none.
func (p *Pairs) Next() (name, value string, ok bool) {
	i := p.pos
	for i < len(p.src) && p.src[i] == '&' {
		i++
	}
	if ok = i < len(p.src); ok {
		name, i = p.text(i, '=')
		if i < len(p.src) && p.src[i] == '=' {
			value, i = p.text(i+1, '&')
		}
	}
	p.pos = i
	return name, value, ok
}

// text reads a name or a value from start to the next "&", or another end, and returns
// where that is.
func (p *Pairs) text(start int, end byte) (string, int) {
	for i := start; i < len(p.src); i++ {
		c := p.src[i]
		if c > '=' { // letters, mostly: nothing special is beyond "="
			continue
		}
		switch c {
		case '&', end:
			return p.src[start:i], i
		case '+', '%':
			return p.decoded(start, i, end)
		}
	}
	return p.src[start:], len(p.src)
}

// decoded is text of what has an escape at i, the first. A "%" without two hex digits
// stands for itself (URL §1.3).
func (p *Pairs) decoded(start, i int, end byte) (string, int) {
	src := p.src
	if p.plain == nil {
		// Decoding only shrinks, so this never grows and what was cut from it stays valid.
		p.plain = make([]byte, 0, len(src)-start)
	}
	out := p.plain[len(p.plain):cap(p.plain)]
	n := copy(out, src[start:i])
loop:
	for ; i < len(src); i++ {
		c := src[i]
		if c <= '=' {
			switch c {
			case '&', end:
				break loop
			case '+':
				c = ' '
			case '%':
				if i+2 < len(src) { // what ends the text is no digit
					if hi, lo := unhex[src[i+1]], unhex[src[i+2]]; hi|lo < 16 {
						c = hi<<4 | lo
						i += 2
					}
				}
			}
		}
		out[n] = c
		n++
	}
	p.plain = p.plain[:len(p.plain)+n]
	return Text(out[:n]), i
}
