//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
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

// TestTerminate ends the program by SIGTERM under load: it exits in order, and what
// it answered 204 is in the store.
func TestTerminate(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", t.TempDir())
	cmd.Env = append(os.Environ(), "BEACON_DURABLE=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(log).ReadString('\n')
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
