package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

const diskTimeout = time.Second // the default

// A journal is what was logged: the level and text of each record.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(bytes.TrimSpace(b)))
	return len(b), nil
}

// with returns the lines that hold a text.
func (j *journal) with(text string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// A taker is a sink that takes everything and remembers the IDs.
type taker struct {
	mu  sync.Mutex
	ids []string
}

func (r *taker) Consume(_ context.Context, events []beacon.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		r.ids = append(r.ids, e.ID)
	}
	return nil
}

func (r *taker) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.ids...)
}

// A disk that hangs is noticed after a second: whoever waits is sent away, whoever comes is
// refused at once, and when it comes back all goes on by itself.
func TestDiskHangs(t *testing.T) {
	for _, c := range []struct {
		name string
		kind string
		sync Sync
	}{
		{"sync", opSync, Always},
		{"write", opWrite, Always},
		{"sync of an interval", opSync, Interval(time.Second)},
		{"sync of the directory", opSyncDir, Always},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { diskHangs(t, c.kind, c.sync) })
		})
	}
	t.Run("making a segment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { diskHangs(t, opCreate, Always) })
	})
}

func diskHangs(t *testing.T, kind string, mode Sync) {
	fs := newMemFS(nil)
	var next taker
	var log journal
	o := crashOptions(mode)
	o.Logger = log.logger()
	s, err := start(fs, &next, o)
	if err != nil {
		t.Fatal(err)
	}
	if mode.mode == syncInterval { // the disk hangs in the sync, not in the call before
		if err := s.Consume(t.Context(), one("before")); err != nil {
			t.Fatal(err)
		}
	}
	release := hang(fs, kind)
	if mode.mode == syncInterval {
		time.Sleep(mode.every)
	}
	hung := time.Now()

	// Some are there when it begins, some come while it is not known yet, and some after.
	type answer struct {
		after time.Duration // since the disk hangs
		took  time.Duration
		err   error
	}
	answers := make(chan answer, 100)
	calls := 0
	call := func() {
		calls++
		id := fmt.Sprint("hung-", calls)
		go func() {
			begun := time.Now()
			err := s.Consume(context.Background(), one(id))
			answers <- answer{time.Since(hung), time.Since(begun), err}
		}()
	}
	for range 20 {
		call()
		synctest.Wait()
	}
	time.Sleep(diskTimeout / 2)
	for range 10 {
		call()
	}
	time.Sleep(diskTimeout/2 + 10*time.Millisecond)
	if len(answers) != calls {
		t.Errorf("%d of %d were answered", len(answers), calls)
	}
	before, _ := s.memory()
	for range 30 {
		call()
	}
	synctest.Wait()
	maybe := 0
	for range calls {
		select {
		case a := <-answers:
			retry, ok := errors.AsType[*beacon.RetryAfterError](a.err)
			if !errors.Is(a.err, ErrStalled) || !ok || retry.After <= 0 || beacon.IsPermanent(a.err) || a.after > diskTimeout+10*time.Millisecond {
				t.Fatalf("after %v: %v", a.after, a.err)
			}
			if a.after > diskTimeout && a.took > 0 {
				t.Error("not refused at once, but after", a.took)
			}
			if strings.Contains(a.err.Error(), "may be stored") {
				maybe++
			}
		default:
			t.Fatal("not everybody was answered")
		}
	}
	if mode == Always && maybe == 0 || maybe >= 20 && mode == Always || maybe > 0 && mode != Always {
		t.Error(maybe, "calls of which the events may be stored")
	}
	if held, _ := s.memory(); held > before {
		t.Error("what is refused takes memory:", held-before)
	}
	begun := time.Now()
	if err := s.Healthy(t.Context()); !errors.Is(err, ErrStalled) || time.Since(begun) > 0 {
		t.Error("healthy:", err, "after", time.Since(begun))
	}
	time.Sleep(29 * time.Second)
	if st := s.Stats(); st.Syncing < 30*time.Second || st.Syncing > 31*time.Second || st.DiskErrors != 0 {
		t.Errorf("%+v", st)
	}
	if len(log.with(`level=ERROR msg="spool: disk hangs"`)) != 1 || len(log.lines) != 1 {
		t.Error(log.lines)
	}

	release()
	synctest.Wait()
	if back := log.with(`level=INFO msg="spool: disk came back"`); len(back) != 1 || !strings.Contains(back[0], "after=30") {
		t.Error(log.lines)
	}
	if err := s.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Consume(t.Context(), one("after")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
		t.Error(err)
	}
	// What was stored all the same comes, and nothing else.
	stored := maybe + 1
	if mode != Always {
		stored++
	}
	got := next.taken()
	if st := s.Stats(); len(got) != stored || int(st.Stored) != stored || got[len(got)-1] != "after" || int(st.Refused) != calls {
		t.Errorf("%v, %+v", got, st)
	}
	if held, onWay := s.memory(); held != 0 || onWay != 0 || s.Stats().Syncing != 0 {
		t.Errorf("held %d, on the way %d, %+v", held, onWay, s.Stats())
	}
}

// memory returns what is reserved, and how much of that is on its way to the disk.
func (s *Spool) memory() (held, onWay int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.onWay
}

// Without any traffic the readiness probe finds out that the disk hangs.
func TestHealthyFindsAHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		s, err := start(fs, new(taker), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		release := hang(fs, opCreate)
		begun := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := s.Healthy(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 300*time.Millisecond {
			t.Error(err, time.Since(begun))
		}
		if err := s.Healthy(t.Context()); !errors.Is(err, ErrStalled) || time.Since(begun) != diskTimeout {
			t.Error(err, time.Since(begun))
		}
		release()
		synctest.Wait()
		if err := errors.Join(s.Healthy(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// A slow disk is waited for as long as the context lasts; one that is well, always.
func TestConsumeAndItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		var next taker
		s, err := start(fs, &next, crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Consume(ctxEnded(), one("ended")); err != nil {
			t.Error("a disk that is well:", err)
		}
		release := hang(fs, opSync)
		for _, c := range []struct{ limit, want time.Duration }{
			{200 * time.Millisecond, 200 * time.Millisecond},
			{0, 0}, // it is known by now that the disk is slow
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			begun := time.Now()
			err := s.Consume(ctx, one(fmt.Sprint("given up ", c.limit)))
			if _, ok := errors.AsType[*beacon.RetryAfterError](err); !ok || !errors.Is(err, context.DeadlineExceeded) ||
				!strings.Contains(err.Error(), "may be stored") || time.Since(begun) != c.want {
				t.Error(err, "after", time.Since(begun))
			}
			cancel()
		}
		release()
		if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"ended", "given up 200ms", "given up 0s"}, next.taken()); d != "" {
			t.Error(d)
		}
	})
}
