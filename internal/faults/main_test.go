package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

const jobEnv = "BEACON_FAULTS_JOB"

func TestMain(m *testing.M) {
	if spec := os.Getenv(jobEnv); spec != "" {
		runChild(spec)
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	os.Exit(m.Run())
}

// full says whether to run at length.
var full = os.Getenv("BEACON_FAULTS") == "full"

func pick[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// need fails the test if a tool is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this needs %s: %v", tool, err)
		}
	}
}

// A child is the program under test, running.
type child struct {
	t     *testing.T
	hello hello
	cmd   *exec.Cmd
	out   *bufio.Reader
	err   tail
	stdin io.Closer

	reports *os.File // of writers
	ended   chan struct{}
}

// A tail keeps the end of what is written to it, and whether it spoke of a data
// race.
type tail struct {
	mu   sync.Mutex
	b    []byte
	race bool
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	w.race = w.race || bytes.Contains(w.b, []byte("DATA RACE"))
	if len(w.b) > 32<<10 && !w.race {
		w.b = append([]byte(nil), w.b[len(w.b)-16<<10:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}

// start runs the program, behind the command prefix if there is one, and waits
// until it serves.
func start(t *testing.T, j job, prefix ...string) *child {
	t.Helper()
	return startEnv(t, j, nil, prefix...)
}

func startEnv(t *testing.T, j job, env []string, prefix ...string) *child {
	t.Helper()
	if j.Deadline == 0 {
		j.Deadline = 20 * time.Second
	}
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	args := append(prefix, os.Args[0])
	c := &child{t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), jobEnv+"="+string(spec)), env...)
	c.cmd.Env = append(c.cmd.Env, "GORACE=atexit_sleep_ms=0") // it would pass for a slow shutdown
	c.cmd.Stderr = &c.err
	c.cmd.WaitDelay = 10 * time.Second
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c.cmd.Stdout = w
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if j.Writers > 0 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		c.reports = r
		c.cmd.ExtraFiles = []*os.File{w}
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.cmd.Wait() // its state says how it ended
		close(c.ended)
	}()
	t.Cleanup(func() {
		c.kill()
		stdout.Close()
		if c.err.race || t.Failed() {
			t.Logf("the program wrote:\n%s", &c.err)
		}
		if c.err.race {
			t.Error("data race in the program")
		}
	})
	c.out = bufio.NewReader(stdout)
	if !c.line(&c.hello) {
		c.kill()
		t.Fatalf("the program did not start (%v):\n%s", c.cmd.ProcessState, &c.err)
	}
	return c
}

// line reads the next line that the program prints; false is its end.
func (c *child) line(v any) bool {
	b, err := c.out.ReadBytes('\n')
	return err == nil && json.Unmarshal(b, v) == nil
}

// kill is kill -9. The program is gone when it returns.
func (c *child) kill() {
	if c.hello.PID != 0 && c.hello.PID != c.cmd.Process.Pid && c.running() {
		syscall.Kill(c.hello.PID, syscall.SIGKILL) // behind strace
		c.waitFor(2 * time.Second)
	}
	if c.running() {
		c.cmd.Process.Kill()
		c.waitFor(20 * time.Second)
	}
}

func (c *child) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// waitFor waits for the end of the program and says whether it came.
func (c *child) waitFor(d time.Duration) bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.hello.PID, s); err != nil {
		c.t.Errorf("signal %v: %v", s, err)
	}
}

// terminate is SIGTERM. It returns the program's last report, if it ended in
// time and well.
func (c *child) terminate(within time.Duration) (last report, took time.Duration) {
	c.t.Helper()
	begin := time.Now()
	c.signal(syscall.SIGTERM)
	printed := make(chan bool, 1)
	go func() { printed <- c.line(&last) }()
	ok := false
	select {
	case ok = <-printed:
	case <-time.After(within):
	}
	if !ok || !c.waitFor(max(within-time.Since(begin), time.Second)) {
		c.t.Errorf("no clean end within %v of SIGTERM:\n%s", within, &c.err)
		c.kill()
		return last, time.Since(begin)
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("exit status %d:\n%s", code, &c.err)
	}
	return last, time.Since(begin)
}

// ask calls the control server, which is not under test.
func (c *child) ask(path string, within time.Duration, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.hello.Control+path, nil)
	if err != nil {
		return err
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(b)))
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

func (c *child) next(mode string) {
	c.t.Helper()
	if err := c.ask("/next?mode="+url.QueryEscape(mode), 10*time.Second, nil); err != nil {
		c.t.Errorf("set the mode of next: %v", err)
	}
}

func (c *child) report() (r report) {
	c.t.Helper()
	if err := c.ask("/report", 10*time.Second, &r); err != nil {
		c.t.Errorf("report: %v", err)
	}
	return r
}

func (c *child) flush(within time.Duration) {
	c.t.Helper()
	if err := c.ask("/flush", within, nil); err != nil {
		c.t.Errorf("flush: %v", err)
	}
}

// writers reads the reports of the writers into a ledger, until the program ends.
// What it counts as refused is returned by the function.
func (c *child) writers(l *ledger) (wait func() (refused int)) {
	done := make(chan int)
	go func() {
		defer c.reports.Close()
		refused := 0
		r := bufio.NewReaderSize(c.reports, 1<<16)
		var b [8]byte
		for {
			if _, err := io.ReadFull(r, b[:]); err != nil {
				done <- refused
				return
			}
			word := binary.LittleEndian.Uint64(b[:])
			x := id(word &^ refusedBit)
			if word&refusedBit != 0 {
				refused++
				l.set(x, sent)
			} else {
				l.set(x, acked)
			}
			l.set(newID(x.client(), x.seq()+1), sent) // it may have been
		}
	}()
	return func() int { return <-done }
}

// recoverSpool opens what a crash left, takes everything out, and returns it.
func recoverSpool(t *testing.T, dir string) ([]id, spool.Stats) {
	t.Helper()
	var found collector
	s, err := spool.Open(dir, &found, spool.Options{SegmentBytes: smallSegments})
	if err != nil {
		t.Fatalf("open after the fault: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Errorf("flush after the fault: %v", err)
	}
	st := s.Stats()
	if err := s.Close(ctx); err != nil {
		t.Errorf("close after the fault: %v", err)
	}
	for _, err := range found.errs {
		t.Errorf("recovered damaged: %v", err)
	}
	return found.all(), st
}

// waitUntil polls, since what it waits for happens in another process.
// every is how long to leave it alone in between.
func waitUntil(t *testing.T, within, every time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(every)
	}
}

// realDisk returns a new directory, which must not be in memory.
func realDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	const tmpfs = 0x01021994
	if st.Type == tmpfs {
		t.Fatalf("%s is in memory; set TMPDIR to a directory on a disk", filepath.Dir(dir))
	}
	return dir
}
