package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// chunk is how many rows are erased by one statement.
const chunk = 500

// Forget erases a session for good: all events, page views and attributes that have its
// [sessions.Session.Key]. It returns how many events and page views that were. All of
// it is one transaction; an error says that nothing is erased, but for ClickHouse.
//
// What comes in later is stored again: a page that is still open, a browser that was
// offline, a spool with a backlog. So who asks to be forgotten first has to stop sending,
// for example by a denial of consent, and Forget may be called once more a day later.
func (s *Store) Forget(ctx context.Context, session string) (int64, error) {
	n, err := s.engine.forget(ctx, columnKeys(session))
	if err != nil {
		return n, fmt.Errorf("store: forget: %w", err)
	}
	return n, nil
}

func (s *Store) forget(ctx context.Context, keys []any) (int64, error) {
	return s.erase(ctx, func(e *eraser) error {
		for _, key := range keys {
			if err := e.session(key.(string)); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetAttr erases who has an attribute, see [beacon.Event.Attrs]: the events that have
// it, and all of the sessions that any of these events belongs to, as [Store.Forget] does,
// also what came before the attribute was known. It returns how many events and page
// views that were.
//
// But for ClickHouse, all of it is one transaction, so an attribute that very many have, such as a tenant,
// holds up writers of the same rows, and with SQLite all, until it is done.
func (s *Store) ForgetAttr(ctx context.Context, name, value string) (int64, error) {
	n, err := s.engine.forgetAttr(ctx, columnKey(name), columnKey(value))
	if err != nil {
		return n, fmt.Errorf("store: forget attribute: %w", err)
	}
	return n, nil
}

func (s *Store) forgetAttr(ctx context.Context, name, value string) (int64, error) {
	return s.erase(ctx, func(e *eraser) error {
		where := " WHERE name = ? AND value = ?"
		having := []any{name, value}
		for {
			var ids, keys []any
			// A session erases its events with their attributes, so what is left is what
			// has not been looked at.
			err := e.each(`SELECT a.id, e.session, e.view FROM `+s.table("attrs")+` AS a LEFT JOIN `+s.table("events")+
				` AS e ON e.id = a.id WHERE a.name = ? AND a.value = ? LIMIT ?`, append(having[:2:2], chunk), func(rows *sql.Rows) error {
				var id string
				var session, view sql.NullString
				err := rows.Scan(&id, &session, &view)
				ids = append(ids, id)
				if session.String == "" {
					session = view
				}
				keys = append(keys, session.String)
				return err
			})
			if err != nil || len(ids) == 0 {
				return err
			}
			seen := map[any]bool{"": true}
			for _, k := range keys {
				if !seen[k] {
					seen[k] = true
					if err := e.session(k.(string)); err != nil {
						return err
					}
				}
			}
			if err := e.events(ids); err != nil { // those of no session
				return err
			}
			// And attributes of events that are not there.
			if _, err := e.exec("DELETE FROM "+s.table("attrs")+where+" AND id IN ("+marks(len(ids))+")", append(having[:2:2], ids...)...); err != nil {
				return err
			}
		}
	})
}

// Prune erases what was received before a time: the events, and the page views that
// were heard of last before it. It returns how many of both that were, also with an error.
//
// Each transaction erases a few hundred rows, so writers are hardly held up; ClickHouse has
// steps of some millions. When ctx ends it stops, and the next call goes on from there. Of a session that was going on at that
// time, only the page views heard of since are left: ask for sessions from a day after it
// on.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	n, err := s.engine.prune(ctx, micros(before))
	if err != nil {
		return n, fmt.Errorf("store: prune: %w", err)
	}
	return n, nil
}

func (s *Store) prune(ctx context.Context, before int64) (int64, error) {
	var n int64
	for _, step := range []func(e *eraser, before int64) (more bool, err error){(*eraser).oldEvents, (*eraser).oldViews} {
		for more := true; more; {
			erased, err := s.erase(ctx, func(e *eraser) (err error) {
				more, err = step(e, before)
				return err
			})
			n += erased
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// oldEvents erases some of the events that were received before a time.
func (e *eraser) oldEvents(before int64) (more bool, err error) {
	ids, err := e.ids("received < ? ORDER BY received", before)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	return true, e.events(ids)
}

// oldViews erases some of the page views that were heard of last before a time.
func (e *eraser) oldViews(before int64) (more bool, err error) {
	views := e.s.table("page_views")
	var keys []any
	err = e.each("SELECT session, view FROM "+views+" WHERE heard < ? ORDER BY heard LIMIT ?", []any{before, chunk}, func(rows *sql.Rows) error {
		var session, view string
		err := rows.Scan(&session, &view)
		keys = append(keys, session, view)
		return err
	})
	if err != nil || len(keys) == 0 {
		return false, err
	}
	pairs := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(keys)/2), ", ")
	if e.s.dialect == SQLite {
		pairs = "VALUES " + pairs
	}
	// One that was heard of since stays.
	n, err := e.exec("DELETE FROM "+views+" WHERE heard < ? AND (session, view) IN ("+pairs+")", append([]any{before}, keys...)...)
	e.erased += n
	return true, err
}

// An eraser is a transaction that erases.
type eraser struct {
	s      *Store
	ctx    context.Context
	tx     *sql.Tx
	erased int64 // events and page views
}

// erase runs fn in a transaction, and once more if it conflicts with others.
func (s *Store) erase(ctx context.Context, fn func(*eraser) error) (erased int64, err error) {
	s.noRoom.Store(nil) // it may be one of those
	err = s.retry(ctx, func() error {
		e := &eraser{s: s, ctx: ctx}
		if s.writer != nil {
			select {
			case s.writer <- struct{}{}:
				defer func() { <-s.writer }()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var err error
		if e.tx, err = s.db.BeginTx(ctx, nil); err != nil {
			return err
		}
		defer e.tx.Rollback() // after Commit it does nothing
		if s.dialect == SQLite {
			// A transaction that began by reading could not write any more if another
			// process has written since.
			if _, err := e.exec("DELETE FROM "+s.table("meta")+" WHERE name = ?", ""); err != nil {
				return err
			}
		}
		if err := fn(e); err != nil {
			return err
		}
		if err := e.tx.Commit(); err != nil {
			return err
		}
		erased = e.erased
		return nil
	})
	return erased, err
}

// session erases what has a key.
func (e *eraser) session(key string) error {
	if key == "" {
		return nil // of which events there are very many, each of its own
	}
	n, err := e.exec("DELETE FROM "+e.s.table("page_views")+" WHERE session = ?", key)
	if err != nil {
		return err
	}
	lone, err := e.exec("DELETE FROM "+e.s.table("page_views")+" WHERE session = '' AND view = ?", key)
	if err != nil {
		return err
	}
	e.erased += n + lone
	for _, where := range []string{"session = ?", "session = '' AND view = ?"} {
		for {
			ids, err := e.ids(where, key)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			if err := e.events(ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// ids returns the IDs of some events.
func (e *eraser) ids(where string, arg any) (ids []any, err error) {
	err = e.each("SELECT id FROM "+e.s.table("events")+" WHERE "+where+" LIMIT ?", []any{arg, chunk}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// events erases events with their attributes.
func (e *eraser) events(ids []any) error {
	if _, err := e.exec("DELETE FROM "+e.s.table("attrs")+" WHERE id IN ("+marks(len(ids))+")", ids...); err != nil {
		return err
	}
	n, err := e.exec("DELETE FROM "+e.s.table("events")+" WHERE id IN ("+marks(len(ids))+")", ids...)
	e.erased += n
	return err
}

// exec returns how many rows were changed.
func (e *eraser) exec(text string, args ...any) (int64, error) {
	q := &question{d: e.s.dialect}
	q.add(text, args...)
	r, err := e.tx.ExecContext(e.ctx, q.String(), q.args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (e *eraser) each(text string, args []any, scan func(*sql.Rows) error) error {
	q := &question{d: e.s.dialect}
	q.add(text, args...)
	if q.d == MySQL {
		// Else it would see what was there when the transaction began, and find again and
		// again what another one has erased.
		q.add(" FOR UPDATE")
	}
	return eachRow(e.ctx, e.tx, q, scan)
}

// marks returns n parameters.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }
