package store

import "strings"

// SQLite and MySQL take rows as lists of values.

// insertValues returns what stands before that list.
func (st *statement) insertValues() string {
	var names []string
	for _, c := range st.columns {
		names = append(names, c.name)
	}
	table := st.table
	if st.dialect == SQLite {
		table += " AS t"
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ")\n"
}

// values returns the list of n rows.
func (st *statement) values(n int) string {
	row := "(" + strings.Repeat("?, ", len(st.columns)-1) + "?)"
	return "VALUES " + strings.Repeat(row+", ", n-1) + row
}

// valueArgs returns the parameters of n rows.
func (st *statement) valueArgs(n int, fill func(i int, c *cells)) []any {
	args := make([]any, 0, n*len(st.columns))
	c := &cells{
		text: func(s string) { args = append(args, s) },
		long: func(b []byte) { args = append(args, string(b)) },
		data: func(s string) {
			if s != "" {
				args = append(args, s)
			} else {
				args = append(args, nil)
			}
		},
		number: func(x int64) { args = append(args, x) },
		null:   func() { args = append(args, nil) },
	}
	for i := range n {
		fill(i, c)
	}
	return args
}
