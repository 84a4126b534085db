package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// faultDisk returns a directory with some of everything: a damaged segment, one
// with events, and one that a crash left.
func faultDisk() (map[string][]byte, map[string]string) {
	files, sent := map[string][]byte{}, map[string]string{}
	rng := rand.New(rand.NewPCG(5, 5))
	number := 0
	for seq := uint64(1); seq <= 3; seq++ {
		data := appendHeader(nil, seq)
		for i := range 4 {
			number++
			e := makeEvent("old", number, rng)
			rec := append(openFrame(nil), form(e)...)
			if err := closeFrame(rec, 0); err != nil {
				panic(err)
			}
			seal(rec, seq)
			if seq == 1 && i == 1 {
				rec[len(rec)-5] ^= 1
			} else {
				sent[e.ID] = form(e)
			}
			data = append(data, rec...)
		}
		if seq == 3 {
			data = append(data, make([]byte, 1000)...)
		}
		files[segmentName(seq, dataSuffix)] = data
	}
	return files, sent
}

// A faultRun is the life of a spool in which operations fail.
type faultRun struct {
	h       *history
	old     map[string]string
	seen    int // operations
	refused int
}

// runFault runs a spool on the fault disk until it has done everything once. The
// fault says what becomes of operation i; after a second the faults are over.
func runFault(t *testing.T, sync Sync, fault func(i int, o *op) error) (r faultRun, failure error) {
	synctest.Test(t, func(t *testing.T) {
		files, old := faultDisk()
		fs := newMemFS(contents(files))
		h := newHistory(fs)
		h.known = old
		r = faultRun{h: h, old: old}
		good := false
		fs.hook = func(o *op) error {
			r.seen++
			if good {
				return nil
			}
			return fault(r.seen-1, o)
		}
		o := crashOptions(sync)
		o.MemoryBytes = 600
		w := &weather{refuse: func(id string) error {
			if id == "new-8" || id == "old-7" {
				return beacon.ErrPermanent
			}
			return nil
		}}
		next := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if err := w.say(events); err != nil {
				return err
			}
			h.took(events)
			return nil
		})
		rng := rand.New(rand.NewPCG(6, 6))
		s, err := start(fs, next, o)
		if err != nil { // as it should be if it cannot read
			fs.mu.Lock()
			good = true
			if fs.handles != 0 {
				failure = errors.Join(failure, fmt.Errorf("start failed and left %d files open", fs.handles))
			}
			fs.mu.Unlock()
			if s, err = start(fs, next, o); err != nil {
				failure = fmt.Errorf("start on a good disk: %w", err)
				return
			}
		}
		for n := range 24 {
			if n == 4 || n == 12 {
				w.set(n == 4, false)
			}
			err := h.consume(s, makeEvent("new", n, rng))
			if err != nil {
				r.refused++
				var retry *beacon.RetryAfterError
				if errors.Is(err, beacon.ErrPermanent) || !errors.As(err, &retry) {
					failure = errors.Join(failure, fmt.Errorf("refused with %w", err))
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		fs.mu.Lock()
		good = true
		fs.mu.Unlock()
		// Without reopening.
		if err := h.consume(s, makeEvent("new", 100, rng)); err != nil {
			failure = errors.Join(failure, fmt.Errorf("on a good disk: %w", err))
		}
		if err := s.Healthy(t.Context()); err != nil {
			failure = errors.Join(failure, fmt.Errorf("on a good disk: %w", err))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Flush(ctx); err != nil {
			failure = errors.Join(failure, fmt.Errorf("flush: %w, %+v", err, s.Stats()))
		}
		if err := s.Close(t.Context()); err != nil {
			failure = errors.Join(failure, err)
		}
		if len(fs.breaches) > 0 {
			failure = errors.Join(failure, fmt.Errorf("after a failed sync: %s", fs.breaches[0]))
		}
		if fs.handles != 0 {
			failure = errors.Join(failure, fmt.Errorf("%d files were left open", fs.handles))
		}
		failure = errors.Join(failure, r.complete())
	})
	return r, failure
}

// complete says what is missing at the end of a run.
func (r *faultRun) complete() error {
	if len(r.h.problems) > 0 {
		return errors.New(r.h.problems[0])
	}
	dead, err := deadLetters(r.h.fs)
	if err != nil {
		return err
	}
	came := until(r.h.delivered, len(r.h.fs.ops))
	var bad []byte
	for name, data := range r.h.fs.files() {
		if strings.HasSuffix(name, badSuffix) {
			bad = append(bad, data...)
		}
	}
	want := until(r.h.acked, len(r.h.fs.ops))
	for id := range r.old {
		want[id] = true
	}
	for id := range want {
		if !came[id] && dead[id] == "" && !strings.Contains(string(bad), `"id":"`+id+`"`) {
			return fmt.Errorf("lost: %s", id)
		}
	}
	if !strings.Contains(string(bad), `"id":"old-2"`) {
		return errors.New("what was damaged was not kept")
	}
	if d := disorder(firsts(r.h.delivered), nil); d != "" {
		return fmt.Errorf("out of order: %s", d)
	}
	return nil
}

// survive cuts the power at some places of a run and looks what comes back.
func (r *faultRun) survive(i int) (states int, err error) {
	rng := rand.New(rand.NewPCG(uint64(i), 9))
	d := newDisk(r.h.fs.base)
	for n := range r.h.fs.ops {
		d.apply(&r.h.fs.ops[n])
		if rng.IntN(25) != 0 {
			continue
		}
		states++
		fs := d.crash(cut(rng.IntN(int(tearLast))), nil, 0, rng)
		l := r.h.after(n+1, Always)
		l.sent = map[string]string{}
		maps.Copy(l.sent, r.h.sent)
		for id, f := range r.old {
			l.sent[id], l.acked[id] = f, true
		}
		l.order = nil // what was refused may come back in the middle
		h, err := l.recovery(fs, crashOptions(Always))
		if err != nil {
			// An unreadable segment is kept as it is: its events are there, but not delivered.
			if id, found := strings.CutPrefix(err.Error(), "lost: "); found && inBad(h.fs, id) {
				continue
			}
			return states, fmt.Errorf("cut after operation %d (%s): %w", n, &r.h.fs.ops[n], err)
		}
	}
	return states, nil
}

func inBad(fs *memFS, id string) bool {
	for name, data := range fs.files() {
		if strings.HasSuffix(name, badSuffix) && strings.Contains(string(data), `"id":"`+id+`"`) {
			return true
		}
	}
	return false
}

// Every operation in turn fails, in several ways.
func TestFaults(t *testing.T) {
	t.Parallel()
	r, err := runFault(t, Always, func(int, *op) error { return nil })
	if err != nil || r.refused > 0 {
		t.Fatalf("without faults: %v, %d refused", err, r.refused)
	}
	ops := r.seen
	eio, full := error(syscall.EIO), errNoSpace
	kinds := []struct {
		name  string
		sync  Sync
		fault func(at, i int, o *op) error
	}{
		{"once", Always, func(at, i int, o *op) error { return when(i == at, eio) }},
		{"twice", Always, func(at, i int, o *op) error { return when(i == at || i == at+1, eio) }},
		{"interval", Interval(20 * time.Millisecond), func(at, i int, o *op) error { return when(i == at, eio) }},
		{"no space", Always, func(at, i int, o *op) error { return when(i >= at && i < at+3, full) }},
		{"short write", Always, func(at, i int, o *op) error { return when(i == at, partial{len(o.data) / 2, full}) }},
		{"from then on", Always, func(at, i int, o *op) error { return when(i >= at, eio) }},
		{"writes from then on", Always, func(at, i int, o *op) error {
			return when(i >= at && (o.kind == opWrite || o.kind == opCreate || o.kind == opTruncate), full)
		}},
		{"syncs from then on", Always, func(at, i int, o *op) error { return when(i >= at && o.kind == opSync, eio) }},
		{"directory from then on", Always, func(at, i int, o *op) error {
			return when(i >= at && (o.kind == opSyncDir || o.kind == opRemove || o.kind == opLink || o.kind == opCreate), eio)
		}},
		{"reads from then on", Always, func(at, i int, o *op) error { return when(i >= at && o.kind == opRead, eio) }},
		{"at random", Always, func(at, i int, o *op) error {
			return when(rand.New(rand.NewPCG(uint64(at), uint64(i))).IntN(6) == 0, eio)
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			runs, states, refused := 0, 0, 0
			var failures []string
			for at := 0; at < ops; at += scale(2, 1) {
				r, err := runFault(t, k.sync, func(i int, o *op) error { return k.fault(at, i, o) })
				runs++
				refused += r.refused
				if err == nil && k.sync == Always {
					var n int
					n, err = r.survive(at)
					states += n
				}
				if err != nil {
					failures = append(failures, fmt.Sprintf("operation %d: %v", at, err))
				}
			}
			report(t, failures)
			t.Logf("%d runs, %d power cuts, %d events refused", runs, states, refused)
		})
	}
}

func when(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// A disk that is full refuses, and takes events again when there is space.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		fs.space = 20000
		h := newHistory(fs)
		w := &weather{down: true, refuse: func(string) error { return nil }}
		s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if err := w.say(events); err != nil {
				return err
			}
			h.took(events)
			return nil
		}), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		refused := 0
		for n := range 100 {
			if err := h.consume(s, makeEvent("a", n, rng)); err != nil {
				if !errors.Is(err, errNoSpace) || errors.Is(err, beacon.ErrPermanent) {
					t.Fatal(err)
				}
				refused++
			}
		}
		if refused == 0 || refused == 100 {
			t.Fatal(refused, "refused")
		}
		if s.Healthy(t.Context()) == nil {
			t.Error("healthy, with no space")
		}
		if st := s.Stats(); st.DiskErrors == 0 {
			t.Errorf("no word of the disk: %+v", st)
		}
		w.set(false, false) // makes space
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := s.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
		for n := range 100 {
			if err := h.consume(s, makeEvent("b", n, rng)); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(firsts(h.acked), firsts(h.delivered)); d != "" || len(h.problems) > 0 {
			t.Error(d, h.problems)
		}
	})
}

// A cursor that cannot be read for a moment must not come back later, ahead of
// segments that were made since.
func TestUnreadableCursor(t *testing.T) {
	fs := newMemFS(nil)
	o := crashOptions(Always)
	h := newHistory(fs)
	away := false
	next := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		if away {
			return errAway
		}
		h.took(events)
		return nil
	})
	rng := rand.New(rand.NewPCG(1, 3))
	run := func(first int) error {
		s, err := start(fs, next, o)
		if err != nil {
			return err
		}
		for n := range 30 {
			if err := h.consume(s, makeEvent("a", first+n, rng)); err != nil {
				t.Fatal(err)
			}
		}
		if !away {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	if err := run(0); err != nil {
		t.Fatal(err)
	}
	away = true
	fs.hook = func(o *op) error { return when(o.kind == opRead && o.name == cursorName, syscall.EIO) }
	if err := run(100); err != nil {
		t.Log("start refuses:", err)
	}
	away, fs.hook = false, nil
	if err := run(200); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(firsts(h.acked), firsts(h.delivered)); d != "" {
		t.Error(d)
	}
}

// What is damaged is kept even if a copy of it was begun and not ended.
func TestKeepsAsideInSpiteOfFaults(t *testing.T) {
	damaged := func() (map[string][]byte, []byte) {
		files, _ := faultDisk()
		delete(files, segmentName(2, dataSuffix))
		delete(files, segmentName(3, dataSuffix))
		data := files[segmentName(1, dataSuffix)]
		at := strings.Index(string(data), `"id":"old-2"`)
		return files, data[at : at+100]
	}
	holds := func(fs *memFS, part []byte) bool {
		for name, data := range fs.files() {
			if strings.HasSuffix(name, badSuffix) && strings.Contains(string(data), string(part)) {
				return true
			}
		}
		return false
	}
	t.Run("crash", func(t *testing.T) {
		files, part := damaged()
		fs := newMemFS(contents(files))
		if _, _, err := drain(fs); err != nil {
			t.Fatal(err)
		}
		d := newDisk(fs.base)
		var failures []string
		for n := range fs.ops {
			d.apply(&fs.ops[n])
			for how := range tearLast {
				again := d.crash(how, nil, 0, rand.New(rand.NewPCG(uint64(n), uint64(how))))
				if _, _, err := drain(again); err != nil {
					t.Fatal(err)
				}
				if !holds(again, part) {
					failures = append(failures, fmt.Sprintf("cut %d after operation %d (%s)", how, n, &fs.ops[n]))
				}
			}
		}
		report(t, failures)
	})
	t.Run("crash after a link", func(t *testing.T) {
		files, part := damaged()
		fs := newMemFS(contents(files))
		fs.hook = func(o *op) error {
			return when(o.kind == opWrite && strings.HasSuffix(o.name, badSuffix), errNoSpace)
		}
		if _, _, err := drain(fs); err != nil {
			t.Fatal(err)
		}
		d := newDisk(fs.base)
		var failures []string
		for n := range fs.ops {
			d.apply(&fs.ops[n])
			for try := range uint64(8) {
				again := d.crash(keepSome512, nil, 0, rand.New(rand.NewPCG(uint64(n), try)))
				if _, _, err := drain(again); err != nil {
					t.Fatal(err)
				}
				if !holds(again, part) {
					failures = append(failures, fmt.Sprintf("try %d after operation %d (%s)", try, n, &fs.ops[n]))
				}
			}
		}
		report(t, failures)
	})
	t.Run("nothing goes for a while", func(t *testing.T) {
		files, part := damaged()
		fs := newMemFS(contents(files))
		calls := 0
		fs.hook = func(o *op) error {
			bad := strings.HasSuffix(o.name, badSuffix) || strings.HasSuffix(o.to, badSuffix)
			if bad && o.kind != opCreate && o.kind != opClose {
				calls++
			}
			return when(bad && calls < 6 && slices.Contains([]string{opWrite, opRemove, opLink}, o.kind), syscall.EIO)
		}
		if _, _, err := drain(fs); err != nil {
			t.Fatal(err)
		}
		if !holds(fs, part) {
			t.Error("lost what was damaged")
		}
	})
}

// In the mode Interval nothing that is older than an interval may be lost, also
// when a write has failed since.
func TestIntervalSyncsWhatCameBeforeAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		o := crashOptions(Interval(time.Second))
		o.SegmentBytes = 1 << 16
		h := newHistory(fs)
		s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }), o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(4, 4))
		for n := range 10 {
			if n == 5 {
				fs.mu.Lock()
				fs.hook = func(o *op) error {
					if o.kind != opWrite {
						return nil
					}
					fs.hook = nil
					return errNoSpace
				}
				fs.mu.Unlock()
			}
			if err := h.consume(s, makeEvent("a", n, rng)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		d := newDisk(fs.base)
		for n := range fs.ops {
			d.apply(&fs.ops[n])
		}
		l := h.after(len(fs.ops), Always)
		again := d.crash(loseAll, nil, 0, nil)
		if err := s.Close(ctxEnded()); err != nil {
			t.Error(err)
		}
		if _, err := l.recovery(again, crashOptions(Always)); err != nil {
			t.Error(err)
		}
	})
}

func ctxEnded() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// runSink runs a spool in memory with a sink until everything is delivered or
// buried, and returns its history and what is in the dead-letter files. Meanwhile other
// events come, one a second for some minutes, of which no more is said: poison shows only
// beside what is taken.
func runSink(t *testing.T, o Options, sink func(events []beacon.Event) error, events []beacon.Event, per int) (h *history, dead map[string]string, st Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, err := o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		h = newHistory(newMemFS(nil))
		s, err := start(h.fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if err := sink(events); err != nil {
				return err
			}
			h.took(slices.DeleteFunc(events, isOther))
			return nil
		}), o)
		if err != nil {
			t.Fatal(err)
		}
		for chunk := range slices.Chunk(events, per) {
			if err := h.consume(s, chunk...); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		flushed, others := make(chan error), 0
		go func() { flushed <- s.Flush(ctx) }()
		for wait := true; wait; {
			select {
			case err := <-flushed:
				if err != nil {
					t.Errorf("%v, %+v", err, s.Stats())
				}
				wait = false
			case <-time.After(time.Second):
				if others < 300 {
					others++
					if err := s.Consume(ctx, []beacon.Event{{ID: "other-" + fmt.Sprint(others)}}); err != nil {
						t.Error(err)
					}
				}
			}
		}
		if err := s.Flush(ctx); err != nil {
			t.Error(err)
		}
		st = s.Stats()
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if dead, err = deadLetters(h.fs); err != nil {
			t.Fatal(err)
		}
		for id, got := range dead {
			if strings.HasPrefix(id, "other-") { // flakiness can look like poison
				delete(dead, id)
				others--
				st.Dead--
				continue
			}
			if got != h.sent[id] {
				t.Errorf("dead letter %s, sent %s", got, h.sent[id])
			}
		}
		st.Delivered -= uint64(others)
		if len(h.problems) > 0 {
			t.Error(h.problems[0])
		}
	})
	return h, dead, st
}

func isOther(e beacon.Event) bool { return strings.HasPrefix(e.ID, "other-") }

func makeEvents(n, sessions int) []beacon.Event {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(sessions)))
	events := make([]beacon.Event, n)
	for i := range events {
		events[i] = makeEvent(fmt.Sprintf("s%d", i%sessions), i, rng)
	}
	return events
}

func without(events []beacon.Event, ids ...string) (left []string) {
	for _, e := range events {
		if !slices.Contains(ids, e.ID) {
			left = append(left, e.ID)
		}
	}
	return left
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func TestPermanentErrorBuriesOneOfABatch(t *testing.T) {
	events := makeEvents(1000, 7)
	for _, bad := range []int{0, 499, 999} {
		id := events[bad].ID
		calls := 0
		h, dead, st := runSink(t, Options{BatchEvents: 1000, BatchBytes: 1 << 30}, func(events []beacon.Event) error {
			calls++
			if slices.ContainsFunc(events, func(e beacon.Event) bool { return e.ID == id }) {
				return fmt.Errorf("%w: no", beacon.ErrPermanent)
			}
			return nil
		}, events, 1000)
		if d := cmp.Diff([]string{id}, keys(dead)); d != "" || st.Dead != 1 || st.Delivered != 999 {
			t.Errorf("%s %+v", d, st)
		}
		if d := cmp.Diff(without(events, id), allIDs(h.delivered)); d != "" {
			t.Error(d)
		}
		if calls > 50 {
			t.Errorf("%d calls to find event %d", calls, bad)
		}
	}
}

// What the next sink took of a call it does not get again, whatever became of the rest;
// what it named as refused for good is dead at once.
func TestNextNamesWhatItDidNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := makeEvents(200, 7)
		dead := []string{events[0].ID, events[5].ID, events[150].ID}
		late := map[string]int{events[1].ID: 2, events[60].ID: 1, events[199].ID: 3} // how often it fails
		h := newHistory(newMemFS(nil))
		calls := 0
		s, err := start(h.fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			calls++
			var failed []int
			var errs []error
			var took []beacon.Event
			for i, e := range events {
				switch {
				case slices.Contains(dead, e.ID):
					failed, errs = append(failed, i), append(errs, beacon.ErrPermanent)
				case late[e.ID] > 0:
					late[e.ID]--
					failed, errs = append(failed, i), append(errs, errAway)
				default:
					took = append(took, e)
				}
			}
			h.took(took)
			if failed == nil {
				return nil
			}
			return &beacon.PartialError{Failed: failed, Err: beacon.JoinErrors(errs...)}
		}), mustOptions(Options{BatchEvents: 50}))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.consume(s, events...); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Delivered != 197 || st.Dead != 3 || st.Pending != 0 || calls > 20 {
			t.Errorf("%+v after %d calls", st, calls)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		came := allIDs(h.delivered)
		slices.Sort(came)
		want := without(events, dead...)
		slices.Sort(want)
		if d := cmp.Diff(want, came); d != "" {
			t.Error("not each once:", d)
		}
		letters, err := deadLetters(h.fs)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(dead)
		if d := cmp.Diff(dead, keys(letters)); d != "" {
			t.Error(d)
		}
	})
}

func mustOptions(o Options) Options {
	o, err := o.withDefaults()
	if err != nil {
		panic(err)
	}
	return o
}

func allIDs(marks []mark) (ids []string) {
	for _, m := range marks {
		ids = append(ids, m.id)
	}
	return ids
}

func TestPanickingSink(t *testing.T) {
	events := makeEvents(100, 3)
	calls := 0
	h, dead, st := runSink(t, Options{BatchEvents: 10}, func([]beacon.Event) error {
		if calls++; calls%3 != 0 {
			panic("boom")
		}
		return nil
	}, events, 10)
	if d := cmp.Diff(without(events), allIDs(h.delivered)); d != "" || len(dead) > 0 || st.SinkErrors == 0 {
		t.Errorf("%s %+v", d, st)
	}
}

func TestPoisonIsBuriedAfterMaxTries(t *testing.T) {
	events := makeEvents(200, 5)
	poison := []string{events[0].ID, events[57].ID, events[58].ID}
	const tries = 4
	alone := map[string]int{}
	h, dead, st := runSink(t, Options{BatchEvents: 50, MaxTries: tries}, func(events []beacon.Event) error {
		for _, e := range events {
			if slices.Contains(poison, e.ID) {
				if len(events) == 1 {
					alone[e.ID]++
				}
				panic("poison")
			}
		}
		return nil
	}, events, 20)
	slices.Sort(poison)
	if d := cmp.Diff(poison, keys(dead)); d != "" || st.Dead != 3 {
		t.Errorf("%s %+v", d, st)
	}
	for _, id := range poison {
		if alone[id] < tries {
			t.Errorf("%s was tried %d times alone", id, alone[id])
		}
	}
	came := allIDs(h.delivered)
	if d := disorder(came, nil); d != "" {
		t.Error(d)
	}
	want := without(events, poison...)
	slices.Sort(want)
	slices.Sort(came)
	if d := cmp.Diff(want, came); d != "" {
		t.Error(d)
	}
}

// Poison is told from an outage by what comes behind it, also if a batch has no
// room for enough of that.
func TestPoisonThatFillsABatch(t *testing.T) {
	events := makeEvents(100, 5)
	id := events[3].ID
	large := slices.Clone(events)
	large[3].Body = beacon.Text(strings.Repeat("x", 1<<20))
	for _, c := range []struct {
		name   string
		o      Options
		events []beacon.Event
	}{
		{"large event", Options{}, large},
		{"one at a time", Options{BatchEvents: 1}, events},
		{"fewer than the tries", Options{BatchEvents: 10}, events},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, dead, _ := runSink(t, c.o, func(events []beacon.Event) error {
				return when(slices.ContainsFunc(events, func(e beacon.Event) bool { return e.ID == id }), errors.New("poison"))
			}, c.events, 10)
			if d := cmp.Diff([]string{id}, keys(dead)); d != "" || len(h.delivered) != 99 {
				t.Error(d, len(h.delivered))
			}
		})
	}
}

// A sink that is away for long loses nothing, and nothing is taken for poison.
func TestLongOutage(t *testing.T) {
	events := makeEvents(300, 4)
	var end time.Time
	h, dead, _ := runSink(t, Options{BatchEvents: 20, MaxTries: 2, MemoryBytes: 1000}, func([]beacon.Event) error {
		if end.IsZero() {
			end = time.Now().Add(12 * time.Hour)
		}
		return when(time.Now().Before(end), errAway)
	}, events, 7)
	if d := cmp.Diff(without(events), allIDs(h.delivered)); d != "" || len(dead) > 0 {
		t.Error(d, dead)
	}
}

// Whatever the sink does, each event is delivered or dead, once, and those of a session
// are in order, except one that failed by itself some times.
func TestOrderWithAFlakySink(t *testing.T) {
	t.Parallel()
	for seed := range uint64(scale(60, 1000)) {
		rng := rand.New(rand.NewPCG(seed, 11))
		events := makeEvents(120+rng.IntN(150), 3)
		bad := map[string]error{}
		for range rng.IntN(4) {
			// Others must come behind it, and one session be without, to tell poison from
			// an outage.
			id := events[3*rng.IntN(20)+rng.IntN(2)].ID
			bad[id] = errors.New("poison")
			if rng.IntN(2) == 0 {
				bad[id] = beacon.ErrPermanent
			}
		}
		rate := rng.Float64() * 0.9
		o := Options{
			BatchEvents: 40 + rng.IntN(30), MemoryBytes: 1 + rng.Int64N(8000),
			MaxTries: 3 + rng.IntN(6), SegmentBytes: 2000 + rng.Int64N(8000), Timeout: time.Second,
		}
		alone, passed := map[string]int{}, map[string]bool{}
		h, dead, st := runSink(t, o, func(events []beacon.Event) error {
			time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
			if rng.Float64() < rate {
				if len(events) == 1 {
					alone[events[0].ID]++
					passed[events[0].ID] = alone[events[0].ID] >= 4
				}
				return errAway
			}
			for _, e := range events {
				if err := bad[e.ID]; err != nil {
					return err
				}
			}
			return nil
		}, events, 1+rng.IntN(9))
		came := allIDs(h.delivered)
		if d := disorder(came, passed); d != "" {
			t.Errorf("seed %d: %s", seed, d)
		}
		// Flakiness can look like poison, but must not make two of one.
		got := append(keys(dead), came...)
		want := without(events)
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("seed %d: %s", seed, d)
		}
		for id := range bad {
			if dead[id] == "" {
				t.Errorf("seed %d: %s was delivered", seed, id)
			}
		}
		if int(st.Dead) != len(dead) || int(st.Delivered) != len(came) || st.Pending != 0 {
			t.Errorf("seed %d: %+v, %d dead, %d delivered", seed, st, len(dead), len(came))
		}
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}
