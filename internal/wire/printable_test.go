package wire

import (
	"strconv"
	"testing"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"":                              "",
		"plain, ü, 日本, 👍, \\ and \"":    "plain, ü, 日本, 👍, \\ and \"",
		"a\nb\tc":                       "a\nb\tc",
		"\x1b[31m\r\x00\x7f":            `\x1b[31m\r\x00\x7f`,
		"\u009b2Jx":                     `\u009b2Jx`,
		"\xff\x9b":                      `\xff\x9b`,
		"\u202eexe.\u2066x\u2028\ufeff": `\u202eexe.\u2066x\u2028\ufeff`,
		"\ufffd stands for itself":      "\ufffd stands for itself",
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
	for r := range rune(0x3000) {
		if got := Printable(string(r)); r != '\n' && r != '\t' && !strconv.IsPrint(r) && got == string(r) {
			t.Errorf("%U stays", r)
		}
	}
}
