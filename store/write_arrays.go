package store

import (
	"fmt"
	"strconv"
	"strings"
)

// PostgreSQL takes a column of all rows as one parameter: the statement is the same for
// any number of rows, so it is planned once. The parameters are texts, which every
// driver knows how to send, in the form in which the server writes arrays. JSON is long
// and full of quotes, which would have to be escaped there; it comes with a character
// between that JSON never has, which the server takes apart in a third of the time.

// separator is what stands between JSON texts.
const separator = '\x1e'

// arrays returns the parameters as arrays.
func (st *statement) arrays() string {
	var list []string
	for i, c := range st.columns {
		kind := "text"
		switch c.kind {
		case longType, jsonType: // where empty is NULL, and so is what is missing at the end
			list = append(list, fmt.Sprintf(`string_to_array($%d::text, E'\x1e', '')`, i+1))
			continue
		case integerType, timeType:
			kind = "bigint"
		case flagType:
			kind = "smallint"
		}
		list = append(list, fmt.Sprintf("$%d::text::%s[]", i+1, kind))
	}
	return strings.Join(list, ", ")
}

// selected returns the columns of the rows, as the table has them.
func (st *statement) selected() string {
	var list []string
	for _, c := range st.columns {
		if c.kind == jsonType {
			list = append(list, "r."+c.name+"::jsonb")
		} else {
			list = append(list, "r."+c.name)
		}
	}
	return strings.Join(list, ", ")
}

// arrayArgs returns the parameters of n rows that have so many bytes.
func (st *statement) arrayArgs(n, bytes int, fill func(i int, c *cells)) []any {
	columns := make([]array, len(st.columns))
	for i, c := range st.columns {
		size := 40 * n
		if c.kind == longType {
			size = bytes
		}
		columns[i].b = append(make([]byte, 0, size), '{')
	}
	at := 0
	next := func() *array {
		a := &columns[at%len(columns)]
		at++
		return a
	}
	c := &cells{
		text:   func(s string) { next().text(s) },
		long:   func(b []byte) { a := next(); a.b = append(append(a.b, b...), separator) },
		data:   func(s string) { a := next(); a.b = append(append(a.b, s...), separator) },
		number: func(x int64) { next().number(x) },
		null:   func() { next().null() },
	}
	for i := range n {
		fill(i, c)
	}
	args := make([]any, len(columns))
	for i := range columns {
		b := columns[i].b
		switch st.columns[i].kind {
		case longType, jsonType:
			args[i] = string(b[1 : len(b)-1])
		default:
			args[i] = string(append(b, '}'))
		}
	}
	return args
}

// An array is the text form of one, without its end.
type array struct{ b []byte }

// text appends a text. It is always quoted: NULL and the empty one are texts, too.
func (a *array) text(s string) {
	a.comma()
	a.b = append(a.b, '"')
	from := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			a.b = append(append(a.b, s[from:i]...), '\\')
			from = i
		}
	}
	a.b = append(append(a.b, s[from:]...), '"')
}

func (a *array) number(x int64) {
	a.comma()
	a.b = strconv.AppendInt(a.b, x, 10)
}

func (a *array) null() {
	a.comma()
	a.b = append(a.b, "NULL"...)
}

func (a *array) comma() {
	if len(a.b) > 1 {
		a.b = append(a.b, ',')
	}
}
