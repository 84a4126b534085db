package stores_test

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/store"
)

// TestDeadlocks locks rows that receivers write, in the other order.
func TestDeadlocks(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			j := newJob(t, d)
			j.Direct = j.DSN
			var heavy []string // who has written less is the victim, at MariaDB
			if d == store.PostgreSQL {
				// Who has waited for so long looks for a deadlock, and is the victim.
				j.DSN += " deadlock_timeout=20"
			} else {
				j.DSN += "?tx_isolation=%27SERIALIZABLE%27"
				j.run(t, "CREATE TABLE heavy (n INT) ENGINE=InnoDB")
				heavy = append(heavy, "INSERT INTO heavy SELECT seq FROM seq_1_to_5000")
			}
			g := newRig(t, j)
			db, err := sql.Open(j.Driver, j.Direct)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for end := time.Now().Add(pick(time.Minute, 20*time.Minute)); g.seen("40P01", "1213") < pick(5, 200); {
				if time.Now().After(end) {
					t.Fatalf("%d deadlocks", g.seen("40P01", "1213"))
				}
				against(t, db, d, heavy)
			}
			g.settle(nil)
		})
	}
}

// against locks the page views that were heard of last, from the last to the first, one
// by one.
func against(t *testing.T, db *sql.DB, d store.Dialect, heavy []string) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, s := range heavy {
		if _, err := tx.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query("SELECT session, view FROM (SELECT session, view FROM beacon_page_views WHERE activity = 0 ORDER BY heard DESC LIMIT 16) x ORDER BY session DESC, view DESC")
	if err != nil {
		t.Fatal(err)
	}
	var keys [][2]string
	for rows.Next() {
		var k [2]string
		if err := rows.Scan(&k[0], &k[1]); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	rows.Close()
	lock := "SELECT seq FROM beacon_page_views WHERE session = $1 AND view = $2 FOR UPDATE"
	if d == store.MySQL {
		lock = "SELECT seq FROM beacon_page_views WHERE session = ? AND view = ? FOR UPDATE"
	}
	for _, k := range keys {
		var seq int64
		if err := tx.QueryRow(lock, k[0], k[1]).Scan(&seq); err != nil {
			return // this one was the victim
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestSerializationFailures has two receivers write the same page views where the database says
// so if it could not have happened one after the other.
func TestSerializationFailures(t *testing.T) {
	j := newJob(t, store.PostgreSQL)
	j.DSN += " default_transaction_isolation=serializable"
	g := newRig(t, j)
	waitUntil(t, 60*time.Second, "conflicts", func() bool { return g.seen("40001") >= pick(10, 1000) })
	g.settle(nil)
}

// TestLockedTables locks a table for longer than a call of the store may take.
func TestLockedTables(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			j := newJob(t, d)
			j.Timeout = time.Second
			direct := j.DSN
			if d == store.PostgreSQL {
				j.Direct, j.DSN = direct, j.DSN+" statement_timeout=700"
			}
			g := newRig(t, j)
			db, err := sql.Open(j.Driver, direct)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			conn, err := db.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			lock, unlock := []string{"BEGIN", "LOCK TABLE beacon_page_views IN ACCESS EXCLUSIVE MODE"}, "COMMIT"
			if d == store.MySQL {
				lock, unlock = []string{"LOCK TABLES beacon_page_views WRITE"}, "UNLOCK TABLES"
			}
			for _, s := range lock {
				if _, err := conn.ExecContext(context.Background(), s); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(pick(3*time.Second, 30*time.Second))
			if g.failures() == 0 {
				t.Error("no call failed, so nothing is proven")
			}
			if _, err := conn.ExecContext(context.Background(), unlock); err != nil {
				t.Fatal(err)
			}
			g.goesOn("after the lock", 20*time.Second)
			g.settle(nil)
		})
	}
	t.Run("SQLite", func(t *testing.T) {
		j := newJob(t, store.SQLite)
		j.Timeout = time.Second
		wait := regexp.MustCompile(`busy_timeout\(\d+\)`)
		held := j
		held.Hold, held.DSN = true, wait.ReplaceAllString(j.DSN, "busy_timeout(10000)")
		j.DSN = wait.ReplaceAllString(j.DSN, "busy_timeout(300)")
		g := newRig(t, j)
		c := held.start(t) // another process, whose transaction is never committed
		time.Sleep(pick(3*time.Second, 30*time.Second))
		if g.seen("SQLITE_BUSY") == 0 {
			t.Errorf("the store saw %v", g.errors())
		}
		c.kill()
		g.goesOn("after the lock", 20*time.Second)
		g.settle(nil)
	})
}

// TestRefusedConnections takes the right to connect away, and then that to write.
func TestRefusedConnections(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			j := newJob(t, d)
			j.Direct = j.DSN
			var steps []step
			if d == store.PostgreSQL {
				name := regexp.MustCompile(`dbname=(\S+)`).FindStringSubmatch(j.DSN)[1]
				app := "app_" + name
				j.run(t, "CREATE ROLE "+app+" LOGIN", "ALTER DATABASE "+name+" OWNER TO "+app)
				j.DSN = replace(t, j.DSN, "user=beacon", "user="+app)
				gone := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + app + "'"
				steps = []step{
					{"too many connections", []string{"ALTER ROLE " + app + " CONNECTION LIMIT 0", gone}, []string{"ALTER ROLE " + app + " CONNECTION LIMIT -1"}, "53300"},
					{"read-only", []string{"ALTER ROLE " + app + " SET default_transaction_read_only = on", gone}, []string{"ALTER ROLE " + app + " RESET default_transaction_read_only", gone}, "25006"},
					{"not allowed", []string{"ALTER TABLE beacon_events OWNER TO beacon"}, []string{"ALTER TABLE beacon_events OWNER TO " + app}, "42501"},
					{"no table", []string{"ALTER TABLE beacon_attrs RENAME TO beacon_gone"}, []string{"ALTER TABLE beacon_gone RENAME TO beacon_attrs"}, "42P01"},
				}
				t.Cleanup(func() { // after the receivers have gone, before the database does
					j.run(t, "REASSIGN OWNED BY "+app+" TO beacon", "DROP ROLE "+app)
				})
			} else {
				j.run(t, "CREATE USER app@localhost", "GRANT ALL ON *.* TO app@localhost", "REVOKE READ ONLY ADMIN, SUPER, CONNECTION ADMIN ON *.* FROM app@localhost")
				j.DSN = replace(t, j.DSN, "root@", "app@")
				steps = []step{
					{"too many connections", []string{"SET GLOBAL max_connections = 10", "KILL USER app"}, []string{"SET GLOBAL max_connections = 200"}, "1040"},
					{"read-only", []string{"SET GLOBAL read_only = 1"}, []string{"SET GLOBAL read_only = 0"}, "1290"},
					{"not allowed", []string{"ALTER USER app@localhost ACCOUNT LOCK", "KILL USER app"}, []string{"ALTER USER app@localhost ACCOUNT UNLOCK"}, "4151"},
					{"no table", []string{"RENAME TABLE beacon_attrs TO beacon_gone"}, []string{"RENAME TABLE beacon_gone TO beacon_attrs"}, "1146"},
				}
				t.Cleanup(func() { j.run(t, "DROP USER app@localhost") })
			}
			g := newRig(t, j)
			for _, s := range steps {
				release := func() {}
				if s.sees == "1040" {
					release = crowd(t, j, 10)
				}
				j.run(t, s.do...)
				waitUntil(t, 20*time.Second, s.name+": an error "+s.sees, func() bool { return g.seen(s.sees) >= 3 })
				release()
				j.run(t, s.undo...)
				g.goesOn(s.name, 20*time.Second)
			}
			g.settle(nil)
		})
	}
}

// A step takes something away from the receivers, and gives it back when they have seen
// an error.
type step struct {
	name     string
	do, undo []string
	sees     string
}

// crowd takes so many connections.
func crowd(t *testing.T, j job, n int) (release func()) {
	t.Helper()
	db, err := sql.Open(j.Driver, j.Direct)
	if err != nil {
		t.Fatal(err)
	}
	var taken []*sql.Conn
	for range n {
		conn, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, conn)
	}
	return func() {
		for _, c := range taken {
			c.Close()
		}
		db.Close()
	}
}

func replace(t *testing.T, s, from, to string) string {
	t.Helper()
	before, after, ok := strings.Cut(s, from)
	if !ok {
		t.Fatalf("no %s in %s", from, s)
	}
	return before + to + after
}
