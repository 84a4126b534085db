package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Members walks over the members of a JSON object, in order, duplicates included.
// The text must be valid (see [CheckJSON]); of one that is not it returns nonsense,
// but no more than there is.
type Members struct {
	b []byte
	i int // at a key, or behind the last member
}

// MembersOf returns the members of the object that b is; ok is false if it is none.
func MembersOf(b []byte) (m Members, ok bool) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return Members{}, false
	}
	return Members{b, i + 1}, true
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
	end := i + 1
	for end < len(b) && b[end] != '"' && b[end] != '\\' {
		end++
	}
	if end < len(b) && b[end] == '"' {
		key = Text(b[i+1 : end])
		end++
	} else { // with an escape
		end = skipValue(b, i)
		key, _ = JSONString(b[i:end])
	}
	i = skipSpace(b, end)
	if i < len(b) && b[i] == ':' {
		i = skipSpace(b, i+1)
	}
	m.i = skipValue(b, i)
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

// skipValue returns the position behind the value at i.
func skipValue(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			i = min(i+1, len(b))
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ' ', '\n', '\r', '\t', ',', ':':
			i++
			continue
		default:
			for i++; i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']'; i++ {
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return i
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
	if !isJSONNumber(v) {
		return 0, false
	}
	f, err := strconv.ParseFloat(Text(v), 64)
	return f, err == nil
}

// JSONUint returns the number that the JSON text v is, written without a fraction
// or an exponent.
func JSONUint(v []byte) (uint64, bool) {
	if !isJSONNumber(v) {
		return 0, false
	}
	n, err := strconv.ParseUint(Text(v), 10, 64)
	return n, err == nil
}

func isJSONNumber(v []byte) bool { return len(v) > 0 && (v[0] == '-' || v[0]-'0' < 10) }
