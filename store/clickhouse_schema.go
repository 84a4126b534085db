package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The tables of ClickHouse. Rows that are one are merged when the server gets to it, so
// whatever reads them has to put up with several of each:
//
//   - Events are sorted as they are read, and so told from each other by time and ID.
//     One that a client has sent twice has come at two times; the first one counts, which
//     event_ids tells.
//   - Page views come as plain rows into page_views_in, which keeps nothing. A
//     materialised view makes states of them, in page_views_state, and the server joins
//     those: minima, maxima, and the largest pair of Seq and value. The view page_views
//     has the rows as other databases have them.

// missing are the numbers that stand for NULL in the state of a minimum, and in that of a
// maximum: no time comes near them.
const (
	missingMin = "toInt64(9223372036854775807)"
	missingMax = "toInt64(-9223372036854775807)"
)

// A state is a column of page_views_state.
type state struct {
	column
	kind string // of the aggregate function and its argument
	make string // of the columns of a row
	read string // of the merged state {m}
}

// states are those of viewColumns, but for the key.
func states() (all []state) {
	for _, c := range viewColumns[2:] {
		s := state{column: c, kind: "max, " + clickHouseType(c.kind), make: c.name, read: "{m}"}
		switch c.name {
		case "page", "referrer", "name", "visible", "engaged", "unseen": // those of the largest Seq
			pair := "Tuple(Int64, " + clickHouseType(c.kind) + ")"
			s.kind = "max, " + pair
			// Some servers would give the two their names, and have another type.
			s.make, s.read = "CAST((seq, "+c.name+") AS "+pair+")", "tupleElement({m}, 2)"
		case "started", "clock_offset":
			s.kind, s.make, s.read = "min, Int64", "ifNull("+c.name+", "+missingMin+")", "nullIf({m}, "+missingMin+")"
		case "ended":
			s.kind, s.make, s.read = "max, Int64", "ifNull("+c.name+", "+missingMax+")", "nullIf({m}, "+missingMax+")"
		}
		all = append(all, s)
	}
	return all
}

// name is that of the column with the state.
func (s *state) name() string { return s.column.name + "_state" }

// function is the aggregate function.
func (s *state) function() string { return s.kind[:3] }

// merged is the SQL of the value that the states of one page view are.
func (s *state) merged() string {
	return strings.ReplaceAll(s.read, "{m}", s.function()+"Merge("+s.name()+")") + " AS " + s.column.name
}

// mergedViews is a query for page views as they are in other databases, and of all of
// their columns, if none are named. They are such of which where says something.
func (s *Store) mergedViews(where string, columns ...string) string {
	list := []string{"session", "view"}
	for _, st := range states() {
		wanted := len(columns) == 0
		for _, c := range columns {
			wanted = wanted || c == st.column.name
		}
		if wanted {
			list = append(list, st.merged())
		}
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + s.table("page_views_state") + where + " GROUP BY session, view"
}

func clickHouseType(t columnType) string {
	switch t {
	case integerType:
		return "Int64"
	case timeType:
		return "Nullable(Int64)"
	case flagType:
		return "UInt8"
	case jsonType:
		return "Nullable(String)"
	}
	return "String"
}

// migrations are what brings the tables from a version to the next. A version
// that was released never changes, and each of its statements can be done again.
func (c *clickHouse) migrations() [][]string {
	create := func(name string, columns []string, engine string) string {
		return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (\n\t%s\n) ENGINE = %s", c.table(name), strings.Join(columns, ",\n\t"), engine)
	}
	plain := func(columns []column) (list []string) {
		for _, col := range columns {
			list = append(list, col.name+" "+clickHouseType(col.kind))
		}
		return list
	}
	kept, makes := []string{"session String", "view String"}, []string{"session", "view"}
	for _, st := range states() {
		kept = append(kept, st.name()+" AggregateFunction("+st.kind+")")
		makes = append(makes, st.function()+"State("+st.make+") AS "+st.name())
	}
	return [][]string{{
		create("events", plain(eventColumns), "ReplacingMergeTree ORDER BY (received, id)"),
		create("event_ids", []string{"id String", "received Int64"}, "ReplacingMergeTree ORDER BY (id, received)"),
		"CREATE MATERIALIZED VIEW IF NOT EXISTS " + c.table("event_ids_of") + " TO " + c.table("event_ids") +
			" AS SELECT id, received FROM " + c.table("events"),
		create("page_views_in", plain(viewColumns), "Null"),
		create("page_views_state", kept, "AggregatingMergeTree ORDER BY (session, view)"),
		"CREATE MATERIALIZED VIEW IF NOT EXISTS " + c.table("page_views_of") + " TO " + c.table("page_views_state") +
			" AS SELECT " + strings.Join(makes, ", ") + " FROM " + c.table("page_views_in") + " GROUP BY session, view",
		"CREATE VIEW IF NOT EXISTS " + c.table("page_views") + " AS " + c.mergedViews(""),
		create("attrs", plain(attrColumns), "ReplacingMergeTree ORDER BY (name, value, id)"),
	}}
}

// migrate does what is missing. There are no locks, so several may do the same, and each
// statement is such that it does not matter.
func (c *clickHouse) migrate(ctx context.Context) error {
	exec := func(text string, args ...any) error {
		_, err := c.db.ExecContext(ctx, text, args...)
		return err
	}
	// The last one counts, whatever the clocks of those who write say.
	set := func(name, value string) error {
		return exec("INSERT INTO "+c.table("meta")+" (name, value, at) SELECT ?, ?, max(at) + 1 FROM "+c.table("meta"), name, value)
	}
	if err := exec("CREATE TABLE IF NOT EXISTS " + c.table("meta") + " (name String, value String, at Int64) ENGINE = MergeTree ORDER BY name"); err != nil {
		// Who only writes needs no right to make tables.
		if done, e := c.migrated(ctx, c.db); e != nil || !done {
			return err
		}
	}
	version, err := c.version(ctx, c.db)
	if err != nil {
		return err
	}
	for i, statements := range c.migrations()[version:] {
		for _, statement := range statements {
			if err := exec(statement); err != nil {
				return fmt.Errorf("migration to version %d: %w", version+i+1, err)
			}
		}
		if err := set("version", strconv.Itoa(version+i+1)); err != nil {
			return err
		}
	}
	if has, err := c.meta(ctx, c.db, "sessions"); err != nil || has == c.viewSum() {
		return err
	}
	// Old servers cannot replace a view: for a moment there is none.
	if err := exec("DROP TABLE IF EXISTS " + c.table("sessions")); err != nil {
		return err
	}
	if err := exec(c.viewSQL()); err != nil {
		return err
	}
	return set("sessions", c.viewSum())
}

// meta returns what was last written about the tables under a name.
func (c *clickHouse) meta(ctx context.Context, q querier, name string) (value string, err error) {
	err = q.QueryRowContext(ctx, "SELECT argMax(value, at) FROM "+c.table("meta")+" WHERE name = ?", name).Scan(&value)
	return value, err
}
