package stores_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// storedKey is what a column has for an ID, session, view, series or attribute, as the
// documentation says it.
func storedKey(s string) string {
	i := len(s) - len("\uFFFD#") - 32 // of another text's hash, if it looks like one
	if len(s) <= 255 && utf8.ValidString(s) && !strings.Contains(s, "\x00") && (i < 0 || !strings.HasPrefix(s[i:], "\uFFFD#")) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return storedText(s, 64) + "\uFFFD#" + hex.EncodeToString(sum[:])[:32]
}

// storedText is what a column has for other text.
func storedText(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > limit {
		for !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return s
}
