package store

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestColumnText(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 5, ""},
		{"abcde", 5, "abcde"},
		{"abcdef", 5, "abcde"},
		{"a\x00b", 5, "a\uFFFDb"},
		{"a\xffb", 5, "a\uFFFDb"},
		{"abcd\xff", 5, "abcd"},
		{"abcä", 5, "abcä"},
		{"abcdä", 5, "abcd"},
		{"abc\U0001F600", 6, "abc"},
		{"abc\U0001F600", 7, "abc\U0001F600"},
		{"\x00\x00\x00", 5, "\uFFFD"},
		{strings.Repeat("\U0001F600", 1000), 9, "\U0001F600\U0001F600"},
	} {
		if got := columnText(c.text, c.limit); got != c.want {
			t.Errorf("columnText(%.20q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

// FuzzColumnKey: a key is what a column holds, is its own only if it is no hash, and is
// never that of another text.
func FuzzColumnKey(f *testing.F) {
	f.Add("a", "a ")
	f.Add("\x00", "\uFFFD")
	f.Add("\xff", "\xfe")
	f.Add(strings.Repeat("k", 255), strings.Repeat("k", 256))
	f.Add(columnKey("\x00"), "\x00")
	f.Add(columnKey(columnKey("\x00")), columnKey("\x00"))
	f.Fuzz(func(t *testing.T, a, b string) {
		keyA, keyB := columnKey(a), columnKey(b)
		if len(keyA) > maxKey || !utf8.ValidString(keyA) || strings.Contains(keyA, "\x00") {
			t.Errorf("%q: no column holds %q", a, keyA)
		}
		if (a == b) != (keyA == keyB) {
			t.Errorf("%q and %q: %q and %q", a, b, keyA, keyB)
		}
		if keyA != a && !looksHashed(keyA) {
			t.Errorf("%q: %q is no hash", a, keyA)
		}
	})
}
