package wire

import (
	"bytes"
	"unicode/utf8"
)

// A JSONStatus is what [CheckJSON] found.
type JSONStatus uint8

const (
	JSONValid JSONStatus = iota
	JSONInvalid
	JSONTooDeep
)

// MaxJSONDepth is the nesting of a body up to which the whole event, which is two
// levels deeper, is JSON to encoding/json.
const MaxJSONDepth = 9998

// CheckJSON says whether b is one JSON text (RFC 8259), which includes being
// valid UTF-8, whose arrays and objects nest no deeper than maxDepth. It is a
// quarter of the cost of json.Valid, which bounds no depth and accepts any bytes
// in strings, and every JSON beacon passes through it.
func CheckJSON(b []byte, maxDepth int) JSONStatus {
	s := jsonScanner{b: b, maxDepth: maxDepth}
	i, ok := s.value(s.space(0), 0)
	if ok && s.space(i) == len(b) && (!s.wide || utf8.Valid(b)) {
		return JSONValid
	}
	if s.tooDeep {
		return JSONTooDeep
	}
	return JSONInvalid
}

// LooksLikeJSON says whether b starts as a JSON object or array. Only those are
// looked for in bodies that do not claim to be JSON: a bare number or word is
// more likely to be text.
func LooksLikeJSON(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{', '[':
			return true
		default:
			return false
		}
	}
	return false
}

// A jsonScanner is a recursive-descent recogniser: each method takes the
// position of a construct and returns the one behind it.
type jsonScanner struct {
	b        []byte
	maxDepth int
	tooDeep  bool
	wide     bool // a byte beyond ASCII was seen
}

func (s *jsonScanner) space(i int) int {
	for i < len(s.b) {
		switch s.b[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
	return i
}

func (s *jsonScanner) value(i, depth int) (int, bool) {
	if i >= len(s.b) {
		return i, false
	}
	switch c := s.b[i]; c {
	case '"':
		return s.str(i)
	case '{', '[':
		if depth >= s.maxDepth {
			s.tooDeep = true
			return i, false
		}
		if c == '{' {
			return s.object(i+1, depth+1)
		}
		return s.array(i+1, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *jsonScanner) object(i, depth int) (int, bool) {
	i = s.space(i)
	if i < len(s.b) && s.b[i] == '}' {
		return i + 1, true
	}
	var ok bool
	for {
		if i >= len(s.b) || s.b[i] != '"' {
			return i, false
		}
		if i, ok = s.str(i); !ok {
			return i, false
		}
		i = s.space(i)
		if i >= len(s.b) || s.b[i] != ':' {
			return i, false
		}
		if i, ok = s.value(s.space(i+1), depth); !ok {
			return i, false
		}
		if i = s.space(i); i >= len(s.b) {
			return i, false
		}
		switch s.b[i] {
		case ',':
			i = s.space(i + 1)
		case '}':
			return i + 1, true
		default:
			return i, false
		}
	}
}

func (s *jsonScanner) array(i, depth int) (int, bool) {
	i = s.space(i)
	if i < len(s.b) && s.b[i] == ']' {
		return i + 1, true
	}
	var ok bool
	for {
		if i, ok = s.value(i, depth); !ok {
			return i, false
		}
		if i = s.space(i); i >= len(s.b) {
			return i, false
		}
		switch s.b[i] {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1, true
		default:
			return i, false
		}
	}
}

func (s *jsonScanner) str(i int) (int, bool) {
	var all byte
	for i++; i < len(s.b); i++ {
		c := s.b[i]
		switch {
		case c == '"':
			s.wide = s.wide || all >= utf8.RuneSelf
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			if i++; i >= len(s.b) {
				return i, false
			}
			switch s.b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(s.b) || unhex[s.b[i+1]]|unhex[s.b[i+2]]|unhex[s.b[i+3]]|unhex[s.b[i+4]] > 15 {
					return i, false
				}
				i += 4
			default:
				return i, false
			}
		default:
			all |= c
		}
	}
	return i, false
}

func (s *jsonScanner) literal(i int, word string) (int, bool) {
	if end := i + len(word); end <= len(s.b) && string(s.b[i:end]) == word {
		return end, true
	}
	return i, false
}

func (s *jsonScanner) number(i int) (int, bool) {
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	switch {
	case i < len(s.b) && s.b[i] == '0':
		i++
	default:
		var ok bool
		if i, ok = s.digits(i); !ok {
			return i, false
		}
	}
	var ok bool
	if i < len(s.b) && s.b[i] == '.' {
		if i, ok = s.digits(i + 1); !ok {
			return i, false
		}
	}
	if i < len(s.b) && s.b[i]|0x20 == 'e' {
		i++
		if i < len(s.b) && (s.b[i] == '+' || s.b[i] == '-') {
			i++
		}
		if i, ok = s.digits(i); !ok {
			return i, false
		}
	}
	return i, true
}

func (s *jsonScanner) digits(i int) (int, bool) {
	start := i
	for i < len(s.b) && s.b[i]-'0' < 10 {
		i++
	}
	return i, i > start
}

// Elements walks over the texts of the elements of a JSON array, without caring whether
// those are valid: an element that is not must not cost its neighbours. It follows quotes
// and brackets only; what is left when they do not close is the last element.
type Elements struct {
	b    []byte
	pos  int    // where the next one starts; more than len(b) at the end
	rest []byte // the last: what is behind the array is not valid, but not lost either
}

// ElementsOf returns the elements of the JSON array in b. If it is none ok is false, and
// there is one: b itself.
func ElementsOf(b []byte) (e Elements, ok bool) {
	array := bytes.TrimSpace(b)
	if len(array) == 0 || array[0] != '[' {
		return Elements{pos: 1, rest: b}, false
	}
	return Elements{b: array, pos: 1}, true
}

// Next returns the next element, or ok false behind the last.
func (e *Elements) Next() (item []byte, ok bool) {
	for e.pos <= len(e.b) {
		if item = e.next(); len(item) > 0 {
			return item, true
		}
	}
	item, e.rest = e.rest, nil
	return item, len(item) > 0
}

// next returns what is up to the next comma, which may be nothing.
func (e *Elements) next() []byte {
	b, start, depth := e.b, e.pos, 0
	for i := start; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 && b[i] == ']' {
				e.b, e.pos, e.rest = nil, 1, bytes.TrimSpace(b[i+1:])
				return bytes.TrimSpace(b[start:i])
			}
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				e.pos = i + 1
				return bytes.TrimSpace(b[start:i])
			}
		}
	}
	e.pos = len(b) + 1
	return bytes.TrimSpace(b[start:])
}

// Count returns how many there are, or most+1 if they are more. It does not move e.
func (e Elements) Count(most int) (n int) {
	for n <= most {
		if _, ok := e.Next(); !ok {
			break
		}
		n++
	}
	return n
}

// SplitJSONArray returns the [Elements] of b, and no more than one beyond maxItems.
func SplitJSONArray(b []byte, maxItems int) (items [][]byte, ok bool) {
	elements, ok := ElementsOf(b)
	if !ok {
		return nil, false
	}
	for item, more := elements.Next(); more && len(items) <= maxItems; item, more = elements.Next() {
		items = append(items, item)
	}
	return items, true
}
