package store

import (
	"fmt"
	"strings"
)

// The tables. Times and durations are microseconds, times since the epoch; flags are 0
// or 1; texts compare byte by byte, since the larger one breaks ties.

// eventColumns are the columns of the events, in the order in which rows are written.
var eventColumns = []column{
	{"id", keyType}, {"received", integerType}, {"time", integerType}, {"name", textType}, {"kind", wordType},
	{"page", textType}, {"session", keyType}, {"view", keyType}, {"series", keyType}, {"seq", integerType},
	{"mode", wordType}, {"verified", flagType}, {"data", jsonType}, {"event", longType},
}

// viewColumns are those of the page views.
var viewColumns = []column{
	{"session", keyType}, {"view", keyType}, {"page", textType}, {"referrer", textType}, {"name", textType},
	{"started", timeType}, {"ended", timeType}, {"visible", integerType}, {"engaged", integerType}, {"unseen", flagType},
	{"seq", integerType}, {"clock_offset", timeType}, {"logged", integerType},
	{"crashed", flagType}, {"activity", flagType}, {"heard", integerType},
}

// attrColumns are those of the attributes.
var attrColumns = []column{{"name", keyType}, {"value", keyType}, {"id", keyType}}

// A column has a name, which no database takes for a word of its own, and a type.
type column struct {
	name string
	kind columnType
}

type columnType int

const (
	keyType     columnType = iota // at most maxKey bytes
	textType                      // at most maxText bytes
	wordType                      // at most 16 bytes
	longType                      // of any length
	jsonType                      // or NULL
	integerType                   // 64 bits
	timeType                      // integerType or NULL
	flagType                      // 0 or 1
)

// migrations are what brings the tables from a version to the next: the first makes
// them. A version that was released never changes. Where a database commits each of
// its statements by itself, they are such that they can be done again.
func (s *Store) migrations() [][]string {
	return [][]string{
		s.createTables(),
	}
}

func (s *Store) createTables() []string {
	return []string{
		s.createTable("events", eventColumns, "id"),
		s.createIndex("events", "events_received", "received", "id"),
		s.createIndex("events", "events_session", "session", "received"),
		s.createTable("page_views", viewColumns, "session", "view"),
		s.createIndex("page_views", "page_views_heard", "heard", "started", "clock_offset", "session"),
		s.createTable("attrs", attrColumns, "name", "value", "id"),
		s.createIndex("attrs", "attrs_id", "id"),
	}
}

func (s *Store) createTable(name string, columns []column, key ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", s.table(name))
	for _, c := range columns {
		fmt.Fprintf(&b, "\t%s %s,\n", c.name, s.columnType(c.kind))
	}
	fmt.Fprintf(&b, "\tPRIMARY KEY (%s)\n)", strings.Join(key, ", "))
	switch s.dialect {
	case SQLite:
		if name != "events" { // whose rows are long: they go by row number
			b.WriteString(" WITHOUT ROWID")
		}
	case MySQL:
		fmt.Fprintf(&b, " ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE %s", s.collation)
	}
	return b.String()
}

// createIndex is repeatable: MySQL, which has no IF NOT EXISTS here, says that it is
// there already, and that is let pass.
func (s *Store) createIndex(table, name string, columns ...string) string {
	unless := "IF NOT EXISTS "
	if s.dialect == MySQL {
		unless = ""
	}
	return fmt.Sprintf("CREATE INDEX %s%s ON %s (%s)", unless, s.table(name), s.table(table), strings.Join(columns, ", "))
}

// table returns the name of a table or an index.
func (s *Store) table(name string) string { return s.prefix + name }

func (s *Store) columnType(t columnType) string {
	switch t {
	case integerType:
		return "BIGINT NOT NULL"
	case timeType:
		return "BIGINT"
	case flagType:
		return "SMALLINT NOT NULL"
	}
	switch s.dialect {
	case PostgreSQL:
		if t == jsonType {
			return "JSONB"
		}
		return `TEXT COLLATE "C" NOT NULL`
	case SQLite:
		if t == jsonType {
			return "TEXT"
		}
		return "TEXT COLLATE BINARY NOT NULL"
	}
	switch t {
	case keyType:
		return fmt.Sprintf("VARCHAR(%d) NOT NULL", maxKey)
	case textType:
		return fmt.Sprintf("VARCHAR(%d) NOT NULL", maxText)
	case wordType:
		return "VARCHAR(16) NOT NULL"
	case jsonType: // not JSON: MySQL would write it anew, and numbers with it
		return "LONGTEXT"
	}
	return "LONGTEXT NOT NULL"
}
