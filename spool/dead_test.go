package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
)

// lines is what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) count(text string) int { return strings.Count(l.text(), text) }

// refuse is a store that names everything but the events of one session, for good.
func refuse(why string) beacon.Sink {
	return beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		var failed []int
		for i, e := range events {
			if e.Session != "good" {
				failed = append(failed, i)
			}
		}
		if failed == nil {
			return nil
		}
		return &beacon.PartialError{Failed: failed, Err: fmt.Errorf("%w: %s", beacon.ErrPermanent, why)}
	})
}

// Dead letters take no room from events, have a bound, and cost a sync and a line of the
// log for many.
func TestDeadLettersHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		fs := newMemFS(nil)
		syncs := 0
		fs.hook = func(o *op) error {
			if o.kind == opSync && strings.HasSuffix(o.name, deadSuffix) {
				syncs++
			}
			return nil
		}
		o := mustOptions(Options{MaxBytes: 1 << 20, MaxDeadBytes: 100 << 10})
		o.Logger = log.logger()
		s, err := start(fs, refuse("\x1b[31m\u202e no\n"+strings.Repeat("x", 5000)), o)
		if err != nil {
			t.Fatal(err)
		}
		const calls, per = 60, 50
		for call := range calls {
			var events []beacon.Event
			for n := range per {
				events = append(events, beacon.Event{ID: fmt.Sprintf("bad\x1b-%d-%d", call, n), Body: beacon.Text(strings.Repeat("y", 100))})
			}
			if err := errors.Join(s.Consume(t.Context(), events), s.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		st := s.Stats()
		if st.Dead != calls*per || st.DeadBytes > 130<<10 || st.Bytes > 300<<10 || st.DeadDropped == 0 {
			t.Errorf("%+v", st)
		}
		if syncs > calls {
			t.Errorf("%d syncs for %d calls", syncs, calls)
		}
		if n := log.count("spool: dead letters"); n > 7 || n < 5 {
			t.Errorf("%d lines in 6 s", n)
		}
		if strings.ContainsAny(log.text(), "\x1b\u202e") || len(log.text()) > 20000 {
			t.Errorf("%d bytes were logged, of which %.1000s", len(log.text()), log.text())
		}
		dead, err := deadLetters(fs)
		if err != nil || uint64(len(dead))+st.DeadDropped != st.Dead {
			t.Errorf("%v: %d there, %+v", err, len(dead), st)
		}

		// Somebody removes all of them, that which is written to included.
		for name := range fs.files() {
			if strings.HasSuffix(name, deadSuffix) {
				if err := fs.remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.DeadBytes != 0 {
			t.Errorf("not noticed: %+v", st)
		}
		if err := errors.Join(s.Consume(t.Context(), []beacon.Event{{ID: "last"}}), s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if dead, err := deadLetters(fs); err != nil || len(dead) != 1 || dead["last"] == "" || s.Stats().DiskErrors > 0 {
			t.Error(err, dead, s.Stats())
		}
	})
}

// What a crash leaves of the space of a dead-letter file is given back.
func TestDeadLettersAreTrimmed(t *testing.T) {
	rec := append(openFrame(nil), `{"time":"2026-01-02T03:04:05Z","why":"no","event":{"v":1,"id":"a"}}`...)
	if err := closeFrame(rec, 0); err != nil {
		t.Fatal(err)
	}
	seal(rec, 3)
	full := append(appendHeader(nil, 3), rec...)
	fs := newMemFS(contents(map[string][]byte{
		segmentName(3, deadSuffix): append(full, make([]byte, 1<<20)...),
		segmentName(4, deadSuffix): append(appendHeader(nil, 4), make([]byte, 1<<20)...),
	}))
	_, st, err := drain(fs)
	if err != nil || st.DeadBytes != int64(len(full)) || len(fs.files()[segmentName(3, deadSuffix)]) != len(full) || fs.files()[segmentName(4, deadSuffix)] != nil {
		t.Errorf("%v, %+v", err, st)
	}
}

// A full volume and events that are refused do not stop delivery, and make room again.
func TestRefusedOnAFullVolume(t *testing.T) {
	for _, in := range []int{40, 7, 2} { // one of so many is refused: some segments hold none, all hold some, half
		synctest.Test(t, func(t *testing.T) {
			fs := newMemFS(nil)
			fs.space = 100000
			var back atomic.Bool
			next := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if !back.Load() {
					return errAway
				}
				for _, e := range events {
					if bad(e.ID, in) {
						return fmt.Errorf("%w: no", beacon.ErrPermanent)
					}
				}
				return nil
			})
			s, err := start(fs, next, crashOptions(Always))
			if err != nil {
				t.Fatal(err)
			}
			stored, refused := 0, 0
			for n := range 1000 {
				e := beacon.Event{ID: fmt.Sprintf("a-%d", n), Session: fmt.Sprint(n), Body: beacon.Text(strings.Repeat("x", 300))}
				if s.Consume(t.Context(), []beacon.Event{e}) != nil {
					break
				}
				stored++
				if bad(e.ID, in) {
					refused++
				}
			}
			back.Store(true)
			time.Sleep(20 * time.Second)
			synctest.Wait()
			st := s.Stats()
			if int(st.Delivered) != stored-refused {
				t.Errorf("1 of %d: %d of %d delivered", in, st.Delivered, stored-refused)
			}
			if in > 10 && int(st.Dead) != refused {
				t.Errorf("1 of %d: %d of %d buried", in, st.Dead, refused)
			}
			dropped := st.DeadDropped // to have room for others
			// Whatever could not be buried is there for the next run, which has room.
			if err := s.Close(ctxEnded()); err != nil {
				t.Error(err)
			}
			fs.space = 0
			if s, err = start(fs, next, crashOptions(Always)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
				t.Error(err)
			}
			dropped += s.Stats().DeadDropped
			if dead, err := deadLetters(fs); err != nil || len(dead)+int(dropped) != refused || in > 10 && dropped > 0 {
				t.Errorf("1 of %d: %v, %d of %d dead letters, %d dropped", in, err, len(dead), refused, dropped)
			}
		})
	}
}

// What is refused of a full volume may take many times the reserve: delivery goes on all the
// same, no dead letter goes for another, and what there is no room for is there at the next
// start.
func TestRefusedBeyondTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		fs.space = 400_000
		o := crashOptions(Always)
		o.SegmentBytes, o.MaxDeadBytes = 64<<10, 16<<10 // the reserve has 4096
		var back atomic.Bool
		delivered := 0
		s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if !back.Load() {
				return errAway
			}
			if slices.ContainsFunc(events, func(e beacon.Event) bool { return bad(e.ID, 2) }) {
				return beacon.ErrPermanent
			}
			delivered += len(events)
			return nil
		}), o)
		if err != nil {
			t.Fatal(err)
		}
		stored, refused := 0, 0
		for n := 0; err == nil; n++ {
			e := beacon.Event{ID: fmt.Sprintf("a-%d", n), Session: fmt.Sprint(n), Body: beacon.Text(strings.Repeat("x", 300))}
			if err = s.Consume(t.Context(), []beacon.Event{e}); err != nil {
				break
			}
			stored++
			if bad(e.ID, 2) {
				refused++
			}
		}
		back.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Flush(ctx); err == nil {
			t.Error("flushed")
		}
		if err := s.Consume(t.Context(), one("a-1000000")); !errors.Is(err, errNoSpace) {
			t.Error(err)
		}
		st := s.Stats()
		if delivered != stored-refused || st.Dead == 0 || st.Left == 0 || st.DeadDropped > 0 || st.Stuck == "" {
			t.Errorf("%d of %d delivered, %+v", delivered, stored-refused, st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		fs.space = 4_000_000
		o.MaxDeadBytes = 1 << 20
		if s, err = start(fs, s.next, o); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Flush(t.Context()), s.Consume(t.Context(), one("a-1000000")), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		dead, err := deadLetters(fs)
		if st := s.Stats(); err != nil || len(dead) != refused || st.Left > 0 || st.DeadDropped > 0 || st.Pending > 0 {
			t.Errorf("%v, %d of %d dead letters, %+v", err, len(dead), refused, st)
		}
	})
}

// Dead letters do not go with a file that somebody has just removed.
func TestDeadLettersBehindARemovedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		s, err := start(fs, refuse("no"), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"first", "second"} {
			for name := range fs.files() {
				if strings.HasSuffix(name, deadSuffix) {
					err = errors.Join(err, fs.remove(name))
				}
			}
			if err = errors.Join(err, s.Consume(t.Context(), one(id)), s.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if dead, err := deadLetters(fs); err != nil || !slices.Equal(keys(dead), []string{"second"}) || fs.handles != 0 {
			t.Error(dead, err, fs.handles)
		}
	})
}

// Delivery that cannot bury says so, and does not write all the time.
func TestStuckOnDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		tries := 0
		fs.hook = func(o *op) error {
			if strings.HasSuffix(o.name, deadSuffix) {
				tries++
				return errAway
			}
			return nil
		}
		s, err := start(fs, refuse("no"), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Consume(t.Context(), makeEvents(100, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		since := time.Now().Add(-time.Minute)
		if st := s.Stats(); st.Stuck != errAway.Error() || st.StuckSince.Sub(since) > time.Second || tries > 100 || st.Pending == 0 {
			t.Errorf("%d tries, %+v", tries, st)
		}
		fs.mu.Lock()
		fs.hook = nil
		fs.mu.Unlock()
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := s.Stats(); st.Stuck != "" || st.Dead != 100 {
			t.Errorf("%+v", st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Events of a later version outlast a program that does not know them, and go on to one
// that does.
func TestEventsOfALaterVersion(t *testing.T) {
	data := appendHeader(nil, 1)
	later := 0
	for _, payload := range []string{`{"v":1,"id":"a"}`, `{"v":2,"id":"b"}`, `{"v":1,"id":"c"}`, `{"v":2,"id":"d"}`} {
		rec := append(openFrame(nil), payload...)
		if err := closeFrame(rec, 0); err != nil {
			t.Fatal(err)
		}
		seal(rec, 1)
		if strings.Contains(payload, `"v":2`) && later == 0 {
			later = len(data)
		}
		data = append(data, rec...)
	}
	fs := newMemFS(contents(map[string][]byte{segmentName(1, dataSuffix): data}))
	for run := range 3 {
		came, st, err := drain(fs)
		if err != nil || st.Dead != 0 || st.Later != 2 || len(came) != 2-min(1, run) {
			t.Errorf("run %d: %v, %+v, %d came", run, err, st, len(came))
		}
	}
	files := fs.files()
	if !bytes.Equal(files[segmentName(1, dataSuffix)], data) {
		t.Error("the segment is not what it was")
	}
	if c, _, err := readCursor(bytes.NewReader(files[cursorName])); err != nil || c.at != (position{1, int64(later)}) {
		t.Errorf("%v, the next program begins at %+v", err, c.at)
	}
}

// The number of a segment is never used again, whatever is removed and whenever the power goes.
func TestNumbersAreNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		rec := refuse("no")
		s, err := start(fs, rec, crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 60 {
			e := beacon.Event{ID: fmt.Sprint("a-", n), Session: "good", Body: beacon.Text(strings.Repeat("x", 1000))}
			if n == 59 {
				e.Session = "bad"
			}
			if err := errors.Join(s.Consume(t.Context(), []beacon.Event{e}), s.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A dead letter has the highest number, and somebody removes it.
		last := uint64(0)
		for name := range fs.files() {
			if seq, suffix, ok := parseName(name); ok && suffix == deadSuffix {
				last = seq
				if err := fs.remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		again, err := start(fs, rec, crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		if next := again.nextNumber(); next <= last || last == 0 {
			t.Errorf("%d comes after %d, which was removed", next, last)
		}
		if err := again.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := newDisk(fs.base)
		used := uint64(0) // the highest number of a name that was durable
		for n := range fs.ops {
			o := &fs.ops[n]
			d.apply(o)
			for name := range d.names {
				if seq, _, ok := parseName(name); ok {
					used = max(used, seq)
				}
			}
			for try := range uint64(6) {
				how := []cut{keepAll, loseAll, keepSome512}[min(try, 2)]
				s, err := start(d.crash(how, nil, 0, rand.New(rand.NewPCG(try, uint64(n)))), rec, crashOptions(Always))
				if err != nil {
					t.Fatal(err)
				}
				if next := s.nextNumber(); next <= used {
					t.Errorf("%d comes after %d, cut %d after operation %d (%s)", next, used, how, n, o)
				}
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
