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

// SplitJSONArray cuts the JSON array in b into the texts of its elements, without
// caring whether those are valid: an element that is not must not cost its
// neighbours. It follows quotes and brackets only; what is left when they do not
// close is the last element. ok is false if b is not an array at all.
func SplitJSONArray(b []byte, maxItems int) (items [][]byte, ok bool) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '[' {
		return nil, false
	}
	depth, inString, start := 0, false, 1
	add := func(item []byte) {
		if item = bytes.TrimSpace(item); len(item) > 0 {
			items = append(items, item)
		}
	}
	for i := 1; i < len(b) && len(items) <= maxItems; i++ {
		switch c := b[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 && c == ']' {
				add(b[start:i])
				add(b[i+1:]) // text behind the array is not valid, but not lost either
				return items, true
			}
			depth = max(0, depth-1)
		case c == ',' && depth == 0:
			add(b[start:i])
			start = i + 1
		}
	}
	add(b[start:])
	return items, true
}
