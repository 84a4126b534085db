package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// Stats tell how far behind the delivery is, in events and in time, over a restart too.
func TestStatsOfABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		var log journal
		o := crashOptions(Always)
		o.Logger = log.logger()
		var next taker
		var away atomic.Bool
		away.Store(true)
		sink := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			if away.Load() {
				return errAway
			}
			return next.Consume(ctx, events)
		})
		s, err := start(fs, sink, o)
		if err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.PendingEvents != 0 || st.Oldest != 0 || !st.LastSync.IsZero() && st.Pending != 0 || len(log.lines) > 0 {
			t.Errorf("%+v %v", st, log.lines)
		}
		for i := range 100 {
			e := one(fmt.Sprintf("e-%03d", i))
			e[0].Received = time.Now()
			if err := s.Consume(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		st := s.Stats()
		if st.PendingEvents != 100 || st.Oldest != 100*time.Second || st.Oldest < time.Since(st.LastSync) {
			t.Errorf("%+v", st)
		}
		if err := s.Close(ctxEnded()); err != nil {
			t.Fatal(err)
		}
		if said := log.with(`level=INFO msg="spool: closed with events left"`); len(said) != 1 || !strings.Contains(said[0], " events=100") {
			t.Error(log.lines)
		}

		time.Sleep(time.Hour)
		if s, err = start(fs, sink, o); err != nil {
			t.Fatal(err)
		}
		st = s.Stats()
		if st.PendingEvents < 90 || st.PendingEvents > 110 || st.Oldest != time.Hour+100*time.Second {
			t.Errorf("%+v", st)
		}
		if said := log.with(`level=INFO msg="spool: backlog"`); len(said) != 1 ||
			!strings.Contains(said[0], fmt.Sprintf("bytes=%d events=%d segments=", st.Pending, st.PendingEvents)) || !strings.Contains(said[0], "oldest=2000-01-01") {
			t.Error(log.lines)
		}
		away.Store(false)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := s.Stats(); st.PendingEvents != 0 || st.Oldest != 0 || st.Pending != 0 {
			t.Errorf("%+v", st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(log.with("events left")) != 1 {
			t.Error("nothing was left:", log.lines)
		}
	})
}

// Stats tell what delivery is stuck on, and since when, in a text that can be printed.
func TestStatsOfWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		why := errors.New("no such\u202e table \x1b[31m" + strings.Repeat("\x00", 10_000))
		s, err := start(newMemFS(nil), beacon.SinkFunc(func(context.Context, []beacon.Event) error { return when(!well.Load(), why) }), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Stuck != "" || !st.StuckSince.IsZero() || !st.LastDelivery.IsZero() {
			t.Errorf("%+v", st)
		}
		began := time.Now()
		if err := s.Consume(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		st := s.Stats()
		if !strings.HasPrefix(st.Stuck, "no such") || len(st.Stuck) > 4*maxStuck || strings.ContainsAny(st.Stuck, "\x00\x1b\u202e") || !utf8.ValidString(st.Stuck) ||
			!st.StuckSince.Equal(began) || !st.LastDelivery.IsZero() {
			t.Errorf("%+v", st)
		}
		well.Store(true)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := s.Stats(); st.Stuck != "" || !st.StuckSince.IsZero() || st.LastDelivery.Before(began.Add(time.Minute)) {
			t.Errorf("%+v", st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Stats tell how long the disk takes, and for how long it has been at it.
func TestStatsOfSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		s, err := start(fs, new(taker), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		took := time.Duration(0)
		fs.mu.Lock()
		fs.hang = func(o *op) {
			if o.kind == opSync && strings.HasSuffix(o.name, dataSuffix) {
				time.Sleep(took)
			}
		}
		fs.mu.Unlock()
		for i := range 256 {
			took = time.Duration(i+1) * time.Millisecond
			if err := s.Consume(t.Context(), one(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		st := s.Stats()
		if st.SyncP50 != 128*time.Millisecond || st.SyncP99 != 254*time.Millisecond || st.Syncing != 0 || !st.LastSync.Equal(time.Now()) {
			t.Errorf("%+v", st)
		}
		synced := st.LastSync
		for range 300 { // which write nothing
			time.Sleep(2 * time.Second)
			if err := s.Healthy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if st := s.Stats(); st.SyncP50 != 128*time.Millisecond || !st.LastSync.Equal(synced) {
			t.Errorf("%+v", st)
		}
		if err := s.Consume(t.Context(), one("quick")); err != nil {
			t.Fatal(err)
		}
		took = 700 * time.Millisecond
		done := make(chan error, 1)
		go func() { done <- s.Consume(t.Context(), one("slow")) }()
		time.Sleep(300 * time.Millisecond)
		if st := s.Stats(); st.Syncing != 300*time.Millisecond || time.Since(st.LastSync) != 300*time.Millisecond {
			t.Errorf("%+v", st)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		// 1 to 256 ms, then 256 ms (of "quick") and 700 ms
		st = s.Stats()
		if got := named(st.SyncSeconds); got != "0.001:1 0.0025:1 0.005:3 0.01:5 0.025:15 0.05:25 0.1:50 0.25:150 0.5:7 1:1" || math.Abs(st.SyncSeconds.Sum-(256*257/2+256+700)/1000.) > 1e-9 {
			t.Error(got, st.SyncSeconds.Sum)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// named writes a histogram as its buckets with something in them.
func named(h beacon.Histogram) string {
	var b []string
	for i, n := range h.Counts {
		if n > 0 {
			b = append(b, fmt.Sprintf("%v:%d", append(slices.Clone(h.Bounds), math.Inf(1))[i], n))
		}
	}
	return strings.Join(b, " ")
}

// Each call of the next sink is timed, those that fail, those that hang past their time and
// those that panic, too.
func TestStatsOfTheNextSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		next := beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			switch calls++; calls {
			case 1:
				time.Sleep(2 * time.Millisecond)
				return errAway
			case 2:
				time.Sleep(40 * time.Millisecond)
				panic("no")
			case 3:
				time.Sleep(time.Minute)
				return errAway
			}
			time.Sleep(300 * time.Millisecond)
			return nil
		})
		s, err := start(newMemFS(nil), next, mustOptions(Options{Timeout: 5 * time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Consume(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := s.Stats().SinkSeconds; named(h) != "0.0025:1 0.05:1 0.5:1 +Inf:1" || math.Abs(h.Sum-60.342) > 1e-9 {
			t.Errorf("%v, %v seconds", named(h), h.Sum)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// All of the statistics are numbers, texts and times under names of their own.
func TestStatsAsJSON(t *testing.T) {
	b, err := json.Marshal(Stats{})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range m {
		if strings.ToLower(k) != k || v == nil {
			t.Errorf("%s: %v", k, v)
		}
	}
}

// That the spool is full is said once, and that it no longer is, also if it is at the brim.
func TestFullIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		var log journal
		o := mustOptions(Options{MaxBytes: 40_000, SegmentBytes: 4000})
		o.Logger = log.logger()
		var away atomic.Bool
		away.Store(true)
		s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return when(away.Load(), errAway) }), o)
		if err != nil {
			t.Fatal(err)
		}
		large := func() []beacon.Event {
			return []beacon.Event{{ID: "large", Body: beacon.Text(strings.Repeat("x", 1000))}}
		}
		for err == nil {
			err = s.Consume(t.Context(), large())
		}
		for range 20 { // what is small fits, what is large does not
			if err := s.Consume(t.Context(), large()); !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			_ = s.Consume(t.Context(), one("small"))
			time.Sleep(time.Second)
		}
		if said := log.with("full"); len(said) != 1 || !strings.HasPrefix(said[0], `level=ERROR msg="spool: full"`) {
			t.Error(said)
		}
		away.Store(false)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		for range 5 {
			if err := s.Consume(t.Context(), large()); err != nil {
				t.Fatal(err)
			}
		}
		if said := log.with("no longer full"); len(said) != 1 || !strings.Contains(said[0], "after=") || time.Since(before) > 0 {
			t.Error(said)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What a crash tears was promised to nobody: it is told apart from damage. A file that was
// ended has no torn end.
func TestTornEndIsNoDamage(t *testing.T) {
	for _, crashed := range []bool{true, false} {
		data := appendHeader(nil, 1)
		for i := range 2 {
			rec := append(openFrame(nil), form(one(fmt.Sprint(i))[0])...)
			if err := closeFrame(rec, 0); err != nil {
				t.Fatal(err)
			}
			seal(rec, 1)
			data = append(data, rec...)
		}
		data = data[:len(data)-5]
		if crashed {
			data = append(data, make([]byte, 1000)...) // allocated in advance
		}
		var log journal
		o := crashOptions(Always)
		o.Logger = log.logger()
		var next taker
		s, err := start(newMemFS(contents(map[string][]byte{segmentName(1, dataSuffix): data})), &next, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"0"}, next.taken()); d != "" {
			t.Error(d)
		}
		st := s.Stats()
		if crashed && (st.Torn != 1 || st.Damaged != 0 || len(log.with("level=ERROR")) != 0 || len(log.with(`msg="spool: torn end"`)) != 1) ||
			!crashed && (st.Torn != 0 || st.Damaged != 1 || len(log.with(`level=ERROR msg="spool: damaged"`)) != 1) {
			t.Errorf("%+v %v", st, log.lines)
		}
	}
}
