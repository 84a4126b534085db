package store

import "strconv"

// A Dialect is the kind of SQL that a database speaks.
type Dialect int

const (
	// PostgreSQL is PostgreSQL from version 12 on, in a database with the encoding
	// UTF8.
	PostgreSQL Dialect = iota + 1

	// SQLite is SQLite from version 3.35 on.
	SQLite

	// MySQL is MariaDB from version 10.6 on, and MySQL from 8.0.19 on.
	MySQL

	// ClickHouse is ClickHouse from version 18.16 on, which [OpenClickHouse] opens: it
	// is no database of [Open].
	ClickHouse
)

// String returns the name.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	case MySQL:
		return "MySQL"
	case ClickHouse:
		return "ClickHouse"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// maxDepth is how deep JSON may nest for the functions of the database. MariaDB looks
// 32 levels deep, MySQL 100, SQLite 1,000, and PostgreSQL as far as its stack goes.
func (d Dialect) maxDepth() int {
	if d == MySQL {
		return 30
	}
	return 512
}

// parameter returns the placeholder of the parameter n, from 1.
func (d Dialect) parameter(n int) string {
	if d == PostgreSQL {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// largest and smallest return the SQL of the larger and smaller of two values, of which
// NULL is none.
func (d Dialect) largest(a, b string) string { return d.extreme("GREATEST", "MAX", a, b) }

func (d Dialect) smallest(a, b string) string { return d.extreme("LEAST", "MIN", a, b) }

func (d Dialect) extreme(function, sqlite, a, b string) string {
	switch d {
	case PostgreSQL: // which leaves NULL out
		return function + "(" + a + ", " + b + ")"
	case SQLite:
		function = sqlite
	}
	return "COALESCE(" + function + "(" + a + ", " + b + "), " + a + ", " + b + ")"
}
