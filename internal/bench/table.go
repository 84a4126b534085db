package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A table is written as Markdown, row by row as it comes.
type table struct {
	w   io.Writer
	err error
}

// table begins one. The first column is text, and so is the second if it is a handler.
func (r *report) table(title string, columns ...string) *table {
	t := &table{w: r.Writer}
	t.printf("### %s\n\n", title)
	t.row(columns...)
	t.row(strings.Split(strings.Repeat("---|", len(columns)), "|")[:len(columns)]...)
	return t
}

func (t *table) row(cells ...string) { t.printf("| %s |\n", strings.Join(cells, " | ")) }

func (t *table) end() error {
	t.printf("\n")
	return t.err
}

func (t *table) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

// ns writes a number with its thousands apart.
func ns(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
