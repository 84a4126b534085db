package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
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
// valid UTF-8, whose arrays and objects nest no deeper than maxDepth. It costs less
// than half of json.Valid, which bounds no depth and accepts any bytes in strings,
// and every JSON beacon passes through it.
func CheckJSON(b []byte, maxDepth int) JSONStatus { return ScanJSON(b, maxDepth).Status }

// A JSONScan is what there is to know of a JSON text without a second look.
type JSONScan struct {
	Status JSONStatus
	Items  int  // elements of the array, or members of the object, that it is
	Spaced bool // there is white space in it that says nothing
}

// ScanJSON is [CheckJSON], and says more of a text that is valid.
func ScanJSON(b []byte, maxDepth int) JSONScan {
	s := jsonScanner{b: b, maxDepth: maxDepth}
	return JSONScan{s.text(), s.items, s.spaced}
}

// PlainJSON says whether b is one JSON text that every encoder would leave as it
// is: valid, without white space, without anything that HTML or JavaScript would
// take for their own, and not null, which decoders take for nothing.
//
// Most JSON bodies are what JSON.stringify made, and this is all that they cost.
func PlainJSON(b []byte) bool {
	s := jsonScanner{b: b, maxDepth: MaxJSONDepth}
	if s.text() != JSONValid || s.spaced || IsJSONNull(b) {
		return false
	}
	for _, c := range []byte("<>&") {
		if bytes.IndexByte(b, c) >= 0 {
			return false
		}
	}
	return !s.wide() || !bytes.Contains(b, []byte("\u2028")) && !bytes.Contains(b, []byte("\u2029"))
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

// A jsonScanner is a recogniser: each method takes the position of a construct and
// returns the one behind it.
type jsonScanner struct {
	b        []byte
	maxDepth int
	tooDeep  bool
	all      uint64 // the bytes of all strings, and maybe what follows them, or-ed
	spaced   bool   // there was white space
	items    int    // that the outermost brackets have
}

func (s *jsonScanner) text() JSONStatus {
	i, ok := s.value(s.space(0), 0)
	if ok && s.space(i) == len(s.b) && (!s.wide() || utf8.Valid(s.b)) {
		return JSONValid
	}
	if s.tooDeep {
		return JSONTooDeep
	}
	return JSONInvalid
}

// wide says whether there may be bytes beyond ASCII.
func (s *jsonScanner) wide() bool { return s.all&tops != 0 }

// space is what is called everywhere, spaces what there seldom is.
func (s *jsonScanner) space(i int) int {
	if i < len(s.b) && s.b[i] <= ' ' {
		return s.spaces(i)
	}
	return i
}

func (s *jsonScanner) spaces(i int) int {
	s.spaced = true
	return skipSpace(s.b, i)
}

// value goes on in a loop up to 64 levels deeper: a call for each would cost more than
// the brackets.
func (s *jsonScanner) value(i, depth int) (int, bool) {
	b, outer := s.b, depth
	var objects uint64 // a bit for each open bracket, the innermost lowest: whether it is a brace
	key := false       // what comes next is a key
next:
	for {
		ok := true
		if key {
			if i >= len(b) || b[i] != '"' {
				return i, false
			}
			if i, ok = s.str(i); !ok {
				return i, false
			}
			if i = s.space(i); i >= len(b) || b[i] != ':' {
				return i, false
			}
			i = s.space(i + 1)
		}
		if i >= len(b) {
			return i, false
		}
		switch c := b[i]; c {
		case '"':
			i, ok = s.str(i)
		case '{', '[':
			if depth >= s.maxDepth {
				s.tooDeep = true
				return i, false
			}
			if depth == outer+64 {
				i, ok = s.value(i, depth)
				break
			}
			depth++
			objects <<= 1
			if key = c == '{'; key {
				objects |= 1
			}
			if i = s.space(i + 1); i < len(b) && b[i] != c+2 { // the bracket that closes it
				if depth == 1 {
					s.items++
				}
				continue next
			}
		case 't':
			i, ok = s.literal(i, "true")
		case 'f':
			i, ok = s.literal(i, "false")
		case 'n':
			i, ok = s.literal(i, "null")
		default:
			i, ok = s.number(i)
		}
		if !ok {
			return i, false
		}
		for ; depth > outer; depth-- {
			if i = s.space(i); i >= len(b) {
				return i, false
			}
			key = objects&1 == 1
			switch c := b[i]; {
			case c == ',':
				if depth == 1 {
					s.items++
				}
				i = s.space(i + 1)
				continue next
			case c == '}' && key, c == ']' && !key:
				i++
				objects >>= 1
			default:
				return i, false
			}
		}
		return i, true
	}
}

func (s *jsonScanner) str(i int) (int, bool) {
	b := s.b
	var all uint64
	i++
	for {
		for ; len(b)-i >= 8; i += 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			all |= x
			if found := stringEnds(x); found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		for i < len(b) && !endsString[b[i]] {
			all |= uint64(b[i])
			i++
		}
		if i < len(b) && b[i] == '"' {
			s.all |= all
			return i + 1, true
		}
		ok := false
		for i < len(b) && b[i] == '\\' { // seldom one by itself
			if i, ok = s.escape(i + 1); !ok {
				return i, false
			}
		}
		if !ok {
			return i, false
		}
	}
}

// escape is at what follows a backslash.
func (s *jsonScanner) escape(i int) (int, bool) {
	b := s.b
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, true
	case 'u':
		return i + 5, i+4 < len(b) && unhex[b[i+1]]|unhex[b[i+2]]|unhex[b[i+3]]|unhex[b[i+4]] <= 15
	}
	return i, false
}

const (
	ones = 0x0101010101010101 // one in each byte
	tops = ones << 7
)

// stringEnds returns the top bit of the first of eight bytes that is a quote, a backslash
// or a control character, maybe with bits above it. What is looked for becomes zero, or
// is less than a space, so that it has its top bit set when one, or a space, is taken
// away; a borrow can only spoil the bytes above one that was found.
func stringEnds(x uint64) uint64 {
	quote := x ^ '"'*ones
	slash := x ^ '\\'*ones
	return ((quote - ones) | (slash - ones) | (x - ' '*ones)) &^ x & tops
}

// endsString is the same for one byte.
var endsString = func() (set [256]bool) {
	for c := range byte(' ') {
		set[c] = true
	}
	set['"'], set['\\'] = true, true
	return set
}()

func (s *jsonScanner) literal(i int, word string) (int, bool) {
	if end := i + len(word); end <= len(s.b) && string(s.b[i:end]) == word {
		return end, true
	}
	return i, false
}

func (s *jsonScanner) number(i int) (int, bool) {
	b := s.b
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	if i = digits(b, i); i == start || b[start] == '0' && i > start+1 {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = digits(b, start); i == start {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = digits(b, start); i == start {
			return i, false
		}
	}
	return i, true
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}
