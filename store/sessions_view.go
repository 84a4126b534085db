package store

import (
	"context"
	"hash/fnv"
	"strconv"
)

// viewSQL returns the statement that makes the view of the sessions. Where it can be replaced
// it is: what the host has granted on it, and views of its own over it, stay.
func (s *Store) viewSQL() string {
	create := "CREATE OR REPLACE VIEW "
	if s.dialect == SQLite {
		create = "CREATE VIEW "
	}
	return create + s.table("sessions") + " AS " + sessionsView(s.dialect, s.prefix, s.rules)
}

// viewSum tells one definition of the view from another, which other rules make.
func (s *Store) viewSum() string {
	h := fnv.New64a()
	h.Write([]byte(s.engine.viewSQL()))
	return strconv.FormatUint(h.Sum64(), 16)
}

// replaceView makes the view of the sessions anew if it is not the one of these rules.
func (s *Store) replaceView(ctx context.Context, q querier) error {
	has, err := s.engine.meta(ctx, q, "sessions")
	if err != nil || has == s.viewSum() {
		return err
	}
	if s.dialect == SQLite {
		if _, err := q.ExecContext(ctx, "DROP VIEW IF EXISTS "+s.table("sessions")); err != nil {
			return err
		}
	}
	if _, err := q.ExecContext(ctx, s.engine.viewSQL()); err != nil {
		return err
	}
	return s.setMeta(ctx, q, "sessions", s.viewSum())
}
