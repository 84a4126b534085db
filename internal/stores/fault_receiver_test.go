package stores_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// The tests of faults break what is around a store, with a spool in front of it as the
// documentation has it, while pages send what they did. In the end all that was answered
// with 204 is in the database, once.

// full says whether to run at length.
var full = os.Getenv("BEACON_FAULTS") == "full"

func pick[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

const jobEnv = "BEACON_STORES_JOB"

// A job says what a receiver is.
type job struct {
	Dialect     store.Dialect
	Driver, DSN string
	Dir         string        // of the spool
	Timeout     time.Duration // of a call of the store
	MaxBytes    int64         // of the spool
	Direct      string        // the DSN that nothing gets in the way of, if that is another one
	Hold        bool          // lock the database instead, until the process is killed
}

// newJob returns a job with an empty database on a server that all tests share.
func newJob(t *testing.T, d store.Dialect) job {
	t.Helper()
	driver, dsn := stores.DSN(t, d)
	return job{Dialect: d, Driver: driver, DSN: dsn, Dir: filepath.Join(t.TempDir(), "spool")}
}

// A receiver is what a host has: a Handler, a spool and a store.
type receiver struct {
	db      *sql.DB
	store   *store.Store
	spool   *spool.Spool
	handler *beacon.Handler

	mu     sync.Mutex
	errors map[string]int // of the database, as the store saw them
}

// saw notes an error of the database, and leaves it to the store what it means.
func (r *receiver) saw(err error) (permanent, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := err.Error()
	r.errors[text[:min(len(text), 1000)]]++
	return false, false
}

// seen returns how many errors the store saw with one of these texts.
func (r *receiver) seen(texts ...string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for text, times := range r.errors {
		if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(text, s) }) {
			n += times
		}
	}
	return n
}

func (j job) open(logs io.Writer) (r *receiver, err error) {
	r = &receiver{errors: map[string]int{}}
	if r.db, err = sql.Open(j.Driver, j.DSN); err != nil {
		return nil, err
	}
	r.db.SetMaxOpenConns(4)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r.store, err = stores.Open(ctx, r.db, j.Dialect, store.Options{Permanent: r.saw}); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	r.spool, err = spool.Open(j.Dir, r.store, spool.Options{
		SegmentBytes: 256 << 10, // so that they roll and go all the time
		MaxBytes:     j.MaxBytes, Timeout: j.Timeout, BatchEvents: 100,
		Logger: slog.New(slog.NewTextHandler(logs, nil)),
	})
	if err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	r.handler, err = beacon.New(beacon.Config{Sink: r.spool, Enrich: enrich})
	return r, err
}

// enrich gives each event an attribute, which is a row of another table.
func enrich(_ *http.Request, e *beacon.Event) error {
	e.Attrs = map[string]string{"tenant": "t" + e.Session}
	return nil
}

func (r *receiver) close(ctx context.Context) error {
	return errors.Join(r.handler.Shutdown(ctx), r.spool.Close(ctx), r.db.Close())
}

// serve runs a receiver in this process until the test ends, and returns its address.
func (j job) serve(t *testing.T) (r *receiver, addr string) {
	t.Helper()
	logs := &tail{}
	r, err := j.open(logs)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.handler)
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.close(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the receiver logged:\n%s", logs)
		}
	})
	return r, server.URL
}

// runReceiver is the main function of a receiver in a process of its own. It does not
// return.
func runReceiver(spec string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
	go func() { // who started it has ended
		io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	var j job
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		fail(err)
	}
	if j.Hold {
		if err := j.hold(); err != nil {
			fail(err)
		}
		select {}
	}
	r, err := j.open(os.Stderr)
	if err != nil {
		fail(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Printf("http://%s %d\n", ln.Addr(), r.spool.Stats().Pending)
	fail(http.Serve(ln, r.handler))
}

// hold begins to write to a database of SQLite, and does not end.
func (j job) hold() error {
	db, err := sql.Open(j.Driver, j.DSN)
	if err != nil {
		return err
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	for _, statement := range []string{"BEGIN IMMEDIATE", "DELETE FROM beacon_events", "DELETE FROM beacon_page_views"} {
		if _, err := conn.ExecContext(context.Background(), statement); err != nil {
			return err
		}
	}
	fmt.Println("held 0")
	return nil
}

// A child is a receiver in a process of its own.
type child struct {
	cmd   *exec.Cmd
	addr  string
	found int64 // bytes in the spool that were to be delivered when it began
	err   tail
}

// start starts one, and waits until it serves.
func (j job) start(t *testing.T) *child {
	t.Helper()
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), jobEnv+"="+string(spec))
	c.cmd.Stderr = &c.err
	if _, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() || c.err.has("DATA RACE") {
			t.Errorf("the receiver wrote:\n%s", &c.err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &c.addr, &c.found)
	}
	if err != nil {
		c.kill()
		t.Fatalf("the receiver did not start: %v\n%s", err, &c.err)
	}
	return c
}

// kill is kill -9. The process is gone when it returns.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait() // for its end, however that came
	}
}
