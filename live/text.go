package live

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const longID = 120 // bytes of an id that are kept

// shortID returns an id that is as good as one that is long or no text, such as a sum that
// a host takes for a key, and then shares no memory with it. As JSON it stays what it is.
func shortID(s string) string {
	if len(s) <= longID && utf8.ValidString(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return cutTo(s, longID-30) + "…" + hex.EncodeToString(sum[:8])
}

// cutTo returns a copy of the first n bytes of s, or a few less, where it is longer. It is
// valid UTF-8: what was not is U+FFFD.
func cutTo(s string, n int) string {
	cut := len(s) > n
	if cut {
		for i := 0; i < utf8.UTFMax && n > 0 && !utf8.RuneStart(s[n]); i++ {
			n--
		}
		s = s[:n]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	} else {
		s = strings.Clone(s)
	}
	if cut {
		s += "…"
	}
	return s
}
