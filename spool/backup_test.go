package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
)

// copyLive copies the files of a spool that is open, in the order that docs/operations.md
// gives. It calls between before it lists each kind.
func copyLive(t *testing.T, from, to string, between func()) {
	t.Helper()
	for _, pattern := range []string{cursorName, "*" + dataSuffix, "*" + deadSuffix, "*" + badSuffix} {
		between()
		names, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What was acknowledged before the files are copied is in the copy, or was delivered, also
// while others come, are delivered, and are buried.
func TestCopyWhileRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	moved := sync.NewCond(&mu)
	acked, delivered, over := map[string]bool{}, map[string]bool{}, false
	s, err := Open(dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		if _, n := split(events[0].ID); n%4 == 0 {
			return beacon.ErrPermanent
		}
		mu.Lock()
		defer mu.Unlock()
		delivered[events[0].ID] = true
		moved.Broadcast()
		return nil
	}), Options{Sync: Never, SegmentBytes: 1 << 12, BatchEvents: 1})
	if err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			mu.Lock()
			for len(acked) > len(delivered)*4/3+100 && !over { // it should not run away
				moved.Wait()
			}
			end := over
			mu.Unlock()
			if end {
				return
			}
			e := beacon.Event{ID: fmt.Sprintf("w-%d", n)}
			if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
				t.Error(err)
			}
			mu.Lock()
			acked[e.ID] = true
			mu.Unlock()
		}
	})
	for range scale(5, 100) {
		mu.Lock()
		want := maps.Clone(acked)
		mu.Unlock()
		to := t.TempDir()
		copyLive(t, dir, to, func() { // while some are delivered, and buried
			mu.Lock()
			defer mu.Unlock()
			for until := len(delivered) + 10; len(delivered) < until; {
				moved.Wait()
			}
		})
		mu.Lock()
		got := maps.Clone(delivered)
		mu.Unlock()
		for r, err := range Read(to) {
			if err != nil {
				t.Fatal(err)
			}
			if r.State == StatePending || r.State == StateDead {
				got[r.Event.ID] = true
			}
		}
		for id := range want {
			if !got[id] {
				t.Errorf("%s is neither in the copy nor delivered", id)
			}
		}
	}
	mu.Lock()
	over = true
	moved.Broadcast()
	mu.Unlock()
	writer.Wait()
	if err := s.Close(ctxEnded()); err != nil {
		t.Error(err)
	}
}
