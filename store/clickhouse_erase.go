package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// ClickHouse erases by mutations, which write the parts of a table anew that have such
// rows, and of which each is waited for. So it is done in few of them, each with as many
// rows as can be named in one, and only if there are any.
//
// They are in an order in which each finds what it looks for until it is done, so that
// who failed in the middle calls again.

// How many rows a step of Prune erases about, and how long the list of keys or IDs of a
// mutation is: the server reads statements of 256 KiB at most.
const (
	pruneRows = 4_000_000
	listBytes = 100 << 10
)

// mutate erases rows, and waits until they are gone.
func (c *clickHouse) mutate(ctx context.Context, table, where string, args ...any) error {
	if err := c.client.Exec(ctx, c.erase, "ALTER TABLE "+c.table(table)+" DELETE WHERE "+where, args...); err != nil {
		return err
	}
	columns := "mutation_id, ''"
	if c.reasons {
		columns = "mutation_id, latest_fail_reason"
	}
	waiting := ask("SELECT "+columns+" FROM system.mutations WHERE database = currentDatabase() AND table = ? AND is_done = 0", c.table(table))
	var ours map[string]bool // and those before
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		left := map[string]bool{}
		err := c.each(ctx, waiting, func(r *sql.Rows) error {
			var id, reason string
			if err := r.Scan(&id, &reason); err != nil {
				return err
			}
			if ours != nil && !ours[id] {
				return nil
			}
			if left[id] = true; reason != "" {
				return fmt.Errorf("the mutation %s of %s fails: %s", id, c.table(table), reason)
			}
			return nil
		})
		if err != nil || len(left) == 0 {
			return err
		}
		ours = left
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// count returns the number that a question has for an answer.
func (c *clickHouse) count(ctx context.Context, text string, args ...any) (n int64, err error) {
	err = c.each(ctx, ask(text, args...), func(r *sql.Rows) error { return r.Scan(&n) })
	return n, err
}

// texts returns the texts that a question has for an answer, each once and none empty.
func (c *clickHouse) texts(ctx context.Context, text string, args ...any) (all []any, err error) {
	seen := map[string]bool{"": true}
	err = c.each(ctx, ask(text, args...), func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		if !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
		return err
	})
	return all, err
}

// inLists calls fn for parts of a list that fit into a statement.
func inLists(list []any, fn func(part []any) error) error {
	from, bytes := 0, 0
	for i := range list {
		n := 4*len(list[i].(string)) + 8 // also if all of it is escaped
		if bytes += n; bytes > listBytes {
			if err := fn(list[from:i]); err != nil {
				return err
			}
			from, bytes = i, n
		}
	}
	if from == len(list) {
		return nil
	}
	return fn(list[from:])
}

// alone makes this the only one of the Store that erases: two would count the same, and
// the server would do all of it twice.
func (c *clickHouse) alone(ctx context.Context) (done func(), err error) {
	select {
	case c.erasing <- struct{}{}:
		return func() { <-c.erasing }, ctx.Err()
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

// forget erases sessions.
func (c *clickHouse) forget(ctx context.Context, keys []any) (int64, error) {
	done, err := c.alone(ctx)
	defer done()
	if err != nil {
		return 0, err
	}
	return c.sessions(ctx, keys, "")
}

// sessions erases what has one of the keys. An attribute of which attrs says something
// stays.
func (c *clickHouse) sessions(ctx context.Context, keys []any, attrs string, args ...any) (erased int64, err error) {
	keys = slices.DeleteFunc(keys, func(k any) bool { return k == "" })
	err = inLists(keys, func(part []any) error {
		in := "(" + marks(len(part)) + ")"
		which := "session IN " + in + " OR session = '' AND view IN " + in
		both := slices.Concat(part, part)
		rows, err := c.count(ctx, "SELECT count() FROM "+c.table("page_views_state")+" WHERE "+which, both...)
		if err != nil {
			return err
		}
		if rows > 0 {
			n, err := c.count(ctx, "SELECT count() FROM (SELECT session, view FROM "+c.table("page_views_state")+" WHERE "+which+" GROUP BY session, view)", both...)
			if err == nil {
				err = c.mutate(ctx, "page_views_state", which, both...)
			}
			if err != nil {
				return err
			}
			erased += n
		}
		n, err := c.events(ctx, which, both, attrs, args...)
		erased += n
		return err
	})
	return erased, err
}

// events erases the events of which where says something, with their attributes, but for
// one.
func (c *clickHouse) events(ctx context.Context, where string, which []any, attrs string, args ...any) (int64, error) {
	n, err := c.count(ctx, "SELECT uniqExact(id) FROM "+c.table("events")+" WHERE "+where, which...)
	if err != nil || n == 0 {
		return 0, err
	}
	of := " FROM " + c.table("events") + " WHERE " + where + ")"
	if err := c.mutate(ctx, "event_ids", "(received, id) IN (SELECT received, id"+of, which...); err != nil {
		return 0, err
	}
	// One that a client has sent twice may be left, received at another time.
	ids := "id IN (SELECT id" + of
	ids += " AND id NOT IN (SELECT id FROM " + c.table("event_ids") + " WHERE " + ids + ")" + attrs
	values := slices.Concat(which, which, args)
	has, err := c.count(ctx, "SELECT count() FROM "+c.table("attrs")+" WHERE "+ids, values...)
	if err == nil && has > 0 {
		err = c.mutate(ctx, "attrs", ids, values...)
	}
	if err == nil {
		err = c.mutate(ctx, "events", where, which...)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// forgetAttr erases who has an attribute, of which the rows go last.
func (c *clickHouse) forgetAttr(ctx context.Context, name, value string) (erased int64, err error) {
	done, err := c.alone(ctx)
	defer done()
	if err != nil {
		return 0, err
	}
	having := []any{name, value}
	where := "name = ? AND value = ?"
	ids, err := c.texts(ctx, "SELECT id FROM "+c.table("attrs")+" WHERE "+where, having...)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	keys, err := c.texts(ctx, "SELECT DISTINCT if(session = '', view, session) FROM "+c.table("events")+
		" WHERE id IN (SELECT id FROM "+c.table("attrs")+" WHERE "+where+")", having...)
	if err != nil {
		return 0, err
	}
	but := " AND NOT (" + where + ")"
	if erased, err = c.sessions(ctx, keys, but, having...); err != nil {
		return erased, err
	}
	err = inLists(ids, func(part []any) error { // those of no session
		n, err := c.events(ctx, "id IN ("+marks(len(part))+")", part, but, having...)
		erased += n
		return err
	})
	if err != nil {
		return erased, err
	}
	err = inLists(ids, func(part []any) error {
		return c.mutate(ctx, "attrs", where+" AND id IN ("+marks(len(part))+")", append(having[:2:2], part...)...)
	})
	return erased, err
}

// prune erases events and then page views, in steps that the server has room for.
func (c *clickHouse) prune(ctx context.Context, before int64) (erased int64, err error) {
	done, err := c.alone(ctx)
	defer done()
	if err != nil {
		return 0, err
	}
	for more := true; more; {
		until := before
		more = false
		err := c.each(ctx, ask("SELECT received FROM "+c.table("events")+" WHERE received < ? ORDER BY received LIMIT 1 OFFSET ?", before, pruneRows), func(r *sql.Rows) error {
			more = true
			return r.Scan(&until)
		})
		if more = more && until < before; !more {
			until = before
		}
		var n int64
		if err == nil {
			n, err = c.events(ctx, "received < ?", []any{until}, "")
		}
		if erased += n; err != nil {
			return erased, err
		}
		if n == 0 && more { // very many at one time: of these at once
			until++
			if n, err = c.events(ctx, "received < ?", []any{until}, ""); err != nil {
				return erased, err
			}
			erased += n
		}
	}
	views := c.table("page_views_state")
	old := "SELECT session, view FROM " + views + " GROUP BY session, view HAVING maxMerge(heard_state) < ?"
	n, err := c.count(ctx, "SELECT count() FROM ("+old+")", before)
	if err != nil || n == 0 {
		return erased, err
	}
	if err := c.mutate(ctx, "page_views_state", "(session, view) IN ("+old+")", before); err != nil {
		return erased, err
	}
	return erased + n, nil
}
