package beacon

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// closeList ends an object or array whose members have a comma each.
func closeList(b []byte, end byte) []byte {
	if last := len(b) - 1; b[last] == ',' {
		b[last] = end
		return b
	}
	return append(b, end)
}

// appendMember appends a string and its key, unless it is empty.
func appendMember(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, key...)
	b = appendString(b, s)
	return append(b, ',')
}

func appendFlag(b []byte, member string, set bool) []byte {
	if set {
		b = append(b, member...)
	}
	return b
}

func appendTime(b []byte, key string, t time.Time) ([]byte, error) {
	if t.IsZero() {
		return b, nil
	}
	b = append(b, key...)
	b = append(b, '"')
	b, err := t.AppendText(b)
	if err != nil {
		_, err = json.Marshal(t) // the same in the words of encoding/json
		return nil, err
	}
	return append(b, '"', ','), nil
}

func appendRequest(b []byte, r *Request) []byte {
	start := len(b)
	b = append(b, `"request":{`...)
	empty := len(b)
	b = appendMember(b, `"method":`, r.Method)
	b = appendMember(b, `"host":`, r.Host)
	b = appendMember(b, `"path":`, r.Path)
	b = appendMember(b, `"content_type":`, r.ContentType)
	b = appendMember(b, `"encoding":`, r.Encoding)
	b = appendMember(b, `"origin":`, r.Origin)
	b = appendMember(b, `"user_agent":`, r.UserAgent)
	b = appendMember(b, `"fetch_site":`, r.FetchSite)
	b = appendMember(b, `"fetch_mode":`, r.FetchMode)
	b = appendMember(b, `"fetch_dest":`, r.FetchDest)
	b = appendMember(b, `"purpose":`, r.Purpose)
	if r.ClientIP != (netip.Addr{}) {
		b = append(b, `"client_ip":`...)
		b = appendAddr(b, r.ClientIP)
		b = append(b, ',')
	}
	b = appendFlag(b, `"tls":true,`, r.TLS)
	if len(b) == empty {
		return b[:start]
	}
	return append(closeList(b, '}'), ',')
}

// appendAddr appends an address. A zone is any text; encoding/json knows best what
// it does with that.
func appendAddr(b []byte, ip netip.Addr) []byte {
	if ip.Zone() != "" {
		text, _ := json.Marshal(ip) // an address always marshals
		return append(b, text...)
	}
	b = append(b, '"')
	b = ip.AppendTo(b)
	return append(b, '"')
}

func appendBody(b []byte, body Body) []byte {
	switch x := body.(type) {
	case Empty:
		return append(b, `{"kind":"empty"}`...)
	case Text:
		b = append(b, `{"kind":"text",`...)
		b = appendMember(b, `"text":`, string(x))
	case JSON:
		b = append(b, `{"kind":"json",`...)
		b = appendRawJSON(b, x)
	case Form:
		b = append(b, `{"kind":"form","fields":`...)
		b = appendForm(b, x)
	case Binary:
		b = append(b, `{"kind":"binary",`...)
		b = appendMember(b, `"type":`, x.Type)
		if x.Data != nil {
			b = append(b, `"data":`...)
			b = appendBase64(b, x.Data)
		}
	case Ping:
		b = append(b, `{"kind":"ping",`...)
		b = appendMember(b, `"from":`, x.From)
		b = appendMember(b, `"to":`, x.To)
	case Report:
		b = append(b, `{"kind":"report",`...)
		b = appendRawJSON(b, x.Body)
		b = appendMember(b, `"type":`, x.Type)
		b = appendMember(b, `"url":`, x.URL)
		b = appendMember(b, `"user_agent":`, x.UserAgent)
		if x.Age != 0 {
			b = append(b, `"age_ns":`...)
			b = strconv.AppendInt(b, int64(x.Age), 10)
		}
	default: // a pointer to one of them, or a type that embeds one
		kind, _ := json.Marshal(body.Kind()) // a string always marshals
		b = append(b, `{"kind":`...)
		b = append(b, kind...)
	}
	return closeList(b, '}')
}

// appendForm keeps nil and empty apart: a request without a query is not one with
// an empty query.
func appendForm(b []byte, f Form) []byte {
	if f == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range f {
		x := &f[i]
		b = append(b, `{"name":`...)
		b = appendString(b, x.Name)
		b = append(b, ',')
		b = appendMember(b, `"value":`, x.Value)
		if x.File != nil {
			b = append(b, `"file":{"name":`...)
			b = appendString(b, x.File.Name)
			b = append(b, ',')
			b = appendMember(b, `"type":`, x.File.Type)
			b = append(b, `"data":`...)
			b = appendBase64(b, x.File.Data)
			b = append(b, '}')
		}
		b = append(closeList(b, '}'), ',')
	}
	return closeList(b, ']')
}

func appendAttrs(b []byte, attrs map[string]string) []byte {
	var few [16]string
	names := few[:0]
	for name := range attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '[')
	for _, name := range names {
		b = append(b, `{"name":`...)
		b = appendString(b, name)
		b = append(b, ',')
		b = appendMember(b, `"value":`, attrs[name])
		b = append(closeList(b, '}'), ',')
	}
	return closeList(b, ']')
}

func appendErrors(b []byte, errs []FieldError) []byte {
	b = append(b, '[')
	for i := range errs {
		b = append(b, '{')
		b = appendMember(b, `"key":`, errs[i].Key)
		b = appendMember(b, `"value":`, errs[i].Value)
		b = appendMember(b, `"reason":`, errs[i].Reason)
		b = append(closeList(b, '}'), ',')
	}
	return closeList(b, ']')
}

func appendBase64(b, data []byte) []byte {
	if data == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// appendString appends a string of any bytes: a JSON string, or {"base64": "…"}
// where that would change it.
func appendString(b []byte, s string) []byte {
	return appendText(b, []byte(s)) // not a copy: nothing there writes to it
}

func appendText(b, s []byte) []byte {
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
	const ones = 0x0101010101010101
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

// maxJSONDepth is the nesting of a body up to which the whole event, which is two
// levels deeper, is JSON to encoding/json.
const maxJSONDepth = 9998

// appendRawJSON appends raw as a JSON value if it is one, and its exact bytes too
// if an encoder would write that value differently.
func appendRawJSON(b []byte, raw []byte) []byte {
	if raw == nil {
		return b
	}
	if plainJSON(raw) {
		b = append(b, `"json":`...)
		b = append(b, raw...)
		return append(b, ',')
	}
	if checkJSON(raw, maxJSONDepth) == jsonValid {
		b = append(b, `"json":`...)
		start := len(b)
		b = appendCompact(b, raw)
		same := bytes.Equal(b[start:], raw) && string(raw) != "null"
		b = append(b, ',')
		if same {
			return b
		}
	}
	b = append(b, `"raw":`...)
	b = appendText(b, raw)
	return append(b, ',')
}

// appendCompact appends a valid JSON text without its white space and with what
// encoding/json escapes.
func appendCompact(b, raw []byte) []byte {
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

// plainJSON says whether b is one JSON text that every encoder would leave as it
// is: valid, without white space, without anything that HTML or JavaScript would
// take for their own, and not null, which decoders take for nothing. It says no to
// a text that nests deeper than it can remember.
//
// Most JSON bodies are what JSON.stringify made, and this is all that they cost.
func plainJSON(b []byte) bool {
	s := jsonScanner{b: b}
	i, depth := 0, 0
	var objects uint64 // a bit for each open bracket, the innermost lowest: whether it is a brace
	key := false       // what comes next is a key
next:
	for {
		ok := true
		if key {
			if i, ok = s.plainString(i); !ok || i >= len(b) || b[i] != ':' {
				return false
			}
			i++
		}
		if i >= len(b) {
			return false
		}
		switch c := b[i]; c {
		case '"':
			i, ok = s.plainString(i)
		case '{', '[':
			if depth == 64 {
				return false
			}
			depth++
			objects <<= 1
			if key = c == '{'; key {
				objects |= 1
			}
			if i++; i < len(b) && b[i] != c+2 { // the bracket that closes it
				continue next
			}
		case 't':
			i, ok = s.literal(i, "true")
		case 'f':
			i, ok = s.literal(i, "false")
		case 'n':
			i, ok = s.literal(i, "null")
			ok = ok && depth > 0
		default:
			i, ok = s.number(i)
		}
		if !ok {
			return false
		}
		for ; depth > 0; depth-- {
			if i >= len(b) {
				return false
			}
			key = objects&1 == 1
			switch c := b[i]; {
			case c == ',':
				i++
				continue next
			case c == '}' && key, c == ']' && !key:
				i++
				objects >>= 1
			default:
				return false
			}
		}
		return i == len(b) && (!s.wide || utf8.Valid(b))
	}
}

// plainString is str, but refuses what encoders would escape.
func (s *jsonScanner) plainString(i int) (int, bool) {
	if i >= len(s.b) || s.b[i] != '"' {
		return i, false
	}
	end := i + 1
	for end < len(s.b) && plain[s.b[end]] { // most are too short for plainLen
		end++
	}
	if end < len(s.b) && s.b[end] == '"' {
		return end + 1, true
	}
	end, ok := s.str(i)
	for ; i < end; i++ {
		switch s.b[i] {
		case '<', '>', '&':
			return i, false
		case 0xE2:
			if isLineSeparator(s.b, i) {
				return i, false
			}
		}
	}
	return end, ok
}
