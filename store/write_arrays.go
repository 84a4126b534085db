package store

import (
	"fmt"
	"strconv"
	"strings"
)

// PostgreSQL takes a column of all rows as one parameter: the statement is the same for
// any number of rows, so it is planned once. The parameters are texts, which every
// driver knows how to send. A column of texts has a character between them that texts do
// not have, and JSON never: the server takes that apart in a third of the time that its
// own text form of an array takes, in which quotes are escaped. It is for what has that
// character.

// separator is what stands between texts.
const separator = '\x1e'

// split is the SQL that makes an array of such a column.
const split = `string_to_array($%d::text, E'\x1e')`

// arrays returns the parameters as arrays. With escaped, texts are arrays already.
func (st *statement) arrays(escaped bool) string {
	var list []string
	for i, c := range st.columns {
		form := "$%d::text::bigint[]"
		switch {
		case c.kind == flagType:
			form = "$%d::text::smallint[]"
		case c.kind == jsonType: // where empty is NULL, and so is what is missing at the end
			form = strings.Replace(split, ")", ", '')", 1)
		case c.isText() && escaped && c.kind != longType:
			form = "$%d::text::text[]"
		case c.isText():
			form = split
		}
		list = append(list, fmt.Sprintf(form, i+1))
	}
	return strings.Join(list, ", ")
}

// isText says whether the column has texts.
func (c column) isText() bool {
	switch c.kind {
	case integerType, timeType, flagType:
		return false
	}
	return true
}

// selectArrays returns what stands before ON CONFLICT.
func (st *statement) selectArrays(escaped bool) string {
	var names, values []string
	for _, c := range st.columns {
		names = append(names, c.name)
		value := "r." + c.name
		if c.kind == jsonType {
			value += "::jsonb"
		}
		values = append(values, value)
	}
	list := strings.Join(names, ", ")
	return fmt.Sprintf("INSERT INTO %s AS t (%s)\nSELECT %s FROM unnest(%s) AS r(%s)",
		st.table, list, strings.Join(values, ", "), st.arrays(escaped), list)
}

// arrayArgs returns the statement and the parameters for n rows that have so many bytes.
func (st *statement) arrayArgs(n, bytes int, fill func(i int, c *cells)) (query string, args []any) {
	// Of one text that is empty the server would make an array of none.
	if args, ok := st.arrayCells(n, bytes, n == 1, fill); ok {
		return st.head[n == 1], args
	}
	args, _ = st.arrayCells(n, bytes, true, fill)
	return st.head[true], args
}

// arrayCells returns the parameters. ok is false if they can't be without escapes.
func (st *statement) arrayCells(n, bytes int, escaped bool, fill func(i int, c *cells)) (args []any, ok bool) {
	columns := make([]strings.Builder, len(st.columns))
	for i, c := range st.columns {
		if c.kind == longType {
			columns[i].Grow(bytes)
		} else {
			columns[i].Grow(64 * n)
		}
		if !c.isText() || escaped && c.kind != longType && c.kind != jsonType {
			columns[i].WriteByte('{')
		}
	}
	at, row := 0, 0
	next := func(comma byte) *strings.Builder {
		b := &columns[at]
		if at++; at == len(columns) {
			at = 0
		}
		if row > 0 {
			b.WriteByte(comma)
		}
		return b
	}
	ok = true
	var digits [20]byte
	c := &cells{
		text: func(s string) {
			if escaped {
				writeQuoted(next(','), s)
				return
			}
			ok = ok && strings.IndexByte(s, separator) < 0
			next(separator).WriteString(s)
		},
		long:   func(b []byte) { next(separator).Write(b) },
		data:   func(s string) { next(separator).WriteString(s) },
		number: func(x int64) { next(',').Write(strconv.AppendInt(digits[:0], x, 10)) },
		null:   func() { next(',').WriteString("NULL") },
	}
	for row = range n {
		fill(row, c)
	}
	args = make([]any, len(columns))
	for i, c := range st.columns {
		if !c.isText() || escaped && c.kind != longType && c.kind != jsonType {
			columns[i].WriteByte('}')
		}
		args[i] = columns[i].String()
	}
	return args, ok
}

// writeQuoted writes a text as an array has it. It is always quoted: NULL and the empty
// one are texts, too.
func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	from := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteString(s[from:i])
			b.WriteByte('\\')
			from = i
		}
	}
	b.WriteString(s[from:])
	b.WriteByte('"')
}
