package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// safe returns a writer to w that a terminal may stand behind.
func (c *call) safe(w io.Writer) io.Writer {
	if c.escape == "always" || c.escape == "auto" && isTerminal(w) {
		return &escaper{w: w}
	}
	return w
}

// isTerminal says whether w may be a terminal. It is more than a terminal that is a
// character device, but then escapes do no harm.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// An escaper writes what is not printable as JSON strings do.
type escaper struct {
	w    io.Writer
	part []byte // of a character, whose rest comes with the next Write
}

func (e *escaper) Write(b []byte) (int, error) {
	text := append(e.part, b...)
	end := len(text)
	for i := end - 1; i >= 0 && i >= end-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				end = i
			}
			break
		}
	}
	e.part = bytes.Clone(text[end:])
	if _, err := e.w.Write(escape(text[:end])); err != nil {
		return 0, err
	}
	return len(b), nil
}

// escape keeps line ends, which are the tool's own: in JSON and in one line of an error
// there are none.
func escape(b []byte) []byte {
	if i := bytes.IndexFunc(b, unsafeToPrint); i < 0 && utf8.Valid(b) {
		return b
	}
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case !unsafeToPrint(r) && (r != utf8.RuneError || n > 1):
			out = append(out, b[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}

func unsafeToPrint(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// oneLine makes one line of a text with parts that are not the tool's own.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }
