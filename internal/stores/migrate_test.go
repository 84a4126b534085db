package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// TestOpenTogether: several processes that start at once make the tables once.
func TestOpenTogether(t *testing.T) {
	if args := os.Getenv("BEACON_OPEN"); args != "" { // one of those
		var d store.Dialect
		f := strings.SplitN(args, "|", 3)
		fmt.Sscan(f[0], &d)
		db, err := sql.Open(f[1], f[2])
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := open(t, db, d, store.Options{}).Consume(context.Background(), reports(50)); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, d := range stores.Dialects {
		t.Run(d.String(), func(t *testing.T) {
			driver, dsn := stores.DSN(t, d)
			results := make(chan error)
			const processes = 5
			for range processes {
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOpenTogether$")
					cmd.Env = append(os.Environ(), fmt.Sprintf("BEACON_OPEN=%d|%s|%s", int(d), driver, dsn))
					out, err := cmd.CombinedOutput()
					if err != nil {
						err = fmt.Errorf("%w\n%s", err, out)
					}
					results <- err
				}()
			}
			for range processes {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if n := len(storedEvents(t, db)); n != 50 {
				t.Errorf("%d events", n)
			}
			if n := tables(t, db, d); n != 5 {
				t.Errorf("%d tables and views", n)
			}
		})
	}
}

// tables returns how many tables and views there are.
func tables(t *testing.T, db *sql.DB, d store.Dialect) (n int) {
	t.Helper()
	query := map[store.Dialect]string{
		store.PostgreSQL: "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'",
		store.MySQL:      "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()",
		store.SQLite:     "SELECT COUNT(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'",
	}[d]
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestVersions: tables that are not complete are completed, and newer ones let alone.
func TestVersions(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		ctx := context.Background()
		s := open(t, db, d, store.Options{})
		if err := s.Consume(ctx, reports(10)); err != nil {
			t.Fatal(err)
		}
		// What a database that has no transactions for this may have been left with.
		index := "DROP INDEX beacon_page_views_heard"
		version := func(n int) string {
			return fmt.Sprintf("UPDATE beacon_meta SET value = '%d' WHERE name = 'version'", n)
		}
		switch d {
		case store.MySQL:
			index += " ON beacon_page_views"
		case store.ClickHouse: // which has no indexes, but a table that is as good as one
			index = "DROP TABLE beacon_event_ids"
			version = func(n int) string {
				return fmt.Sprintf("INSERT INTO beacon_meta VALUES ('version', '%d', %d)", n, time.Now().UnixNano())
			}
		}
		for _, statement := range []string{index, "DROP TABLE beacon_attrs", version(0)} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Healthy(ctx); err == nil {
			t.Error("healthy with a part of the tables")
		}
		s = open(t, db, d, store.Options{})
		if err := s.Healthy(ctx); err != nil {
			t.Error(err)
		}
		again := reports(12)
		for i := range again {
			again[i].Attrs = map[string]string{"user": "7"}
		}
		if err := s.Consume(ctx, again); err != nil {
			t.Error(err)
		}
		if n := len(storedEvents(t, db)); n != 12 {
			t.Errorf("%d events", n)
		}
		if _, err := db.Exec(index); err != nil {
			t.Errorf("the index was not made again: %v", err)
		}

		if _, err := db.Exec(version(99)); err != nil {
			t.Fatal(err)
		}
		if _, err := stores.Open(ctx, db, d, store.Options{}); err == nil || !strings.Contains(err.Error(), "newer version of this package: 99") {
			t.Errorf("%v", err)
		}
		if err := s.Healthy(ctx); err == nil {
			t.Error("healthy with newer tables")
		}
	})
}

// TestRulesChange: the view of the sessions is that of the rules of the last start, and what
// the host has made of it stays.
func TestRulesChange(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		events := reports(2)
		events[1].Session, events[1].View = events[0].Session, "w" // a second later
		for i, c := range []struct {
			gap  time.Duration
			want int
		}{{time.Minute, 1}, {time.Millisecond, 2}, {time.Minute, 1}} {
			s := open(t, db, d, store.Options{Rules: sessions.Rules{Gap: c.gap}})
			if err := s.Consume(context.Background(), events); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.QueryRow("SELECT COUNT(*) FROM beacon_sessions").Scan(&n); err != nil || n != c.want {
				t.Errorf("%d sessions with a gap of %v, want %d (%v)", n, c.gap, c.want, err)
			}
			if i == 0 {
				if _, err := db.Exec("CREATE VIEW my_sessions AS SELECT id FROM beacon_sessions"); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.QueryRow("SELECT COUNT(*) FROM my_sessions").Scan(&n); err != nil || n != c.want {
				t.Errorf("%d sessions in a view of the host's, with a gap of %v, want %d (%v)", n, c.gap, c.want, err)
			}
		}
	})
}

// TestPrefixes: stores with different prefixes have nothing in common.
func TestPrefixes(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		ctx := context.Background()
		long := strings.Repeat("p", 32)
		for i, prefix := range []string{"", "x_", "_", long} {
			s := open(t, db, d, store.Options{Prefix: prefix})
			for range 2 {
				if err := s.Consume(ctx, reports(i+1)); err != nil {
					t.Error(prefix, err)
				}
			}
		}
		for i, prefix := range []string{"beacon_", "x_", "_", long} {
			var n int
			if err := db.QueryRow("SELECT COUNT(DISTINCT id) FROM " + prefix + "events").Scan(&n); err != nil || n != i+1 {
				t.Errorf("%q: %d events, want %d (%v)", prefix, n, i+1, err)
			}
		}
	})
}

// TestMistakes: what cannot work is an error of Open that says so.
func TestMistakes(t *testing.T) {
	ctx := context.Background()
	fails := func(db *sql.DB, d store.Dialect, o store.Options, says string) {
		t.Helper()
		if _, err := store.Open(ctx, db, d, o); err == nil || !strings.HasPrefix(err.Error(), "store: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want one that says %q", err, says)
		}
	}
	lite := stores.DB(t, store.SQLite)
	fails(nil, store.SQLite, store.Options{}, "no database")
	fails(lite, 0, store.Options{}, "dialect")
	fails(lite, 5, store.Options{}, "dialect")
	fails(lite, store.ClickHouse, store.Options{}, "OpenClickHouse")
	for _, prefix := range []string{"a b", "A", "1a", "a.b", `a"`, "a`", "a;b", "ä", "a-", " ", strings.Repeat("p", 33)} {
		fails(lite, store.SQLite, store.Options{Prefix: prefix}, "Options.Prefix")
	}
	fails(lite, store.SQLite, store.Options{Rules: sessions.Rules{Gap: -1}}, "Options.Rules")
	fails(lite, store.PostgreSQL, store.Options{}, "")

	memory, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	fails(memory, store.SQLite, store.Options{}, "SetMaxOpenConns(1)")
	memory.SetMaxOpenConns(1)
	if err := open(t, memory, store.SQLite, store.Options{}).Consume(ctx, reports(3)); err != nil {
		t.Error(err)
	}
	if n := len(storedEvents(t, memory)); n != 3 {
		t.Errorf("%d events in memory", n)
	}

	maria := stores.DB(t, store.MySQL)
	fails(maria, store.PostgreSQL, store.Options{}, "")
	var name string
	if err := maria.QueryRow("SELECT DATABASE()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	with := func(d store.Dialect, options, says string) {
		t.Helper()
		db, err := sql.Open(map[store.Dialect]string{store.MySQL: "mysql", store.PostgreSQL: "pgx"}[d], stores.ServerOf(t, d).DSN(name)+options)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fails(db, d, store.Options{}, says)
	}
	with(store.MySQL, "?charset=latin1", "latin1")
	with(store.MySQL, "?character_set_connection=latin1", "latin1") // in which parameters lose characters
	with(store.MySQL, "?character_set_results=latin1", "latin1")
	with(store.MySQL, "?sql_mode=%27EMPTY_STRING_IS_NULL%27", "EMPTY_STRING_IS_NULL")

	postgres := stores.DB(t, store.PostgreSQL)
	fails(postgres, store.MySQL, store.Options{}, "")
	if err := postgres.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	with(store.PostgreSQL, " client_encoding=latin1", "client_encoding")
	with(store.PostgreSQL, " array_nulls=off", "array_nulls") // where every event would be refused, and for good
	name += "_latin"
	if _, err := postgres.Exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C'"); err != nil {
		t.Fatal(err)
	}
	latin, err := sql.Open("pgx", stores.ServerOf(t, store.PostgreSQL).DSN(name))
	if err != nil {
		t.Fatal(err)
	}
	fails(latin, store.PostgreSQL, store.Options{}, "LATIN1")
	if err := latin.Close(); err != nil {
		t.Error(err)
	}
	if _, err := postgres.Exec("DROP DATABASE " + name); err != nil {
		t.Error(err)
	}
}

// TestOtherModes: drivers that are set up in other ways.
func TestOtherModes(t *testing.T) {
	for _, c := range []struct {
		name, options string
		d             store.Dialect
	}{
		{"PostgreSQL without prepared statements", " default_query_exec_mode=simple_protocol", store.PostgreSQL},
		{"PostgreSQL without cached statements", " default_query_exec_mode=exec", store.PostgreSQL},
		{"PostgreSQL in a schema", " search_path='\"a tenant\"'", store.PostgreSQL},
		{"PostgreSQL with serializable transactions", " default_transaction_isolation=serializable", store.PostgreSQL},
		{"MySQL with parameters in the text", "?interpolateParams=true", store.MySQL},
		{"MySQL that takes any value", "?interpolateParams=true&sql_mode=%27%27", store.MySQL},
		{"MySQL where a backslash is one", "?interpolateParams=true&sql_mode=%27NO_BACKSLASH_ESCAPES%27", store.MySQL},
		{"MySQL with times, other modes and rows found", "?parseTime=true&clientFoundRows=true&sql_mode=%27ANSI,NO_BACKSLASH_ESCAPES%27", store.MySQL},
		{"MySQL that commits by itself no more", "?autocommit=0", store.MySQL},
	} {
		t.Run(c.name, func(t *testing.T) {
			driver, dsn := stores.DSN(t, c.d)
			db, err := sql.Open(driver, dsn+c.options)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			meta := "beacon_meta"
			other, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if strings.Contains(c.options, "search_path") {
				meta = `"a tenant".beacon_meta`
				if _, err := other.Exec(`CREATE SCHEMA "a tenant"`); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, db, c.d, store.Options{})
			var n int
			if err := other.QueryRow("SELECT COUNT(*) FROM " + meta).Scan(&n); err != nil || n != 2 {
				t.Errorf("others see %d of 2 rows about the tables (%v)", n, err)
			}
			events := reports(300)
			for i := range events {
				events[i].Session = hostile[i%len(hostile)]
				events[i].Page = hostile[i%len(hostile)]
			}
			for range 2 {
				if err := s.Consume(context.Background(), events); err != nil {
					t.Fatal(err)
				}
			}
			sameAsJoined(t, db, events)

			// And each question, with as many kinds of parameters as there are.
			ctx := context.Background()
			first, last := events[0].Received, events[len(events)-1].Received.Add(time.Second)
			q := store.Query{From: first, To: last, Limit: 1000}
			all, err := s.Sessions(ctx, q)
			if err != nil || len(all) == 0 {
				t.Errorf("%d sessions, %v", len(all), err)
			}
			if err := db.QueryRow("SELECT COUNT(*) FROM beacon_sessions").Scan(&n); err != nil || n != len(all) {
				t.Errorf("the view has %d sessions, %v; want %d", n, err, len(all))
			}
			var found int64
			for _, text := range hostile {
				q.Page = text
				n, err := s.Export(ctx, io.Discard, q)
				if err != nil || n == 0 && text != "" {
					t.Errorf("page %.40q: %d events, %v", text, n, err)
				}
				found += n
				k, err := s.Forget(ctx, text)
				if err != nil || k == 0 && text != "" {
					t.Errorf("session %.40q: %d rows, %v", text, k, err)
				}
			}
			if found == 0 {
				t.Error("no page was found")
			}
			if _, err := s.Prune(ctx, last); err != nil {
				t.Error(err)
			}
			if left := len(storedEvents(t, db)); left != 0 {
				t.Errorf("%d events are left", left)
			}
		})
	}
}

// TestFewRights: who may write, and nothing else, can open tables that are there.
func TestFewRights(t *testing.T) {
	db := stores.DB(t, store.PostgreSQL)
	open(t, db, store.PostgreSQL, store.Options{})
	var name string
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	role := "writer_of_" + name
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN",
		"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO " + role,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		db.Exec("DROP OWNED BY " + role)
		if _, err := db.Exec("DROP ROLE " + role); err != nil {
			t.Error(err)
		}
	})
	dsn := strings.Replace(stores.ServerOf(t, store.PostgreSQL).DSN(name), "user=beacon", "user="+role, 1)
	few, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer few.Close()
	if err := open(t, few, store.PostgreSQL, store.Options{}).Consume(context.Background(), reports(3)); err != nil {
		t.Error(err)
	}
}
