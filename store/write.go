package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
)

// write stores rows in one transaction.
func (s *Store) write(ctx context.Context, rows []*eventRow) (err error) {
	// Two that write some of the same events, in whatever order they got them, wait for
	// each other in one direction only.
	slices.SortFunc(rows, func(a, b *eventRow) int { return cmp.Or(strings.Compare(a.id, b.id), cmp.Compare(a.index, b.index)) })
	views, attrs := pageViewsOf(rows), attrsOf(rows)
	if s.writer != nil {
		select {
		case s.writer <- struct{}{}:
			defer func() { <-s.writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	err = s.insertEvents.run(ctx, tx, len(rows), func(i int) int { return rows[i].size() }, func(i int, c *cells) { c.event(rows[i]) })
	if err != nil {
		return err
	}
	err = s.insertViews.run(ctx, tx, len(views), func(i int) int { return views[i].size() }, func(i int, c *cells) { c.pageView(views[i]) })
	if err != nil {
		return err
	}
	err = s.insertAttrs.run(ctx, tx, len(attrs), func(i int) int { return attrs[i].size() }, func(i int, c *cells) { c.attr(&attrs[i]) })
	if err != nil {
		return err
	}
	return tx.Commit()
}

// A statement inserts rows such that the same ones again change nothing.
type statement struct {
	dialect Dialect
	table   string
	columns []column
	head    map[bool]string // what is before the rows; true is with texts escaped
	tail    string          // what is behind them
	rows    int             // how many one has at most
	bytes   int             // how many one has at most, unless of one row
}

// statementBytes bounds a statement: the server holds several copies of it.
const statementBytes = 16 << 20

// chunkRows bounds the rows of a statement whose values are parameters one by one:
// SQLite takes 32,766 of them, and MySQL 65,535.
const chunkRows = 200

// prepare makes the statements.
func (s *Store) prepare() {
	s.insertEvents = s.insert("events", eventColumns, s.unless("id"))
	s.insertViews = s.insert("page_views", viewColumns, s.join())
	s.insertAttrs = s.insert("attrs", attrColumns, s.unless("name", "value", "id"))
}

// unless returns the clause that leaves out what is there, and lets no other mistake
// pass, as that would without a key, or IGNORE in MySQL.
func (s *Store) unless(key ...string) string {
	if s.dialect == MySQL {
		return "\nON DUPLICATE KEY UPDATE id = VALUES(id)"
	}
	return "\nON CONFLICT (" + strings.Join(key, ", ") + ") DO NOTHING"
}

func (s *Store) insert(table string, columns []column, tail string) statement {
	st := statement{
		dialect: s.dialect, table: s.table(table), columns: columns, tail: tail,
		rows: chunkRows, bytes: statementBytes,
	}
	if s.maxEvent > 0 {
		st.bytes = min(st.bytes, s.maxEvent)
	}
	if s.dialect == PostgreSQL {
		st.rows = math.MaxInt
		st.head = map[bool]string{false: st.selectArrays(false), true: st.selectArrays(true)}
	} else {
		st.head = map[bool]string{false: st.insertValues()}
	}
	return st
}

// join returns the clause that joins a page view with what is known of it. The columns
// up to unseen are those of the report with the largest Seq. MySQL assigns one after
// the other, and what is assigned is seen by what follows: seq comes behind them.
func (s *Store) join() string {
	old := func(c string) string { return "t." + c }
	add := func(c string) string { return "excluded." + c }
	if s.dialect == MySQL {
		old = func(c string) string { return c }
		add = func(c string) string { return "VALUES(" + c + ")" }
	}
	var set, changed []string
	larger := func(c string) string { return fmt.Sprintf("%s > %s", add(c), old(c)) }
	for _, c := range []string{"page", "referrer", "name", "visible", "engaged", "unseen"} {
		set = append(set, fmt.Sprintf("%s = CASE WHEN %s THEN %s WHEN %s = %s THEN %s ELSE %s END", c,
			larger("seq"), add(c), add("seq"), old("seq"), s.dialect.largest(old(c), add(c)), old(c)))
		changed = append(changed, fmt.Sprintf("%s = %s AND %s", add("seq"), old("seq"), larger(c)))
	}
	for _, c := range []string{"seq", "ended", "logged", "crashed", "activity", "heard"} {
		set = append(set, c+" = "+s.dialect.largest(old(c), add(c)))
		changed = append(changed, larger(c))
	}
	for _, c := range []string{"started", "clock_offset"} {
		set = append(set, c+" = "+s.dialect.smallest(old(c), add(c)))
		changed = append(changed, fmt.Sprintf("%s < %s", add(c), old(c)))
	}
	for _, c := range []string{"started", "ended", "clock_offset"} {
		changed = append(changed, fmt.Sprintf("%s IS NULL AND %s IS NOT NULL", old(c), add(c)))
	}
	if s.dialect == MySQL { // which does not write what stays the same
		return "\nON DUPLICATE KEY UPDATE\n\t" + strings.Join(set, ",\n\t")
	}
	return "\nON CONFLICT (session, view) DO UPDATE SET\n\t" + strings.Join(set, ",\n\t") +
		"\nWHERE " + strings.Join(changed, "\n\tOR ")
}

// run inserts n rows, in as few statements as their sizes in bytes allow. Fill adds one
// to the cells.
func (st *statement) run(ctx context.Context, tx *sql.Tx, n int, size func(i int) int, fill func(i int, c *cells)) error {
	for from := 0; from < n; {
		to, bytes := from+1, size(from)
		for to < n && to-from < st.rows && bytes+size(to) <= st.bytes {
			bytes += size(to)
			to++
		}
		part := func(i int, c *cells) { fill(from+i, c) }
		var query string
		var args []any
		if st.dialect == PostgreSQL {
			query, args = st.arrayArgs(to-from, bytes, part)
		} else {
			query, args = st.head[false]+st.values(to-from), st.valueArgs(to-from, part)
		}
		if _, err := tx.ExecContext(ctx, query+st.tail, args...); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// cells are rows, cell by cell in the order of the columns.
type cells struct {
	text   func(string)
	long   func([]byte) // JSON, which has no control characters
	data   func(string) // the same, or "" for NULL
	number func(int64)
	null   func()
}

func (c *cells) flag(set bool) {
	if set {
		c.number(1)
	} else {
		c.number(0)
	}
}

// known adds a number, or NULL if it is none.
func (c *cells) known(n int64, ok bool) {
	if ok {
		c.number(n)
	} else {
		c.null()
	}
}

func (c *cells) event(r *eventRow) {
	c.text(r.id)
	c.number(r.received)
	c.number(r.time)
	c.text(r.name)
	c.text(r.kind)
	c.text(r.page)
	c.text(r.session)
	c.text(r.view)
	c.text(r.series)
	c.number(r.seq)
	c.text(r.mode)
	c.flag(r.verified)
	c.data(r.data)
	c.long(r.event)
}

func (c *cells) pageView(v *viewRow) {
	c.text(v.Session)
	c.text(v.View)
	c.text(v.Page)
	c.text(v.Referrer)
	c.text(v.Name)
	c.known(micros(v.Start), !v.Start.IsZero())
	c.known(micros(v.End), !v.End.IsZero())
	c.number(v.Visible.Microseconds())
	c.number(v.Engaged.Microseconds())
	c.flag(v.Unseen)
	c.number(int64(v.Seq))
	c.known(v.Offset.Microseconds(), v.HasOffset)
	c.number(int64(v.Logged))
	c.flag(v.Crashed)
	c.flag(v.Activity)
	c.number(v.heard)
}

func (c *cells) attr(a *attrRow) {
	c.text(a.name)
	c.text(a.value)
	c.text(a.id)
}
