package store

import (
	"context"
	"database/sql"
	"strings"
)

// SQLite and MySQL take rows as lists of values. Both bound how many parameters a
// statement has, 32,766 and 65,535, and MySQL how many bytes.

// chunkRows is how many rows one statement inserts at most.
const chunkRows = 200

func (st *statement) runValues(ctx context.Context, tx *sql.Tx, n int, fill func(int, *cells)) error {
	row := "(" + strings.Repeat("?, ", len(st.columns)-1) + "?)"
	args := make([]any, 0, min(n, chunkRows)*len(st.columns))
	size := 0 // about, in bytes
	text := func(s string) { args = append(args, s); size += len(s) + 8 }
	c := &cells{
		text: text,
		long: func(b []byte) { text(string(b)) },
		data: func(s string) {
			if s != "" {
				text(s)
			} else {
				args = append(args, nil)
			}
		},
		number: func(x int64) { args = append(args, x); size += 12 },
		null:   func() { args = append(args, nil); size += 4 },
	}
	exec := func(args []any) error {
		rows := len(args) / len(st.columns)
		query := st.head + "VALUES " + strings.Repeat(row+", ", rows-1) + row + st.tail
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
	for i := range n {
		before, bytes := len(args), size
		fill(i, c)
		if st.limit > 0 && before > 0 && size > st.limit {
			if err := exec(args[:before]); err != nil {
				return err
			}
			args, size = append(args[:0], args[before:]...), size-bytes
			before = 0
		}
		if len(args) >= chunkRows*len(st.columns) || i == n-1 {
			if err := exec(args); err != nil {
				return err
			}
			args, size = args[:0], 0
		}
	}
	return nil
}
