package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
)

// migrate brings the tables to the newest version, and the view of the sessions to the
// rules. Several processes may do so at once: the first does it, and the others wait.
func (s *Store) migrate(ctx context.Context) error {
	// Who only writes needs no right to make tables, so look first.
	if done, err := s.migrated(ctx, s.db); err == nil && done {
		return nil
	} else if errors.Is(err, errNewer) {
		return err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	unlock, err := s.lock(ctx, conn)
	if err != nil {
		return fmt.Errorf("wait for the migrations of others: %w", err)
	}
	err = s.migrateOn(ctx, conn)
	return errors.Join(err, unlock(err == nil))
}

// errNewer is the error of tables that a newer version of this package has made.
var errNewer = errors.New("the tables are of a newer version of this package")

// migrated says whether there is nothing to do. An error, other than errNewer, says
// that there are no tables yet, or the database is away.
func (s *Store) migrated(ctx context.Context, q querier) (bool, error) {
	version, err := s.version(ctx, q)
	if err != nil || version != len(s.engine.migrations()) {
		return false, err
	}
	has, err := s.engine.meta(ctx, q, "sessions")
	return has == s.viewSum(), err
}

// querier is a *sql.DB, *sql.Conn or *sql.Tx.
type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// version returns the version of the tables. It is 0 if there are none but meta.
func (s *Store) version(ctx context.Context, q querier) (int, error) {
	text, err := s.engine.meta(ctx, q, "version")
	if err != nil || text == "" {
		return 0, err
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("table %s has the version %q", s.table("meta"), text)
	}
	if known := len(s.engine.migrations()); version > known {
		return 0, fmt.Errorf("%w: %d, and this one knows %d", errNewer, version, known)
	}
	return version, nil
}

// meta returns what is written about the tables under a name, or "".
func (s *Store) meta(ctx context.Context, q querier, name string) (value string, err error) {
	err = s.retry(ctx, func() error {
		return q.QueryRowContext(ctx, "SELECT value FROM "+s.table("meta")+" WHERE name = "+s.dialect.parameter(1), name).Scan(&value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func (s *Store) setMeta(ctx context.Context, q querier, name, value string) error {
	p := s.dialect.parameter
	if _, err := q.ExecContext(ctx, "DELETE FROM "+s.table("meta")+" WHERE name = "+p(1), name); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, "INSERT INTO "+s.table("meta")+" (name, value) VALUES ("+p(1)+", "+p(2)+")", name, value)
	return err
}

// lock makes this the only one that migrates. Where definitions are part of
// transactions, unlock commits all of it or none.
func (s *Store) lock(ctx context.Context, conn *sql.Conn) (unlock func(ok bool) error, err error) {
	name := "beacon migrations of " + s.prefix
	if s.dialect == MySQL {
		var got sql.NullInt64
		err = conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 300)", name).Scan(&got)
		if err == nil && got.Int64 != 1 {
			err = errors.New("they take too long")
		}
		return func(bool) error {
			ctx := context.WithoutCancel(ctx)
			_, err := conn.ExecContext(ctx, "COMMIT") // of a connection without autocommit
			var released sql.NullInt64
			return errors.Join(err, conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", name).Scan(&released))
		}, err
	}
	begin := "BEGIN"
	if s.dialect == SQLite {
		begin = "BEGIN IMMEDIATE"
	}
	end := func(how string) error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), how)
		return err
	}
	unlock = func(ok bool) (err error) {
		if ok { // SQLite without a write-ahead log waits for who reads
			if err = s.retry(ctx, func() error { return end("COMMIT") }); err == nil {
				return nil
			}
		}
		if end("ROLLBACK") != nil { // a transaction must not stay open on a connection of others
			conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		return err
	}
	err = s.retry(ctx, func() error {
		_, err := conn.ExecContext(ctx, begin)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, unlock(false))
	}
	if s.dialect == SQLite {
		return unlock, nil
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	if _, err = conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock("+strconv.FormatInt(int64(h.Sum64()), 10)+")"); err != nil {
		return nil, errors.Join(err, unlock(false))
	}
	return unlock, nil
}

// migrateOn does what is missing, on the connection that has the lock.
func (s *Store) migrateOn(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, s.createTable("meta", []column{{"name", keyType}, {"value", keyType}}, "name")); err != nil {
		return err
	}
	version, err := s.version(ctx, conn)
	if err != nil {
		return err
	}
	for i, statements := range s.engine.migrations()[version:] {
		for _, statement := range statements {
			if _, err := conn.ExecContext(ctx, statement); err != nil && !s.isThere(err) {
				return fmt.Errorf("migration to version %d: %w", version+i+1, err)
			}
		}
		if err := s.setMeta(ctx, conn, "version", strconv.Itoa(version+i+1)); err != nil {
			return err
		}
	}
	return s.replaceView(ctx, conn)
}

// isThere says whether a statement failed because an earlier attempt had come that far.
func (s *Store) isThere(err error) bool {
	return s.dialect == MySQL && errorCode(err) == 1061 // duplicate key name
}
