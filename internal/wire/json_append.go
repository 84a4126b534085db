package wire

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// CloseList ends an object or array whose members have a comma each.
func CloseList(b []byte, end byte) []byte {
	if last := len(b) - 1; b[last] == ',' {
		b[last] = end
		return b
	}
	return append(b, end)
}

// AppendString appends a string of any bytes: a JSON string, or {"base64": "…"}
// where that would change it.
func AppendString(b []byte, s string) []byte {
	return AppendText(b, []byte(s)) // not a copy: nothing there writes to it
}

// AppendMember appends a member of an object and a comma. The key is as it is written,
// with its quotes, its colon and the quote behind that.
func AppendMember(b []byte, key, s string) []byte {
	if plainLen([]byte(s)) < len(s) {
		b = AppendString(append(b, key[:len(key)-1]...), s)
		return append(b, ',')
	}
	b = append(append(b, key...), s...)
	return append(b, '"', ',')
}

func AppendText(b, s []byte) []byte {
	n := plainLen(s)
	if n < len(s) && !utf8.Valid(s[n:]) {
		b = append(b, `{"base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, s)
		return append(b, `"}`...)
	}
	b = append(b, '"')
	b = append(b, s[:n]...)
	if n < len(s) {
		b = appendEscaped(b, s[n:])
	}
	return append(b, '"')
}

// appendEscaped appends the inside of a JSON string with what encoding/json
// escapes, which is also what HTML and JavaScript would take for their own.
func appendEscaped(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	start := 0 // of what is not appended yet and stays as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if !isLineSeparator(s, i) {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hex[s[i+2]&0xF])
			i += 3
			start = i
			continue
		}
		if n := plainLen(s[i:]); n > 0 {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
		}
		i++
		start = i
	}
	return append(b, s[start:]...)
}

// isLineSeparator says whether U+2028 or U+2029, which end a line in JavaScript,
// is at s[i].
func isLineSeparator(s []byte, i int) bool {
	return s[i] == 0xE2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2]&^1 == 0xA8
}

// plainLen returns how many bytes at the start of s are ASCII and stand for
// themselves in a JSON string, also where encoders care for HTML.
func plainLen(s []byte) int {
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		// Eight at a time: what is looked for becomes zero, and less one it has
		// its top bit set, as bytes beyond ASCII have in one difference or another.
		// A borrow can only spoil the bytes above one that was found.
		x := binary.LittleEndian.Uint64(s[i:])
		angle := x&^(ones<<1) ^ '<'*ones // or '>'
		quote := x&^(ones<<2) ^ '"'*ones // or '&'
		slash := x ^ '\\'*ones
		found := ((x - ' '*ones) | (angle - ones) | (quote - ones) | (slash - ones)) & (ones << 7)
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if !plain[s[i]] {
			break
		}
	}
	return i
}

var plain = func() (set [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		set[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return set
}()

// AppendCompactJSON appends a valid JSON text without its white space and with what
// encoding/json escapes.
func AppendCompactJSON(b, raw []byte) []byte {
	start := 0
	inString := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			inString = !inString
		case '\\':
			i++
		case '<', '>', '&':
			b = append(b, raw[start:i]...)
			b = appendEscaped(b, raw[i:i+1])
			start = i + 1
		case ' ', '\t', '\r', '\n':
			if !inString {
				b = append(b, raw[start:i]...)
				start = i + 1
			}
		case 0xE2:
			if isLineSeparator(raw, i) {
				b = append(b, raw[start:i]...)
				b = appendEscaped(b, raw[i:i+3])
				start = i + 3
			}
		}
	}
	return append(b, raw[start:]...)
}
