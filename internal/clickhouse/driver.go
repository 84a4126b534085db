package clickhouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"net/url"
)

// The least of a driver for database/sql. A connection is nothing but the Client, which
// has those of HTTP.

type connector struct{ c *Client }

func (c connector) Connect(context.Context) (driver.Conn, error) { return conn(c), nil }
func (c connector) Driver() driver.Driver                        { return c }
func (c connector) Open(string) (driver.Conn, error)             { return conn(c), nil }

type conn struct{ c *Client }

var (
	_ driver.QueryerContext = conn{}
	_ driver.ExecerContext  = conn{}
	_ driver.Pinger         = conn{}
)

var errTransactions = errors.New("ClickHouse has no transactions")

func (conn) Close() error              { return nil }
func (conn) Begin() (driver.Tx, error) { return nil, errTransactions }
func (c conn) Ping(ctx context.Context) error {
	_, err := c.ExecContext(ctx, "SELECT 1", nil)
	return err
}

func (c conn) Prepare(query string) (driver.Stmt, error) { return statement{c, query}, nil }

// ExecContext runs a statement, and ignores what it answers. It does not know how many
// rows it changed.
func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	text, err := fill(query, args)
	if err != nil {
		return nil, err
	}
	if err := c.c.exec(ctx, nil, text); err != nil {
		return nil, err
	}
	return driver.ResultNoRows, nil
}

// QueryContext asks, and returns rows as they come.
func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	text, err := fill(query, args)
	if err != nil {
		return nil, err
	}
	answer, err := c.c.do(ctx, url.Values{"default_format": {"TabSeparatedWithNamesAndTypes"}}, text)
	if err != nil {
		return nil, err
	}
	return newRows(answer)
}

// A statement is not prepared: the server has none that are.
type statement struct {
	c     conn
	query string
}

func (s statement) Close() error  { return nil }
func (s statement) NumInput() int { return -1 }

func (s statement) Exec(args []driver.Value) (driver.Result, error) {
	return s.c.ExecContext(context.Background(), s.query, named(args))
}

func (s statement) Query(args []driver.Value) (driver.Rows, error) {
	return s.c.QueryContext(context.Background(), s.query, named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	all := make([]driver.NamedValue, len(args))
	for i, a := range args {
		all[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return all
}
