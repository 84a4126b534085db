package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// A gateSink takes a call when the gate opens, whatever its context says.
type gateSink struct {
	beacon.SinkFunc
	gate     chan struct{}
	taken    []string
	closeErr error
	closes   int
}

func newGate() *gateSink {
	g := &gateSink{gate: make(chan struct{})}
	g.SinkFunc = func(_ context.Context, events []beacon.Event) error {
		<-g.gate
		for _, e := range events {
			g.taken = append(g.taken, e.ID)
		}
		return nil
	}
	return g
}

func (g *gateSink) Close(context.Context) error { g.closes++; return g.closeErr }

func one(id string) []beacon.Event { return []beacon.Event{{ID: id, Body: beacon.Empty{}}} }

func mustOpen(t *testing.T, dir string, next beacon.Sink) *Spool {
	t.Helper()
	s, err := Open(dir, next, Options{DiskTimeout: time.Hour}) // the real disk may be busy
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every Close keeps to its own context, and what a next sink holds up goes on when that
// comes back: the directory is free for the next Open.
func TestCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		next := newGate()
		next.closeErr = errors.New("cannot close")
		s := mustOpen(t, dir, next)
		if err := s.Consume(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		closeIn := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return s.Close(ctx)
		}
		first := make(chan error, 1)
		go func() { first <- closeIn(10 * time.Second) }()
		synctest.Wait()
		if err := closeIn(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 50*time.Millisecond {
			t.Errorf("the second: %v after %v", err, time.Since(start))
		}
		err := <-first
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the next sink does not come back") || time.Since(start) != 11*time.Second {
			t.Errorf("the first: %v after %v", err, time.Since(start))
		}
		if _, err := Open(dir, next, Options{}); !errors.Is(err, ErrLocked) {
			t.Error("still in use, but:", err)
		}
		close(next.gate)
		synctest.Wait() // nobody calls Close again
		if len(next.taken) != 1 || next.closes != 1 {
			t.Error(next.taken, next.closes, "closes")
		}
		again := mustOpen(t, dir, next)
		if err := errors.Join(again.Flush(t.Context())); err != nil || len(next.taken) != 1 {
			t.Error("delivered again:", next.taken, err)
		}
		for range 2 {
			if err := s.Close(ctxEnded()); !errors.Is(err, next.closeErr) {
				t.Error("a later one:", err)
			}
		}
		if err := again.Close(t.Context()); !errors.Is(err, next.closeErr) || next.closes != 2 {
			t.Error(err, next.closes)
		}
	})
}

// A disk that hangs does not hang Close.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		release := hang(fs, opSync)
		consumed := make(chan error, 1)
		go func() { consumed <- s.Consume(context.Background(), one("a")) }()
		synctest.Wait()
		begun := time.Now()
		for range 2 {
			if err := s.Close(ctxEnded()); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the disk does not come back") {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != closeGrace {
			t.Error("Close took", took)
		}
		if err := <-consumed; !errors.Is(err, ErrStalled) {
			t.Error(err)
		}
		release()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if fs.handles != 0 {
			t.Error(fs.handles, "files left open")
		}
	})
}

// hang makes operations of some kind on segments wait until release is called.
func hang(fs *memFS, kind string) (release func()) {
	disk := make(chan struct{})
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.hang = func(o *op) {
		if o.kind == kind && o.name != cursorName {
			<-disk
		}
	}
	return func() {
		fs.mu.Lock()
		fs.hang = nil
		fs.mu.Unlock()
		close(disk)
	}
}

// A panic of the next sink's Close is an error, and costs nobody the directory.
func TestNextPanicsInClose(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, panicking{})
	if err := s.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
	if err := mustOpen(t, dir, newGate()).Close(t.Context()); err != nil {
		t.Error(err)
	}
}

type panicking struct{ beacon.SinkFunc }

func (panicking) Close(context.Context) error { panic("boom") }

// A Flush after Close does not depend on luck: it is nil if everything was delivered.
func TestFlushAfterClose(t *testing.T) {
	away := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway })
	there := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	for _, c := range []struct {
		next beacon.Sink
		want error
	}{{away, ErrClosed}, {there, nil}} {
		s := mustOpen(t, t.TempDir(), c.next)
		if err := s.Consume(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		if c.want == nil {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for range 1000 {
			got[fmt.Sprint(s.Flush(t.Context()))]++
			got[fmt.Sprint(s.Flush(ctxEnded()))]++
		}
		if d := cmp.Diff(map[string]int{fmt.Sprint(c.want): 2000}, got); d != "" {
			t.Error(d)
		}
	}
}

// A Flush that gave up leaves nothing behind.
func TestFlushGivesUp(t *testing.T) {
	s := mustOpen(t, t.TempDir(), beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }))
	if err := s.Consume(t.Context(), one("a")); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := s.Flush(ctxEnded()); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	waiters := len(s.waiters)
	s.mu.Unlock()
	if waiters != 0 {
		t.Error(waiters, "waiters")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A relative directory is the one of the time of Open.
func TestRelativeDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	next := newGate()
	s, err := Open("spool", next, Options{SegmentBytes: 1000, DiskTimeout: time.Hour}) // a new segment for each event or two
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for n := range 20 {
		e := one(fmt.Sprint(n))
		e[0].Body = beacon.Text(strings.Repeat("x", 400))
		if err := s.Consume(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	close(next.gate)
	if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil || len(next.taken) != 20 {
		t.Error(err, len(next.taken))
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) > 0 {
		t.Error("in the wrong place:", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "spool", cursorName)); err != nil {
		t.Error(err)
	}
}
