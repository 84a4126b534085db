package clickhouse

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestText: what is escaped is what it was, and has nothing of what ends a cell.
func TestText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 12))
	const few = "\\\t\n\r\x00'\"abN0\xff\b\f"
	for range 10_000 {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = few[r.IntN(len(few))]
		}
		escaped := AppendText(nil, string(b))
		if strings.ContainsAny(string(escaped), "\t\n\r\x00") || string(escaped) == `\N` {
			t.Fatalf("%q is escaped as %q", b, escaped)
		}
		if got := unescape(escaped); string(got) != string(b) {
			t.Fatalf("%q came back as %q", b, got)
		}
	}
}

func TestFill(t *testing.T) {
	of := func(values ...any) (args []driver.NamedValue) {
		for i, v := range values {
			args = append(args, driver.NamedValue{Ordinal: i + 1, Value: v})
		}
		return args
	}
	for _, c := range []struct {
		query string
		args  []driver.NamedValue
		want  string // "" is an error
	}{
		{"SELECT ?, '?', `?`, \"?\", '\\'?', ?", of(int64(1), "'; DROP TABLE x; --\\"), `SELECT 1, '?', ` + "`?`" + `, "?", '\'?', '\'; DROP TABLE x; --\\'`},
		{"SELECT 1-?", of(int64(-5)), "SELECT 1-(-5)"},
		{"SELECT ?", of(nil), "SELECT NULL"},
		{"SELECT ?", nil, ""}, {"SELECT 1", of(int64(1)), ""}, {"SELECT ?", of(1.5), ""},
	} {
		got, err := fill(c.query, c.args)
		if string(got) != c.want || err == nil != (c.want != "") {
			t.Errorf("%s: %s (%v), want %s", c.query, got, err, c.want)
		}
	}
}

// serve returns a Client of a server that answers as it is told.
func serve(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, User: "me", Password: "s3cr3t", Database: "db"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestInsertAnswers: an insert has worked if the server says so, to the end, and in no
// other case.
func TestInsertAnswers(t *testing.T) {
	hijack := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, text)
			conn.Close()
		}
	}
	say := func(status int, text string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, text)
		}
	}
	const late = "Code: 241, e.displayText() = DB::Exception: Memory limit exceeded, e.what() = DB::Exception"
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		ok     bool
		code   int // of the Error, if it is one
		after  time.Duration
	}{
		"taken":                          {say(200, ""), true, 0, 0},
		"an error":                       {say(500, late), false, 241, 0},
		"an error behind a 200":          {say(200, late), false, 241, 0},
		"an error in a header":           {say(200, "", "X-ClickHouse-Exception-Code", "252"), false, 252, 0},
		"an error behind rows":           {say(200, "1\n2\n"+late), false, 241, 0},
		"a page of somebody else's":      {say(200, "<html>Sign in"), false, 0, 0},
		"a proxy that is full":           {say(503, "busy", "Retry-After", "7"), false, 0, 7 * time.Second},
		"no end of the header":           {hijack("HTTP/1.1 200 OK\r\nContent-Le"), false, -1, 0},
		"no answer":                      {hijack(""), false, -1, 0},
		"no end of a chunked answer":     {hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), false, -1, 0},
		"less than was to come":          {hijack("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), false, -1, 0},
		"an error of which not all came": {hijack("HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n" + late), false, 241, 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := serve(t, c.answer).Insert(context.Background(), "t", []byte("(1)"))
			if err == nil != c.ok {
				t.Fatalf("%v", err)
			}
			e, is := errors.AsType[*Error](err)
			switch {
			case c.ok:
			case is != (c.code >= 0):
				t.Errorf("%T %v", err, err)
			case is && (e.Code != c.code || e.After != c.after):
				t.Errorf("%+v", e)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "127.0.0.1") && strings.Contains(err.Error(), "query=")) {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

// TestRequest: who asks is in headers, settings of inserts go with inserts, and the server
// waits with its answer.
func TestRequest(t *testing.T) {
	var header http.Header
	var query map[string][]string
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header, query = r.Header, r.URL.Query()
		b, _ := io.ReadAll(r.Body)
		body = string(b)
	})
	c.SetInsert(map[string]string{"insert_quorum": "2"})
	if err := c.Insert(context.Background(), "t (a)", []byte("(1)")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(header["X-Clickhouse-User"], header["X-Clickhouse-Key"], header["Idempotency-Key"]); got != "[me] [s3cr3t] []" {
		t.Error(got)
	}
	if got := fmt.Sprint(query); got != "map[database:[db] insert_quorum:[2] query:[INSERT INTO t (a) FORMAT Values] wait_end_of_query:[1]]" || body != "(1)" {
		t.Error(got, body)
	}
	if err := c.Exec(context.Background(), map[string]string{"a": "b"}, "DROP ?", "x"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(query); got != "map[a:[b] database:[db] wait_end_of_query:[1]]" || body != "DROP 'x'" {
		t.Error(got, body)
	}
}

// TestURL: what a URL says of who asks is in no error.
func TestURL(t *testing.T) {
	for _, bad := range []string{"", "localhost:8123", "ftp://x/", "http://", "http://me:s3cr3t@[::1/", "://s3cr3t"} {
		if _, err := New(Options{URL: bad}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	c, err := New(Options{URL: "http://me:s3cr3t@127.0.0.1:1/?database=db&max_threads=2&password=other"})
	if err != nil {
		t.Fatal(err)
	}
	if c.url.String() != "http://127.0.0.1:1/?max_threads=2" || c.header.Get("X-ClickHouse-Key") != "s3cr3t" || c.database != "db" {
		t.Errorf("%v %v %v", c.url, c.header, c.database)
	}
	if err := c.Insert(context.Background(), "t", nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
}

// TestRows: rows have the types of their columns, and an answer that ends early is an
// error.
func TestRows(t *testing.T) {
	const head = "a\tb\tc\td\te\nInt64\tNullable(String)\tFloat64\tDateTime('UTC')\tUInt64\n"
	for _, c := range []struct{ answer, want string }{
		{head, ""},
		{head + "-7\t\\N\t1.5\t2026-03-04 05:06:07\t18446744073709551615\n", "[-7 <nil> 1.5 2026-03-04 05:06:07 +0000 UTC 18446744073709551615]"},
		{head + "1\tx\\ty\\\\N\t2\t1970-01-01 00:00:00\t1\n", "[1 x\ty\\N 2 1970-01-01 00:00:00 +0000 UTC 1]"},
		{head + "1\tx\t2\t1970-01-01 00:00:00\t1", "error"},
		{head + "1\tx\n", "error"},
		{head + "Code: 241, e.displayText() = DB::Exception: late\n", "error"},
		{"a\n", "error"},
		{"", ""},
	} {
		db := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, c.answer) }).DB()
		got := ""
		rows, err := db.Query("SELECT ?", "x")
		if err == nil {
			for rows.Next() {
				values := make([]any, 5)
				if err = rows.Scan(&values[0], &values[1], &values[2], &values[3], &values[4]); err != nil {
					break
				}
				got += fmt.Sprint(values)
			}
			err = errors.Join(err, rows.Err(), rows.Close())
		}
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q: %s (%v), want %s", c.answer, got, err, c.want)
		}
		db.Close()
	}
}

// TestNoTransactions: what would not hold is refused.
func TestNoTransactions(t *testing.T) {
	db := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }).DB()
	defer db.Close()
	if _, err := db.Begin(); !errors.Is(err, errTransactions) {
		t.Error(err)
	}
}
