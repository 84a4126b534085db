//go:build unix

package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestDeploy: the next process waits for the one that still has the directory.
func TestDeploy(t *testing.T) {
	first := example.Start(t, ".")
	second := first.Next()
	second.Says("waiting for the process that has the directory")
	first.Signal(syscall.SIGTERM)
	if err := first.End(); err != nil {
		t.Errorf("the first: %v\n%s", err, first.Output())
	}
	second.Listens()
	second.Signal(syscall.SIGTERM)
	if err := second.End(); err != nil {
		t.Errorf("the second: %v\n%s", err, second.Output())
	}
}

// send sends beacons, each with an ID, until the program is gone, and calls enough when it
// has answered 204 to some of them. It returns the IDs of these.
func send(url string, enough func()) map[string]bool {
	var mu sync.Mutex
	sent := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				r, err := http.NewRequest("POST", url, strings.NewReader("hi"))
				if err != nil {
					panic(err)
				}
				id := fmt.Sprint(w, "-", i)
				r.Header.Set("Idempotency-Key", id)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					return
				}
				_ = res.Body.Close()
				mu.Lock()
				if res.StatusCode == http.StatusNoContent {
					sent[id] = true
				}
				if len(sent) >= 200 {
					enough()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return sent
}

// stored are the IDs of the events that the program has stored.
func stored(output string) map[string]bool {
	ids := map[string]bool{}
	for _, found := range regexp.MustCompile(`beacon id=(\S+) `).FindAllStringSubmatch(output, -1) {
		ids[found[1]] = true
	}
	return ids
}

// TestTerminate ends the program under load, in order and at once: what it answered 204
// is in the store, when it has ended or after the next start.
func TestTerminate(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"in order": syscall.SIGTERM, "at once": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			p := example.Start(t, ".")
			sent := send(p.URLs[0], sync.OnceFunc(func() { p.Signal(signal) }))
			err := p.End()
			got := stored(p.Output())
			if signal == syscall.SIGTERM && err != nil {
				t.Errorf("%v\n%s", err, p.Output())
			}
			if signal == syscall.SIGKILL {
				next := p.Next()
				next.Listens()
				next.Signal(syscall.SIGTERM)
				if err := next.End(); err != nil {
					t.Errorf("%v\n%s", err, next.Output())
				}
				for id := range stored(next.Output()) {
					got[id] = true
				}
			}
			for id := range got {
				if !sent[id] { // its answer was lost
					delete(got, id)
				}
			}
			if diff := cmp.Diff(sent, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
