package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// PostgreSQL takes a column of all rows as one parameter: the statement is the same for
// any number of rows, so it is planned once. The parameters are texts, which every
// driver knows how to send, in the form in which the server writes arrays.

// arrays returns the parameters as arrays.
func (st *statement) arrays() string {
	var list []string
	for i, c := range st.columns {
		kind := "text"
		switch c.kind {
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

func (st *statement) runArrays(ctx context.Context, tx *sql.Tx, n int, fill func(int, *cells)) error {
	columns := make([]array, len(st.columns))
	for i := range columns {
		columns[i].b = append(columns[i].b, '{')
	}
	at := 0
	next := func() *array {
		a := &columns[at%len(columns)]
		at++
		return a
	}
	c := &cells{
		text:   func(s string) { next().text(s) },
		number: func(x int64) { next().number(x) },
		null:   func() { next().null() },
	}
	for i := range n {
		fill(i, c)
	}
	args := make([]any, len(columns))
	for i := range columns {
		args[i] = columns[i].String()
	}
	_, err := tx.ExecContext(ctx, st.head+st.tail, args...)
	return err
}

// An array is the text form of one, without its end.
type array struct{ b []byte }

// text appends a text. It is always quoted: NULL and the empty one are texts, too.
func (a *array) text(s string) {
	a.comma()
	a.b = append(a.b, '"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		a.b = append(a.b, s[:i]...)
		a.b = append(a.b, '\\', s[i])
		s = s[i+1:]
	}
	a.b = append(a.b, s...)
	a.b = append(a.b, '"')
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

func (a *array) String() string { return string(append(a.b, '}')) }
