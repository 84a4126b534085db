//go:build !plan9

package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
)

// A flood does not keep the syncs of an interval from coming.
func TestIntervalSyncsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		var syncs atomic.Int32 // the interval goes on while it is read
		fs.hang = func(o *op) {
			switch {
			case filepath.Ext(o.name) != dataSuffix:
			case o.kind == opSync:
				syncs.Add(1)
			case o.kind == opWrite: // long enough for others to wait behind it, always
				time.Sleep(10 * time.Millisecond)
			}
		}
		o := crashOptions(Interval(100 * time.Millisecond))
		o.SegmentBytes, o.MaxBytes = 1<<20, 100<<20 // one segment, which is not synced at its end
		s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), o)
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for end, i := time.Now().Add(5*time.Second), 0; i < 4; i++ {
			callers.Go(func() {
				time.Sleep(time.Duration(3*i) * time.Millisecond)
				for time.Now().Before(end) {
					if err := s.Consume(t.Context(), one("a")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		if n := syncs.Load(); n < 45 {
			t.Error(n, "syncs in 50 intervals")
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Zeros are written ahead of the records, a few times a segment and not beyond its end, so
// that nearly all records go where something was written before. That they cannot be
// written is no reason to refuse events.
func TestZerosAheadOfRecords(t *testing.T) {
	for _, fails := range []bool{false, true} {
		fs := newMemFS(nil)
		o := mustOptions(Options{SegmentBytes: 1 << 20, DiskTimeout: time.Hour}) // the machine may be busy
		blank := map[string]int64{}
		tried, first, again := 0, 0, 0
		fs.hook = func(w *op) error {
			if w.kind != opWrite || filepath.Ext(w.name) != dataSuffix || w.off < headerSize {
				return nil
			}
			end := w.off + int64(len(w.data))
			switch {
			case end > o.SegmentBytes:
				t.Error("beyond the end:", w)
			case bytes.Count(w.data, []byte{0}) == len(w.data):
				tried++
				if fails {
					return syscall.EIO
				}
				blank[w.name] = end
			case end > blank[w.name]:
				first++
			default:
				again++
			}
			return nil
		}
		var next taker
		s, err := start(fs, &next, o)
		if err != nil {
			t.Fatal(err)
		}
		const events = 400
		for i := range events {
			e := beacon.Event{ID: fmt.Sprint(i), Body: beacon.Text(strings.Repeat("x", 8<<10))}
			if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); len(next.taken()) != events || st.DiskErrors > 0 {
			t.Errorf("%d delivered, %+v", len(next.taken()), st)
		}
		if tried < 12 || tried > 24 || !fails && (first > tried || again < events-tried) {
			t.Errorf("fails: %t; %d times zeros; %d records where nothing was written, %d others", fails, tried, first, again)
		}
	}
}

// Without a sync, too, calls that come together share a write.
func TestCallsShareAWriteWithoutASync(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s, err := start(newMemFS(nil), new(taker), mustOptions(Options{Sync: Never, DiskTimeout: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	const callers, calls = 64, 50
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if err := s.Consume(t.Context(), one("a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	writes := uint64(0)
	for _, n := range s.Stats().SyncSeconds.Counts {
		writes += n
	}
	if writes > callers*calls/4 {
		t.Errorf("%d writes of %d calls", writes, callers*calls)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A host that gets no events finds out that the disk takes nothing any more, although there
// is a segment to write to, and that it does again.
func TestHealthyTriesTheDisk(t *testing.T) {
	for _, kind := range []string{opWrite, opSync} {
		synctest.Test(t, func(t *testing.T) {
			fs := newMemFS(nil)
			var next taker
			s, err := start(fs, &next, crashOptions(Always))
			if err != nil {
				t.Fatal(err)
			}
			fails := func(is bool) {
				fs.mu.Lock()
				defer fs.mu.Unlock()
				fs.hook = nil
				if is {
					fs.hook = func(o *op) error { return when(o.kind == kind, syscall.EROFS) }
				}
			}
			err = s.Consume(t.Context(), one("a"))
			for range 5 {
				time.Sleep(2 * time.Second)
				err = errors.Join(err, s.Healthy(t.Context()))
			}
			fails(true)
			time.Sleep(2 * time.Second)
			if err := s.Healthy(t.Context()); !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s fails: %v", kind, err)
			}
			fails(false)
			time.Sleep(2 * time.Second)
			err = errors.Join(err, s.Healthy(t.Context()), s.Consume(t.Context(), one("b")), s.Close(t.Context()))
			if got := next.taken(); err != nil || len(got) != 2 {
				t.Error(err, got)
			}
			if st := s.Stats(); st.Damaged > 0 || st.Torn > 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// An event that comes alone has a group and a call of the next sink for itself.
func TestAllocationsOfALoneEvent(t *testing.T) {
	s, err := Open(t.TempDir(), beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), Options{Sync: Never, DiskTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(500, func() {
		if err := errors.Join(s.Consume(t.Context(), one("a")), s.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 26 { // some of them for Flush and the event itself
		t.Errorf("%v allocations, want 26 at most", allocs)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
