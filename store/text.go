package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// What the columns hold, in bytes. The narrowest index is that of InnoDB, with 3,072
// bytes at up to four for a character; that of PostgreSQL takes 2,704.
const (
	maxKey  = 255
	maxText = 2048
)

// hashed is what the key of a text that no column could hold ends in, before 32
// hexadecimal digits.
const hashed = "\uFFFD#"

// columnKey returns the text that stands for s in a column which identifies something:
// s itself if it is UTF-8 without NUL and at most 255 bytes long, which what browsers
// and scripts make up is. Else it is what can be shown of the beginning, and a hash
// of the whole. Two texts never have the same, as far as SHA-256 can tell.
func columnKey(s string) string {
	if len(s) <= maxKey && storable(s) && !looksHashed(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return columnText(s, 64) + hashed + hex.EncodeToString(sum[:16])
}

// columnKeys returns what may stand for s in such a column: s may be a text of an event,
// or what a column has of one, as the Key of a session is. It is one, unless s looks like
// the latter.
func columnKeys(s string) []any {
	if looksHashed(s) && len(s) <= maxKey && storable(s) {
		return []any{s, columnKey(s)}
	}
	return []any{columnKey(s)}
}

// looksHashed says whether s might be the key of another text.
func looksHashed(s string) bool {
	const digits = 32
	return len(s) >= len(hashed)+digits && s[len(s)-digits-len(hashed):len(s)-digits] == hashed
}

// columnText returns s as a column of at most limit bytes can hold it: with U+FFFD for
// NUL and for what is not UTF-8, and cut at the end of a character.
func columnText(s string, limit int) string {
	if len(s) <= limit && storable(s) {
		return s
	}
	// Cut first: of a text of megabytes only the beginning is looked at.
	s = strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD")
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// storable says whether databases take s as text.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
