package faults

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestKill kills a loaded server, again and again on the same directory. In every
// other run nothing is delivered, so that all of it has to be replayed.
func TestKill(t *testing.T) {
	t.Run("delivering", func(t *testing.T) { killRepeatedly(t, 0, pick(8, 100)) })
	t.Run("burying", func(t *testing.T) { killRepeatedly(t, 20, pick(6, 100)) })
}

// killRepeatedly poisons one of so many events; 0 is none.
func killRepeatedly(t *testing.T, poisoned, runs int) {
	dir := realDisk(t)
	out := filepath.Join(dir, "delivered")
	j := job{Dir: filepath.Join(dir, "spool"), Out: out, SegmentBytes: smallSegments}

	total := &load{}
	var replayed int64
	var damaged uint64
	for run := range runs {
		j.Next = [...]string{"store", "down"}[run%2]
		c := start(t, j)
		replayed += c.report().Spool.Pending
		l := &load{Addr: func() string { return c.hello.Addr }, Clients: 32, First: run * 32, Poison: poisoned}
		l.start()
		l.warm(t)
		time.Sleep(time.Duration(50+rand.IntN(800)) * time.Millisecond)
		damaged += c.report().Spool.Damaged // met while it read what the run before left
		c.kill()
		l.halt()
		total.merge(l)
	}

	j.Next = "store"
	c := start(t, j)
	replayed += c.report().Spool.Pending
	c.flush(2 * time.Minute)
	damaged += c.report().Spool.Damaged
	c.terminate(30 * time.Second)
	found, cut := readStore(t, out)
	dead := deadLetters(t, j.Dir)
	v := total.ledger.check(found, dead)
	v.must(t, "kill -9")
	t.Logf("kill -9: %d runs, %d of them with next down; %d dead letters; %d bytes found at an open to be replayed, %d torn tails; %d lines of next itself torn; %d requests broken",
		runs, runs/2, len(dead), replayed, damaged, cut, total.broken.Load())
	if replayed == 0 {
		t.Error("no run left anything to replay")
	}
	if poisoned > 0 && len(dead) == 0 {
		t.Error("there are no dead letters, so nothing is proven of them")
	}
}

// merge adds what another load, which has ended, knows of other clients.
func (l *load) merge(o *load) {
	for n, fates := range o.ledger.clients {
		for seq, f := range fates {
			if f != unsent {
				l.ledger.set(newID(n, seq), f)
			}
		}
	}
	l.broken.Add(o.broken.Load())
	l.outcomes = append(l.outcomes, o.outcomes...)
}
