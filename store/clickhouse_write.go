package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/clickhouse"
)

// prepare has nothing to do: inserts are not planned.
func (c *clickHouse) prepare() {}

// write stores rows, in one insert for each table, of which each waits for its answer. If
// a later one fails the rows of those before are there already, and change nothing when
// they come again.
func (c *clickHouse) write(ctx context.Context, rows []*eventRow) error {
	views, attrs := pageViewsOf(rows), attrsOf(rows)
	err := c.insert(ctx, "events", eventColumns, len(rows), func(i int, to *cells) { to.event(rows[i]) })
	if err == nil {
		err = c.insert(ctx, "page_views_in", viewColumns, len(views), func(i int, to *cells) { to.pageView(views[i]) })
	}
	if err == nil {
		err = c.insert(ctx, "attrs", attrColumns, len(attrs), func(i int, to *cells) { to.attr(&attrs[i]) })
	}
	if after := retryAfter(err); after > 0 {
		return &beacon.RetryAfterError{After: after, Err: err}
	}
	return err
}

// insert sends n rows, such that what is held of them here is bounded.
func (c *clickHouse) insert(ctx context.Context, table string, columns []column, n int, fill func(i int, to *cells)) error {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	into := c.table(table) + " (" + strings.Join(names, ", ") + ")"
	var b []byte
	to := &cells{
		text: func(s string) { b = append(clickhouse.AppendText(append(b, '\''), s), '\'', ',') },
		long: func(s []byte) { b = append(clickhouse.AppendText(append(b, '\''), s), '\'', ',') },
		data: func(s string) {
			if s == "" {
				b = append(b, "NULL,"...)
			} else {
				b = append(clickhouse.AppendText(append(b, '\''), s), '\'', ',')
			}
		},
		number: func(x int64) { b = append(strconv.AppendInt(b, x, 10), ',') },
		null:   func() { b = append(b, "NULL,"...) },
	}
	for i := range n {
		b = append(b, '(')
		fill(i, to)
		b[len(b)-1] = ')'
		if len(b) >= statementBytes || i == n-1 {
			if err := c.client.Insert(ctx, into, b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	return nil
}

// judge says what the code of an error means. All that is not about values is of the
// server, and of today. That rows end too early (26, 27) is not about them: some proxy has
// cut them off.
func (c *clickHouse) judge(err error) verdict {
	e, ok := errors.AsType[*clickhouse.Error](err)
	if !ok {
		return later
	}
	switch e.Code {
	case 0:
		if e.Status == 413 { // of a proxy, for which the body is too large
			return never
		}
	case 6, 38, 41, 72, // cannot parse a value, as a type that the host has given a column
		69, 70, 117, 128, 131, // out of bound, cannot convert, incorrect data, too large
		321, 349, // NULL in a column that has none
		153,           // division by zero, in a materialised view of the host's
		395, 407, 469: // throwIf, decimal overflow, constraint
		return never
	}
	return later
}

// full says whether the server has no room left.
func (c *clickHouse) full(err error) bool {
	e, ok := errors.AsType[*clickhouse.Error](err)
	return ok && (e.Code == 243 || strings.Contains(e.Error(), "No space left on device"))
}

// retryAfter returns when to come again, or 0 where the error does not tell.
func retryAfter(err error) time.Duration {
	e, ok := errors.AsType[*clickhouse.Error](err)
	switch {
	case !ok:
		return 0
	case e.Code == 252, e.Code == 202: // too many parts, which have to be merged first; too many queries
		return max(e.After, time.Second)
	}
	return e.After
}
