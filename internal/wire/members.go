package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
)

// Members walks over the members of a JSON object, in order, duplicates included.
// The text must be valid (see [CheckJSON]); of one that is not it returns nonsense,
// but no more than there is.
type Members struct {
	b     []byte
	i     int // at a key, or behind the last member
	items int // of the value that was returned last
}

// MembersOf returns the members of the object that b is; ok is false if it is none.
func MembersOf(b []byte) (m Members, ok bool) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return Members{}, false
	}
	return Members{b: b, i: i + 1}, true
}

// Next returns the next member, its value as it is written.
func (m *Members) Next() (key string, value []byte, ok bool) {
	b := m.b
	i := skipSpace(b, m.i)
	if i < len(b) && b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	if i >= len(b) || b[i] != '"' {
		return "", nil, false
	}
	end := skipString(b, i)
	key, _ = JSONString(b[i:end])
	i = skipSpace(b, end)
	if i < len(b) && b[i] == ':' {
		i = skipSpace(b, i+1)
	}
	m.i, m.items = skipValue(b, i)
	return key, b[i:m.i:m.i], true
}

// IsJSONNull says whether v is null, which the formats here do not tell from a
// member that is absent.
func IsJSONNull(v []byte) bool { return string(v) == "null" }

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the position behind the value at i, and how many items it has if it
// is an array or an object.
func skipValue(b []byte, i int) (end, items int) {
	if i >= len(b) {
		return i, 0
	}
	switch b[i] {
	case '"':
		return skipString(b, i), 0
	case '{', '[':
	default:
		for i++; i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']'; i++ {
		}
		return i, 0
	}
	if first := skipSpace(b, i+1); first < len(b) && b[first] != '}' && b[first] != ']' {
		items = 1
	}
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, items
			}
		case ',':
			if depth == 1 {
				items++
			}
		}
		i++
	}
	return i, items
}

// skipString returns the position behind the string at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		for ; len(b)-i >= 8; i += 8 {
			if found := stringEnds(binary.LittleEndian.Uint64(b[i:])); found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		for i < len(b) && !endsString[b[i]] {
			i++
		}
		if i >= len(b) {
			break
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// JSONString returns the string that the JSON text v is. It shares v unless that
// has escapes.
func JSONString(v []byte) (s string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return Text(v[1 : len(v)-1]), true
	}
	return unescapeJSON(v)
}

// unescapeJSON is apart, since its result is on the heap.
func unescapeJSON(v []byte) (s string, ok bool) {
	err := json.Unmarshal(v, &s)
	return s, err == nil
}

// JSONFloat returns the number that the JSON text v is.
func JSONFloat(v []byte) (float64, bool) {
	if n, ok := smallInt(v); ok {
		return float64(n), true
	}
	if !isJSONNumber(v) {
		return 0, false
	}
	f, err := strconv.ParseFloat(Text(v), 64)
	return f, err == nil
}

// JSONUint returns the number that the JSON text v is, written without a fraction
// or an exponent.
func JSONUint(v []byte) (uint64, bool) {
	if n, ok := smallInt(v); ok {
		return n, true
	}
	if !isJSONNumber(v) {
		return 0, false
	}
	n, err := strconv.ParseUint(Text(v), 10, 64)
	return n, err == nil
}

// smallInt reads what nearly all numbers are that clients write: times in milliseconds
// and positions, which a float64 holds too.
func smallInt(v []byte) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 15 {
		return 0, false
	}
	for _, c := range v {
		if c-'0' > 9 {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

func isJSONNumber(v []byte) bool { return len(v) > 0 && (v[0] == '-' || v[0]-'0' < 10) }
