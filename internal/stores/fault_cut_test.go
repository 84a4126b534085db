package stores_test

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/store"
)

// A proxy stands in front of a database server, and cuts each connection, sooner or later:
// in the middle of what the client says, of what the server says, before a commit, or
// between a commit and the answer to it.
type proxy struct {
	socket string // of the server, or its address
	ln     net.Listener
	wg     sync.WaitGroup
	mended atomic.Bool // nothing is cut any more

	commitless bool // nobody says it: an answer that is cut is that of a commit

	mu   sync.Mutex
	open map[net.Conn]bool

	requests, answers, unsaid, commits atomic.Int64 // how often each was cut
}

// cutProxy returns a proxy in front of the server of a job, and the job behind it.
func cutProxy(t *testing.T, j job) (*proxy, job) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, open: map[net.Conn]bool{}}
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	j.Direct = j.DSN
	switch j.Dialect {
	case store.PostgreSQL:
		dir := regexp.MustCompile(`host=(\S+)`).FindStringSubmatch(j.DSN)[1]
		p.socket = filepath.Join(dir, ".s.PGSQL.5432")
		j.DSN = strings.Replace(j.DSN, "host="+dir, "host="+host+" port="+port+" sslmode=disable", 1)
	case store.MySQL:
		p.socket = regexp.MustCompile(`unix\((.*?)\)`).FindStringSubmatch(j.DSN)[1]
		j.DSN = strings.Replace(j.DSN, "unix("+p.socket+")", "tcp("+ln.Addr().String()+")", 1)
	case store.ClickHouse:
		p.commitless = true
		p.socket = regexp.MustCompile(`//(.*?)/`).FindStringSubmatch(j.DSN)[1]
		j.DSN = strings.Replace(j.DSN, p.socket, ln.Addr().String(), 1)
	}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		ln.Close()
		p.cutAll()
		p.wg.Wait()
	})
	return p, j
}

func (p *proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// cutAll cuts what is open.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *proxy) note(c net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[c] = true
	} else {
		delete(p.open, c)
	}
}

// serve brings what is said from one side to the other until its time has come.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	network := "unix"
	if !strings.HasPrefix(p.socket, "/") {
		network = "tcp"
	}
	server, err := net.Dial(network, p.socket)
	if err != nil {
		return
	}
	defer server.Close()
	p.note(client, true)
	defer p.note(client, false)

	const never = 1 << 62
	requests, answers, unsaid, commits := int64(never), int64(never), int64(never), int64(never)
	if !p.mended.Load() {
		kinds := 4
		if p.commitless {
			kinds = 2
		}
		switch rand.N(kinds) {
		case 0:
			requests = 1 + rand.N[int64](300<<10)
		case 1:
			answers = 1 + rand.N[int64](1500)
		case 2:
			commits = 1 + rand.N[int64](6)
		case 3:
			unsaid = 1 + rand.N[int64](6)
		}
	}
	var committing atomic.Bool
	p.wg.Go(func() {
		defer client.Close()
		defer server.Close()
		buf := make([]byte, 64<<10)
		for left := answers; ; {
			n, err := server.Read(buf)
			if n > 0 && committing.Load() { // it has committed, and nobody will know
				p.commits.Add(1)
				return
			}
			if int64(n) > left {
				p.answers.Add(1)
				client.Write(buf[:left])
				return
			}
			left -= int64(n)
			if _, e := client.Write(buf[:n]); err != nil || e != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for left := requests; ; {
		n, err := client.Read(buf)
		if int64(n) > left {
			p.requests.Add(1)
			server.Write(buf[:left])
			return
		}
		left -= int64(n)
		if n < 64 && bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit")) {
			if unsaid--; unsaid == 0 {
				p.unsaid.Add(1)
				return
			}
			commits--
			committing.Store(commits == 0)
		}
		if _, e := server.Write(buf[:n]); err != nil || e != nil {
			return
		}
	}
}

// TestCutConnections cuts connections in the middle of anything.
func TestCutConnections(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL, store.ClickHouse} {
		t.Run(d.String(), func(t *testing.T) {
			p, j := cutProxy(t, newJob(t, d))
			p.mended.Store(true) // so that there are tables
			g := newRig(t, j)
			p.mended.Store(false)
			p.cutAll()
			waitUntil(t, 60*time.Second, "connections that were cut", func() bool {
				least := int64(pick(4, 200))
				return p.requests.Load() >= least && p.answers.Load() >= least && (p.commitless || p.unsaid.Load() >= least && p.commits.Load() >= least)
			})
			p.mended.Store(true)
			p.cutAll()
			t.Logf("cut: %d in a request, %d in an answer, %d before a commit, %d between a commit and its answer", p.requests.Load(), p.answers.Load(), p.unsaid.Load(), p.commits.Load())
			g.settle(nil)
		})
	}
}

// TestTerminatedConnections has the server end the connections that are in a transaction.
func TestTerminatedConnections(t *testing.T) {
	for _, d := range []store.Dialect{store.PostgreSQL, store.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			j := newJob(t, d)
			g := newRig(t, j)
			db, err := sql.Open(j.Driver, j.DSN)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			terminate := func() {
				if d == store.PostgreSQL {
					_, err = db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`)
					if err != nil {
						t.Error(err)
					}
					return
				}
				for _, id := range busyConnections(t, db) {
					db.Exec("KILL " + id) // unless it has gone
				}
			}
			lost := []string{"57P01", "unexpected EOF", "conn closed", "invalid connection", "bad connection", "broken pipe", "reset by peer"}
			waitUntil(t, 60*time.Second, "connections that were ended", func() bool {
				terminate()
				time.Sleep(rand.N(100 * time.Millisecond))
				return g.seen(lost...) >= pick(15, 1000)
			})
			g.settle(nil)
		})
	}
}

// busyConnections returns those of MariaDB that are in a transaction in this database.
func busyConnections(t *testing.T, db *sql.DB) (ids []string) {
	t.Helper()
	rows, err := db.Query(`SELECT p.id FROM information_schema.processlist p JOIN information_schema.innodb_trx x
		ON x.trx_mysql_thread_id = p.id WHERE p.db = database() AND p.id <> connection_id()`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}
