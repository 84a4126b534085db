//go:build !plan9

package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// On a full volume, an event that the next sink refuses is buried in the reserve, delivery
// goes on behind it, which makes room, and the reserve is there again for the next one.
func TestBuriesOnAFullVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		fs.space = 40_000
		o := crashOptions(Always)
		var away atomic.Bool
		away.Store(true)
		var next taker
		s, err := start(fs, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			if away.Load() {
				return errAway
			}
			for _, e := range events {
				if strings.HasPrefix(e.ID, "bad") {
					return beacon.ErrPermanent
				}
			}
			return next.Consume(ctx, events)
		}), o)
		if err != nil {
			t.Fatal(err)
		}
		var good, bad []string
		for round := range 3 {
			away.Store(true)
			var err error
			for n := 0; err == nil; n++ {
				e := beacon.Event{ID: fmt.Sprintf("good-%d-%d", round, n), Body: beacon.Text(strings.Repeat("x", 300))}
				if n == 3 {
					e.ID = fmt.Sprint("bad-", round)
				}
				if err = s.Consume(t.Context(), []beacon.Event{e}); err != nil {
					break
				}
				if n == 3 {
					bad = append(bad, e.ID)
				} else {
					good = append(good, e.ID)
				}
			}
			if !errors.Is(err, errNoSpace) {
				t.Fatal(err)
			}
			if fs.files()[reserveName] == nil {
				t.Fatal("no reserve")
			}
			away.Store(false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := s.Flush(ctx); err != nil {
				t.Fatalf("round %d: %v %+v", round, err, s.Stats())
			}
			cancel()
		}
		if err := s.Consume(t.Context(), one("good-last")); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(append(good, "good-last"), next.taken()); d != "" {
			t.Error(d)
		}
		dead, err := deadLetters(fs)
		if d := cmp.Diff(bad, keys(dead)); d != "" || err != nil {
			t.Error(d, err)
		}
		if fs.handles != 0 {
			t.Error(fs.handles, "files left open")
		}
	})
}

// There is room for the dead letter of a large event, too, if it has to wait for a store on a
// full volume. Events that leave none are not taken.
func TestBuriesLargeEventsOnAFullVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		fs.space = 600_000
		o := crashOptions(Always)
		o.MaxDeadBytes = 400_000
		var away atomic.Bool
		away.Store(true)
		s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if away.Load() {
				return errAway
			}
			var failed []int
			for i, e := range events {
				if strings.HasPrefix(e.ID, "large") {
					failed = append(failed, i)
				}
			}
			if failed == nil {
				return nil
			}
			return &beacon.PartialError{Failed: failed, Err: beacon.ErrPermanent}
		}), o)
		if err != nil {
			t.Fatal(err)
		}
		large, small := 0, 0
		for n := 0; err == nil; n++ {
			e := beacon.Event{ID: fmt.Sprint("small-", n), Body: beacon.Text(strings.Repeat("x", 300))}
			if n%8 == 0 && n < 64 {
				e.ID, e.Body = fmt.Sprint("large-", n), beacon.Text(strings.Repeat("x", 40_000))
			}
			if err = s.Consume(t.Context(), []beacon.Event{e}); err != nil {
				break
			}
			if n%8 == 0 && n < 64 {
				large++
			} else {
				small++
			}
		}
		if !errors.Is(err, errNoSpace) || large != 8 {
			t.Fatal(err, large)
		}
		away.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Flush(ctx), s.Consume(ctx, one("after")), s.Flush(ctx), s.Close(ctx)); err != nil {
			t.Errorf("%v, %+v", err, s.Stats())
		}
		if st := s.Stats(); int(st.Delivered) != small+1 || int(st.Dead) != large || st.Pending != 0 {
			t.Errorf("%d small ones, %d large ones, %+v", small, large, st)
		}
		if fs.handles != 0 {
			t.Error(fs.handles, "files left open")
		}
	})
}

// A power cut while the reserve becomes a file of dead letters, and another one is made,
// loses nothing.
func TestPowerCutsWhileTheReserveIsUsed(t *testing.T) {
	var h *history
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS(nil)
		fs.space = 30_000
		h = newHistory(fs)
		var away atomic.Bool
		away.Store(true)
		s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			if away.Load() {
				return errAway
			}
			for _, e := range events {
				if _, n := split(e.ID); n%10 == 3 {
					return beacon.ErrPermanent
				}
			}
			h.took(events)
			return nil
		}), crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(8, 8))
		for n := 0; err == nil; n++ {
			err = h.consume(s, makeEvent("a", n, rng))
		}
		away.Store(false)
		if err := errors.Join(s.Flush(t.Context()), h.consume(s, makeEvent("a", 1000, rng)), s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
	d := newDisk(h.fs.base)
	rng := rand.New(rand.NewPCG(9, 9))
	used, states := 0, 0
	var failures []string
	for n := range h.fs.ops {
		o := &h.fs.ops[n]
		d.apply(o)
		if o.kind == opRename && o.name == reserveName {
			used = n
		}
		if used == 0 || n > used+40 {
			continue
		}
		for how := range cuts {
			states++
			if _, err := h.after(n+1, Always).recovery(d.crash(how, o, len(o.data)/2, rng), crashOptions(Always)); err != nil {
				failures = append(failures, fmt.Sprintf("cut %d after operation %d (%s): %v", how, n, o, err))
			}
		}
	}
	report(t, failures)
	if states < 100 {
		t.Errorf("%d states: the reserve was not used", states)
	}
}

// Without a reserve nothing is accepted, and what is there is delivered.
func TestNoRoomForTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files, old := faultDisk()
		fs := newMemFS(contents(files))
		full := true
		fs.hook = func(o *op) error {
			return when(full && o.kind == opCreate && o.name == reserveName, errNoSpace)
		}
		var next taker
		var log journal
		o := crashOptions(Always)
		o.Logger = log.logger()
		s, err := start(fs, &next, o)
		if err != nil {
			t.Fatal(err)
		}
		if said := log.with(`level=ERROR msg="spool: disk" error="reserve: `); len(said) != 1 || s.Stats().DiskErrors != 1 {
			t.Errorf("%v %+v", log.lines, s.Stats())
		}
		err = s.Consume(t.Context(), one("a"))
		if _, ok := errors.AsType[*beacon.RetryAfterError](err); !ok || !errors.Is(err, errNoSpace) {
			t.Error(err)
		}
		if err := s.Healthy(t.Context()); !errors.Is(err, errNoSpace) {
			t.Error("healthy:", err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(next.taken()); n != len(old) {
			t.Errorf("%d of %d delivered", n, len(old))
		}
		fs.mu.Lock()
		full = false
		fs.mu.Unlock()
		if err := errors.Join(s.Consume(t.Context(), one("b")), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		// The next Open finds it.
		made := len(fs.ops)
		s, err = start(fs, &next, crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range fs.ops[made:] {
			if o.name == reserveName {
				t.Error(&o)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A quota or a limit of the size of files makes segments smaller, as a full disk does.
func TestSmallerSegments(t *testing.T) {
	for _, limit := range []error{errNoSpace, syscall.EDQUOT, syscall.EFBIG} {
		fs := newMemFS(nil)
		fs.hook = func(o *op) error {
			return when(o.kind == opCreate && strings.HasSuffix(o.name, dataSuffix) && o.size > 1000, limit)
		}
		var next taker
		s, err := start(fs, &next, crashOptions(Always))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Consume(t.Context(), one("a")), s.Flush(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(limit, err)
		}
		if d := cmp.Diff([]string{"a"}, next.taken()); d != "" {
			t.Error(limit, d)
		}
	}
}
