//go:build unix

package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
)

// Nothing is acknowledged any more once it was noticed that it would be lost, which takes
// a second at most.
func TestDirectoryLost(t *testing.T) {
	remove := func(t *testing.T, pattern string) {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		lose func(t *testing.T, dir string)
		why  string
	}{
		{"directory removed", func(t *testing.T, dir string) { remove(t, dir) }, "its lock is gone"},
		{"directory removed and made again", func(t *testing.T, dir string) {
			remove(t, dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "its lock is gone"},
		{"directory moved", func(t *testing.T, dir string) {
			if err := os.Rename(dir, dir+" elsewhere"); err != nil {
				t.Fatal(err)
			}
		}, "its lock is gone"},
		{"lock removed", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, lockName)) }, "its lock is gone"},
		{"lock replaced", func(t *testing.T, dir string) {
			name := filepath.Join(dir, lockName)
			if err := errors.Join(os.WriteFile(name+"2", nil, 0o600), os.Rename(name+"2", name)); err != nil {
				t.Fatal(err)
			}
		}, "its lock is another file"},
		{"segment removed", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "*"+dataSuffix)) }, "the current segment was removed"},
	} {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, busy %v", c.name, busy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := filepath.Join(t.TempDir(), "spool")
					var log journal
					o := Options{SegmentBytes: 1 << 16, Logger: log.logger()}
					if !busy { // the syncs of an interval find nothing out
						o.Sync = Interval(100 * time.Millisecond)
					}
					s, err := Open(dir, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }), o)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Consume(t.Context(), one("a")); err != nil {
						t.Fatal(err)
					}
					c.lose(t, dir)
					lost := time.Now()
					if busy {
						for err == nil && time.Since(lost) < time.Minute {
							time.Sleep(100 * time.Millisecond)
							err = s.Consume(t.Context(), one("b"))
						}
						if _, ok := errors.AsType[*beacon.RetryAfterError](err); !ok || !errors.Is(err, ErrLost) || beacon.IsPermanent(err) {
							t.Error(err)
						}
					} else {
						time.Sleep(checkEvery + 100*time.Millisecond)
						err = s.Healthy(t.Context())
					}
					if after := time.Since(lost); after > checkEvery+100*time.Millisecond || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), c.why) {
						t.Error("after", after, err)
					}
					for range 3 {
						if err := s.Consume(t.Context(), one("c")); !errors.Is(err, ErrLost) {
							t.Error(err)
						}
						if err := s.Healthy(t.Context()); !errors.Is(err, ErrLost) {
							t.Error(err)
						}
						time.Sleep(2 * time.Second)
					}
					if said := log.with(`level=ERROR msg="spool: directory lost"`); len(said) != 1 {
						t.Error(log.lines)
					}
					_ = s.Close(ctxEnded()) // which has something to say about it
					again, err := Open(dir, new(taker), Options{})
					if err != nil {
						t.Fatal("a restart does not help:", err)
					}
					if err := errors.Join(again.Healthy(t.Context()), again.Close(ctxEnded())); err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A spool whose directory was replaced leaves the files of the new one alone, which have the
// same names.
func TestDirectoryReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	o := Options{SegmentBytes: 4096, MaxBytes: 1 << 20, DiskTimeout: time.Hour}
	var away atomic.Bool
	away.Store(true)
	fill := func() *Spool {
		s, err := Open(dir, beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			if away.Load() {
				return errAway
			}
			return nil
		}), o)
		for n := 0; n < 50 && err == nil; n++ {
			err = s.Consume(t.Context(), makeEvents(1, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := fill()
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	replacement := fill()
	if err := replacement.Close(ctxEnded()); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	if err := old.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := old.Close(t.Context()); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	left := 0
	for r, err := range Read(dir) {
		if err != nil || r.State != StatePending {
			t.Fatal(err, r.State)
		}
		left++
	}
	if left != 50 {
		t.Errorf("%d of 50 events are left", left)
	}
}

// Symbolic links in the directory are not followed, and what they point to is not changed.
func TestSymbolicLinks(t *testing.T) {
	for _, name := range []string{lockName, cursorName} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(t.TempDir(), "precious")
			if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, new(taker), Options{})
			if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+" is a symbolic link") {
				t.Error(err)
			}
			if err == nil {
				_ = s.Close(ctxEnded())
			}
			if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	t.Run("reserve", func(t *testing.T) { // is replaced
		dir, target := t.TempDir(), filepath.Join(t.TempDir(), "precious")
		if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(dir, reserveName))); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir, new(taker))
		if err := errors.Join(s.Consume(t.Context(), one("a")), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(target); err != nil || len(b) > 0 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// A directory that others may write to is said to be one.
func TestDirectoryOfOthers(t *testing.T) {
	for mode, warns := range map[os.FileMode]bool{0o700: false, 0o755: false, 0o775: true, 0o777: true} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		var log journal
		s, err := Open(dir, new(taker), Options{Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if said := log.with("level=WARN msg=\"spool: others may write"); len(said) > 0 != warns {
			t.Errorf("%v: %v", mode, log.lines)
		}
	}
}
