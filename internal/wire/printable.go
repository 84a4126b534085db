package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable returns s with what does not print escaped as Go does, line breaks and tabs
// apart: a terminal obeys control characters, those of U+0080 to U+009F too, and a
// reader is fooled by what turns the direction of text. Those who write logs for JSON
// escape no more than JSON wants.
func Printable(s string) string {
	begun := 0 // of what is not written yet
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !(r == utf8.RuneError && size == 1) && (r == '\n' || r == '\t' || strconv.IsPrint(r)) {
			i += size
			continue
		}
		quoted := strconv.Quote(s[i : i+size])
		out.WriteString(s[begun:i])
		out.WriteString(quoted[1 : len(quoted)-1])
		i += size
		begun = i
	}
	if begun == 0 {
		return s
	}
	out.WriteString(s[begun:])
	return out.String()
}
