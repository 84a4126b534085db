package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
)

// The errors of drivers, as these declare them.

type pgxError struct{ code string } // jackc/pgx

func (e *pgxError) Error() string    { return e.code }
func (e *pgxError) SQLState() string { return e.code }

type pqCode string

type pqError struct { // lib/pq
	Severity string
	Code     pqCode
}

func (e *pqError) Error() string { return string(e.Code) }

type mysqlError struct { // go-sql-driver/mysql
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *mysqlError) Error() string { return e.Message }

type moderncError struct{ code int } // modernc.org/sqlite

func (e *moderncError) Error() string { return "sqlite" }
func (e *moderncError) Code() int     { return e.code }

type mattnCode int

type mattnError struct{ Code, ExtendedCode mattnCode } // mattn/go-sqlite3

func (e mattnError) Error() string { return "sqlite" }

type ncrucesCode uint8

type ncrucesError struct{ code ncrucesCode } // ncruces/go-sqlite3

func (e *ncrucesError) Error() string     { return "sqlite" }
func (e *ncrucesError) Code() ncrucesCode { return e.code }

func TestJudge(t *testing.T) {
	plain := errors.New("connection refused")
	for _, c := range []struct {
		d    Dialect
		err  error
		want verdict
	}{
		{PostgreSQL, &pgxError{"22P02"}, never},
		{PostgreSQL, &pgxError{"23514"}, never},
		{PostgreSQL, &pgxError{"54000"}, never},
		{PostgreSQL, &pgxError{"54001"}, later},
		{PostgreSQL, &pgxError{"40001"}, again},
		{PostgreSQL, &pgxError{"40P01"}, again},
		{PostgreSQL, &pgxError{"40002"}, later},
		{PostgreSQL, &pgxError{"53100"}, later}, // disk full
		{PostgreSQL, &pgxError{"53300"}, later}, // too many connections
		{PostgreSQL, &pgxError{"25006"}, later}, // read-only
		{PostgreSQL, &pgxError{"57P01"}, later}, // shutting down
		{PostgreSQL, &pgxError{"42P01"}, later}, // no such table
		{PostgreSQL, &pgxError{""}, later},
		{PostgreSQL, &pqError{"ERROR", "22021"}, never},
		{PostgreSQL, &pqError{"ERROR", "40P01"}, again},
		{PostgreSQL, (*pqError)(nil), later},
		{PostgreSQL, fmt.Errorf("a: %w", errors.Join(plain, fmt.Errorf("b: %w", &pgxError{"22003"}))), never},
		{PostgreSQL, plain, later},
		{PostgreSQL, fmt.Errorf("%w: %w", context.DeadlineExceeded, &pgxError{"22003"}), later},
		{PostgreSQL, driver.ErrBadConn, later},
		{MySQL, &mysqlError{Number: 1406}, never},
		{MySQL, &mysqlError{Number: 1366}, never},
		{MySQL, &mysqlError{Number: 1153}, never},
		{MySQL, &mysqlError{Number: 4025}, never},
		{MySQL, &mysqlError{Number: 1213}, again},
		{MySQL, &mysqlError{Number: 1205}, again},
		{MySQL, &mysqlError{Number: 1040}, later}, // too many connections
		{MySQL, &mysqlError{Number: 1114}, later}, // table full
		{MySQL, &mysqlError{Number: 1290}, later}, // read-only
		{MySQL, &mysqlError{Number: 1146}, later}, // no such table
		{MySQL, errors.New("packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`"), never},
		{MySQL, plain, later},
		{SQLite, &moderncError{5}, again},
		{SQLite, &moderncError{5 | 2<<8}, again}, // BUSY_SNAPSHOT
		{SQLite, &moderncError{6}, again},
		{SQLite, &moderncError{18}, never},
		{SQLite, &moderncError{530}, later},       // of a proxy, which is not TOOBIG and more
		{SQLite, &moderncError{19 | 7<<8}, never}, // CONSTRAINT_TRIGGER
		{SQLite, &moderncError{13}, later},        // FULL
		{SQLite, &moderncError{8}, later},         // READONLY
		{SQLite, &moderncError{10}, later},        // IOERR
		{SQLite, mattnError{Code: 5}, again},
		{SQLite, mattnError{Code: 19}, never},
		{SQLite, mattnError{Code: 13}, later},
		{SQLite, &ncrucesError{5}, again},
		{SQLite, &ncrucesError{18}, never},
		{SQLite, plain, later},
	} {
		s := &Store{dialect: c.d}
		s.engine = s
		if got := s.weigh(c.err); got != c.want {
			t.Errorf("%v: %T %v: %d, want %d", c.d, c.err, c.err, got, c.want)
		}
	}
}

// TestJudgeHook: what the host says of an error counts, but not of a context.
func TestJudgeHook(t *testing.T) {
	mine := errors.New("mine")
	s := &Store{dialect: PostgreSQL, permanent: func(err error) (bool, bool) {
		return errors.Is(err, mine), !errors.Is(err, context.Canceled) && !errors.Is(err, driver.ErrSkip)
	}}
	s.engine = s
	for err, want := range map[error]verdict{
		mine: never, &pgxError{"22P02"}: later, &pgxError{"40001"}: later, context.Canceled: later,
		fmt.Errorf("%w: %w", driver.ErrSkip, &pgxError{"22P02"}): never,
	} {
		if got := s.weigh(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// TestFailures: what a caller is told of several that failed.
func TestFailures(t *testing.T) {
	bad, away := errors.New("bad"), errors.New("away")
	var f failures
	if err := f.err(3); err != nil {
		t.Error(err)
	}
	f.add(never, bad, 2)
	if err := f.err(1); !errors.Is(err, bad) || f.temporary {
		t.Errorf("%v", err)
	}
	f.add(later, away, 0)
	f.add(never, bad, 1)
	if err := f.err(4); !errors.Is(err, away) || !f.temporary || fmt.Sprint(f.failed) != "[0 1 2]" {
		t.Errorf("%v of %v", err, f.failed)
	}
}
