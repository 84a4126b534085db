package stores_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// TestPlans: a question about a day or a session reads what is in it, by an index, and
// never the whole of a table.
func TestPlans(t *testing.T) {
	ctx := context.Background()
	stores.Each(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		open(t, db, d, store.Options{})
		views := month(20_000)
		for i := range views {
			if i%2 == 0 { // a page view without a session is found by its time, too
				views[i].Session = ""
			}
		}
		put(t, db, views)
		manyEvents(t, db, d, 20_000)
		if d != store.SQLite { // which does not look at its tables by itself
			analyze(t, db, d)
		}
		asked := &asked{to: db.Driver(), db: db}
		s := open(t, sql.OpenDB(asked), d, store.Options{})
		// A day of a table of years is as a quarter of an hour of these.
		day := store.Query{From: epoch.AddDate(0, 0, 14), To: epoch.AddDate(0, 0, 14).Add(15 * time.Minute), Late: time.Hour}
		today := store.Query{From: epoch.AddDate(0, 0, 30).Add(-15 * time.Minute)}
		visitor := store.Query{Session: "visitor7"}
		for name, ask := range map[string]func() error{
			"sessions of a day":       func() error { _, err := s.Sessions(ctx, day); return err },
			"sessions of today":       func() error { _, err := s.Sessions(ctx, today); return err },
			"pages of a day":          func() error { _, err := s.Pages(ctx, day); return err },
			"days":                    func() error { _, err := s.Days(ctx, today, nil); return err },
			"page views of a session": func() error { _, err := s.PageViews(ctx, visitor); return err },
			"one session":             func() error { _, err := s.Sessions(ctx, visitor); return err },
			"events of a day": func() error {
				_, err := s.Export(ctx, io.Discard, store.Query{From: day.From, To: day.To, Limit: 100})
				return err
			},
			"events of a session": func() error { _, err := s.Export(ctx, io.Discard, visitor); return err },
			"first events":        func() error { _, err := s.Export(ctx, io.Discard, store.Query{Limit: 10}); return err },
			"last events":         func() error { _, err := s.Export(ctx, io.Discard, store.Query{Limit: 10, Newest: true}); return err },
			"forget":              func() error { _, err := s.Forget(ctx, "visitor7"); return err },
			"forget an attribute": func() error { _, err := s.ForgetAttr(ctx, "user", "7"); return err },
			"prune":               func() error { _, err := s.Prune(ctx, epoch.Add(time.Hour)); return err },
		} {
			asked.take()
			if err := ask(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			questions := asked.take()
			if len(questions) == 0 {
				t.Errorf("%s: no question was seen", name)
			}
			for _, q := range questions {
				plan, scans := scans(t, db, d, q)
				if strings.Contains(q.text, "heard >= ") && strings.Count(plan, "beacon_page_views USING PRIMARY KEY (session=?)") > 1 {
					scans = true // those without a session
				}
				if scans {
					t.Errorf("%s reads all of a table:\n%.1000s\n%.4000s", name, q.text, plan)
				}
			}
		}
		// The test can see it: everything does read everything.
		if _, err := s.Sessions(ctx, store.Query{}); err != nil {
			t.Fatal(err)
		}
		if _, scans := scans(t, db, d, asked.take()[0]); !scans {
			t.Error("a question about everything is not seen to read everything")
		}
	})
}

// manyEvents fills the table of events, one attribute each.
func manyEvents(t testing.TB, db *sql.DB, d store.Dialect, n int) {
	t.Helper()
	at := "NULL"
	for i := 0; i < n; i += 1000 {
		var events, attrs []string
		for k := i; k < i+1000; k++ {
			us := epoch.Add(time.Duration(k) * (30 * 24 * time.Hour / time.Duration(n))).UnixMicro()
			events = append(events, fmt.Sprintf(`('e%d', %d, %d, 'x', 'empty', '/', 'visitor%d', 'v', '', 0, '', 0, %s, '{"v":1,"id":"e%d"}')`, k, us, us, k/3, at, k))
			attrs = append(attrs, fmt.Sprintf("('user', '%d', 'e%d')", k/5, k))
		}
		for _, text := range []string{
			`INSERT INTO beacon_events (id, received, time, name, kind, page, session, view, series, seq, mode, verified, data, event) VALUES ` + strings.Join(events, ", "),
			`INSERT INTO beacon_attrs (name, value, id) VALUES ` + strings.Join(attrs, ", "),
		} {
			if _, err := db.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var table = regexp.MustCompile(`beacon_(page_views|events|attrs)`)

// scans says whether the plan of a question reads all of a table of the store.
func scans(t *testing.T, db *sql.DB, d store.Dialect, q question) (plan string, yes bool) {
	t.Helper()
	explain := "EXPLAIN "
	if d == store.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := db.Query(explain+q.text, q.args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var row strings.Builder
		for i, v := range values {
			row.WriteString(columns[i] + "=" + v.String + " ")
		}
		plan += row.String() + "\n"
		switch d {
		case store.PostgreSQL:
			yes = yes || strings.Contains(row.String(), "Seq Scan on beacon_")
		case store.SQLite: // with LIMIT, a scan of an index ends early
			yes = yes || strings.Contains(row.String(), "SCAN beacon_") && !(strings.Contains(row.String(), "USING INDEX") && strings.Contains(q.text, "LIMIT"))
		case store.MySQL:
			whole := strings.Contains(row.String(), "type=ALL") || strings.Contains(row.String(), "type=index ") && !strings.Contains(q.text, "LIMIT")
			yes = yes || whole && table.MatchString(row.String())
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan, yes
}

// asked is a driver.Connector that notes what is asked and erased.
type asked struct {
	to driver.Driver
	db *sql.DB

	mu  sync.Mutex
	all []question
}

type question struct {
	text string
	args []any
}

func (a *asked) take() []question {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

func (a *asked) note(text string, args []driver.NamedValue) {
	if !table.MatchString(text) || strings.HasPrefix(text, "CREATE") {
		return
	}
	q := question{text: text}
	for _, v := range args {
		q.args = append(q.args, v.Value)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, q)
}

func (a *asked) Driver() driver.Driver { return a.to }

// Connect takes a connection out of the other database, for as long as it is open.
func (a *asked) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := a.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var inner driver.Conn
	if err := conn.Raw(func(c any) error { inner = c.(driver.Conn); return nil }); err != nil {
		return nil, err
	}
	return &askedConn{Conn: inner, a: a, held: conn}, nil
}

type askedConn struct {
	driver.Conn
	a    *asked
	held *sql.Conn
}

func (c *askedConn) Close() error { return c.held.Close() }

func (c *askedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *askedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args)
	if err != driver.ErrSkip {
		c.a.note(text, args)
	}
	return rows, err
}

func (c *askedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	return &askedStmt{s, c.a, text}, err
}

func (c *askedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, text, args)
	if err != driver.ErrSkip {
		c.a.note(text, args)
	}
	return r, err
}

// askedStmt is for drivers that prepare what has parameters.
type askedStmt struct {
	driver.Stmt
	a    *asked
	text string
}

func (s *askedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.a.note(s.text, args)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *askedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.a.note(s.text, args)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}
