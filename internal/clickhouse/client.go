// Package clickhouse speaks the HTTP interface of ClickHouse: inserts, and questions by
// way of database/sql. It uses what servers from 18.16 on have.
package clickhouse

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Client asks one server, or what stands in front of several. It is safe for concurrent
// use.
type Client struct {
	url      *url.URL
	http     *http.Client
	database string
	header   http.Header
	insert   map[string]string // settings of inserts
}

// Options of a Client.
type Options struct {
	URL      string       // of the HTTP interface
	HTTP     *http.Client // default one of its own
	Database string       // default that of the user
	User     string       // default "default", or what the URL has
	Password string
}

// New returns a Client, which does not ask anything yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil { // which would print the URL, and a password in it
		return nil, errors.New("the URL cannot be parsed")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the URL is none of http or https with a host")
	}
	c := &Client{url: u, http: o.HTTP, header: http.Header{}}
	query := u.Query()
	secret, _ := u.User.Password()
	c.database = cmp.Or(o.Database, query.Get("database"))
	user := cmp.Or(o.User, u.User.Username(), query.Get("user"))
	password := cmp.Or(o.Password, secret, query.Get("password"))
	for _, name := range []string{"user", "password", "database", "query"} {
		query.Del(name)
	}
	u.User, u.RawQuery, u.Fragment = nil, query.Encode(), ""
	if user != "" {
		c.header.Set("X-ClickHouse-User", user)
	}
	if password != "" {
		c.header.Set("X-ClickHouse-Key", password)
	}
	if c.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 32
		transport.IdleConnTimeout = 2 * time.Second // servers end them after 3 s or more
		transport.DisableCompression = true
		c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the password is for the host that was named
		}}
	}
	return c, nil
}

// DB returns the server as a database to ask. Statements are not part of transactions,
// and the Client stays usable when it is closed.
func (c *Client) DB() *sql.DB { return sql.OpenDB(c.Connector()) }

// Connector is what DB opens.
func (c *Client) Connector() driver.Connector { return connector{c} }

// SetInsert makes settings go with each insert from then on. It is not for concurrent
// use with one.
func (c *Client) SetInsert(settings map[string]string) { c.insert = maps.Clone(settings) }

// Insert sends rows in the format Values, and returns when the server has them. In that
// one a row has an end of its own: a server takes the end of a connection for that of what
// is sent, and would store the beginning of a row whose last cell may be shorter.
func (c *Client) Insert(ctx context.Context, into string, rows []byte) error {
	settings := url.Values{}
	for name, value := range c.insert {
		settings.Set(name, value)
	}
	settings.Set("query", "INSERT INTO "+into+" FORMAT Values")
	answer, err := c.do(ctx, settings, rows)
	if err != nil {
		return err
	}
	defer answer.Close()
	// An insert that worked has no answer but the end of it.
	b, err := io.ReadAll(io.LimitReader(answer, maxMessage))
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if len(b) > 0 {
		return newError(http.StatusOK, nil, b)
	}
	return nil
}

// Exec runs a statement with settings of its own.
func (c *Client) Exec(ctx context.Context, settings map[string]string, query string, args ...any) error {
	values := url.Values{}
	for name, value := range settings {
		values.Set(name, value)
	}
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return err
		}
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	text, err := fill(query, named)
	if err != nil {
		return err
	}
	return c.exec(ctx, values, text)
}

// exec runs a statement, and reads its answer to the end.
func (c *Client) exec(ctx context.Context, settings url.Values, text []byte) error {
	answer, err := c.do(ctx, settings, text)
	if err != nil {
		return err
	}
	defer answer.Close()
	if _, err := io.Copy(io.Discard, answer); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}

// maxMessage is how much of an error is read. Errors of the server have a line or
// two, and some the row that they are about.
const maxMessage = 4 << 10

// do sends a body, and returns the body of an answer that is no error.
func (c *Client) do(ctx context.Context, settings url.Values, body []byte) (io.ReadCloser, error) {
	u := *c.url
	query := u.Query()
	if c.database != "" {
		query.Set("database", c.database)
	}
	// The server keeps the answer until it knows that there is no error: else that
	// might come in the middle, behind a 200.
	query.Set("wait_end_of_query", "1")
	maps.Copy(query, settings)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, hide(err)
	}
	maps.Copy(r.Header, c.header)
	// Whatever is sent may be sent again, so a connection that the server has just
	// ended for idleness is no failure. It is not a header of the request.
	r.Header["Idempotency-Key"] = []string{}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, hide(err)
	}
	if answer.StatusCode == http.StatusOK && answer.Header.Get("X-ClickHouse-Exception-Code") == "" {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxMessage))
	if err != nil && len(b) == 0 {
		return nil, fmt.Errorf("status %d, of which the rest is missing: %w", answer.StatusCode, err)
	}
	return nil, newError(answer.StatusCode, answer.Header, b)
}

// hide returns an error without the URL, which has settings and statements.
func hide(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", strings.ToLower(e.Op), e.Err)
	}
	return err
}
