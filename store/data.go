package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/wire"
)

// dataOf returns the JSON that can be asked for parts of a body, or "" for NULL: a JSON
// body and that of a report as it is, of a form or else of a query an object of the
// first values, and of a ping its two pages.
//
// What some database would refuse is NULL. The lossless form beside it has everything.
func dataOf(e *beacon.Event, d Dialect) string {
	switch b := e.Body.(type) {
	case beacon.JSON:
		return queryable(string(b), d)
	case beacon.Report:
		return queryable(string(b.Body), d)
	case beacon.Form:
		return object(b)
	case beacon.Ping:
		return object(beacon.Form{{Name: "from", Value: b.From}, {Name: "to", Value: b.To}})
	case beacon.Empty:
		if len(e.Query) > 0 {
			return object(e.Query)
		}
	}
	return ""
}

// object returns the JSON object of the first values of a form, or "" if a name or a
// value is none that databases hold. Of a file it has the name.
func object(f beacon.Form) string {
	first := make(map[string]string, len(f))
	for i := range f {
		if _, ok := first[f[i].Name]; ok {
			continue
		}
		value := f[i].Value
		if f[i].File != nil {
			value = f[i].File.Name
		}
		if !storable(f[i].Name) || !storable(value) {
			return ""
		}
		first[f[i].Name] = value
	}
	text, err := json.Marshal(first)
	if err != nil {
		return ""
	}
	return string(text)
}

// queryable returns a valid JSON text if the functions of a database can read it, or
// else "". They refuse it as a whole for the character NUL, for half of a surrogate
// pair, for what is nested deeper than they look, and for numbers that they can't hold.
func queryable(text string, d Dialect) string {
	if !utf8.ValidString(text) || wire.CheckJSON([]byte(text), d.maxDepth()) != wire.JSONValid {
		return ""
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			if i = skipString(text, i+1); i < 0 {
				return ""
			}
		case c == '-' || '0' <= c && c <= '9':
			end := i
			for end < len(text) && strings.IndexByte("+-.eE0123456789", text[end]) >= 0 {
				end++
			}
			if !holds(text[i:end]) {
				return ""
			}
			i = end
		default:
			i++
		}
	}
	return text
}

// holds says whether every database holds a number: PostgreSQL as a decimal with all of
// its digits, others as a double.
func holds(number string) bool {
	const digits = 300
	i := strings.IndexByte(number, 'e')
	if i < 0 {
		i = strings.IndexByte(number, 'E')
	}
	if len(number) > digits || i < 0 {
		return len(number) <= digits
	}
	_, err := strconv.ParseFloat(number, 64)
	return err == nil && len(number)-i <= len("e-999") // of what is too close to 0 it makes 0
}

// skipString returns the position behind the string whose content begins at i, or -1 if
// no database holds it.
func skipString(text string, i int) int {
	for i < len(text) {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			if i+1 < len(text) && text[i+1] == 'u' {
				n, ok := unit(text, i)
				switch {
				case !ok || n == 0:
					return -1
				case 0xD800 <= n && n < 0xDC00:
					low, ok := unit(text, i+6)
					if !ok || low < 0xDC00 || low >= 0xE000 {
						return -1
					}
					i += 6
				case 0xDC00 <= n && n < 0xE000:
					return -1
				}
				i += 6
				continue
			}
			i += 2
		default:
			i++
		}
	}
	return -1
}

// unit reads the escape \uXXXX at i.
func unit(text string, i int) (n uint64, ok bool) {
	if i+6 > len(text) || text[i:i+2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(text[i+2:i+6], 16, 16)
	return n, err == nil
}
