//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// TestMain runs the program itself in the process that the test starts.
func TestMain(m *testing.M) {
	if os.Getenv("BEACON_DURABLE") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run starts the program, and returns what it logs.
func run(t *testing.T, out io.Writer, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "-addr", "127.0.0.1:0")...)
	cmd.Env = append(os.Environ(), "BEACON_DURABLE=1")
	cmd.Stdout = out
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(log)
}

// TestDeploy: the next process waits for the one that still has the directory.
func TestDeploy(t *testing.T) {
	dir := t.TempDir()
	expect := func(log *bufio.Reader, want string) {
		t.Helper()
		if line, err := log.ReadString('\n'); !strings.Contains(line, want) {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
	}
	first, log := run(t, io.Discard, "-data", dir)
	expect(log, "Listening on ")
	impatient, log := run(t, io.Discard, "-data", dir, "-wait", "1ms")
	expect(log, "waiting up to 1ms")
	if err := impatient.Wait(); err == nil {
		t.Error("two processes in one directory")
	}
	second, log := run(t, io.Discard, "-data", dir)
	expect(log, "waiting up to 1m")
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	expect(log, "Listening on ")
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
}

// TestTerminate ends the program by SIGTERM under load: it exits in order, and what
// it answered 204 is in the store.
func TestTerminate(t *testing.T) {
	var out bytes.Buffer
	cmd, log := run(t, &out, "-data", t.TempDir())
	line, err := log.ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "Listening on ")
	if !found {
		t.Fatal(line, err)
	}
	if res, err := http.Get(url + "ready"); err != nil || res.StatusCode != http.StatusOK {
		t.Error("not ready:", err)
	}

	var mu sync.Mutex
	sent := map[string]bool{}
	enough := make(chan struct{})
	once := sync.OnceFunc(func() { close(enough) })
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				text := fmt.Sprint(w, "-", i)
				res, err := http.Post(url+"log-tracking", "text/plain", strings.NewReader(text))
				if err != nil {
					return // the server is gone
				}
				_ = res.Body.Close()
				mu.Lock()
				if res.StatusCode == http.StatusNoContent {
					sent[text] = true
				}
				if len(sent) >= 200 {
					once()
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	stored := map[string]bool{}
	dec := json.NewDecoder(&out)
	for dec.More() {
		var events []beacon.Event
		if err := dec.Decode(&events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			stored[string(e.Body.(beacon.Text))] = true
		}
	}
	for text := range stored {
		if !sent[text] { // its answer was lost
			delete(stored, text)
		}
	}
	if diff := cmp.Diff(sent, stored); diff != "" {
		t.Error(diff)
	}
}
