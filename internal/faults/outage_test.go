package faults

import (
	"path/filepath"
	"testing"
	"time"
)

// TestOutage lets next fail under a steady load, and watches how the spool catches
// up when it is back and the load goes on.
func TestOutage(t *testing.T) {
	const sessions, batch = 50, 10
	rate := time.Duration(5000) // events a second
	if raceEnabled {
		rate = 1500 // the detector slows all of it down tenfold
	}
	outage := pick(5*time.Second, time.Minute)
	dir := realDisk(t)
	j := job{Dir: filepath.Join(dir, "spool"), Out: filepath.Join(dir, "delivered"), Next: "store", SegmentBytes: 8 << 20}
	c := start(t, j)
	l := &load{Addr: func() string { return c.hello.Addr }, Clients: sessions, Batch: batch, Every: sessions * batch * time.Second / rate}
	l.start()
	l.warm(t)
	time.Sleep(time.Second)
	begin, before := time.Now(), len(l.all())
	c.next("down")
	time.Sleep(outage)
	arrival := float64((len(l.all())-before)*batch) / time.Since(begin).Seconds()

	healed := time.Now()
	backlog := c.report().Spool
	c.next("store")
	var first, last time.Time
	var from, to uint64
	waiting := backlog.Stored - backlog.Delivered
	waitUntil(t, 2*time.Minute+outage, 100*time.Millisecond, "the end of the backlog", func() bool {
		st := c.report().Spool
		now := time.Now()
		if first.IsZero() {
			if st.Delivered > backlog.Delivered {
				first, from = now, st.Delivered
			} else {
				return false
			}
		}
		last, to = now, st.Delivered
		return st.Stored-st.Delivered < waiting/20
	})
	l.halt()
	c.flush(time.Minute)
	st := c.report().Spool
	c.terminate(30 * time.Second)

	found, _ := readStore(t, j.Out)
	v := l.ledger.check(found)
	v.must(t, "outage")
	drain := float64(to-from) / last.Sub(first).Seconds()
	t.Logf("outage of %v: arrival %.0f events/s, backlog %d events, first delivery %v after next healed, then %.0f events/s while the load went on: %.1f times the arrival; order broken %d times; answers %v; %+v",
		outage, arrival, waiting, first.Sub(healed).Round(time.Millisecond), drain, drain/arrival, v.backwards, l.count(), st)
	if v.backwards > 0 {
		t.Errorf("%d events came after later ones of their session", v.backwards)
	}
	if arrival < 0.8*float64(rate) {
		t.Errorf("only %.0f events/s arrived, want %d", arrival, rate)
	}
	if waiting < uint64(0.8*arrival*outage.Seconds()) {
		t.Errorf("backlog of %d events: there was no outage", waiting)
	}
	if drain < 2*arrival {
		t.Errorf("drained %.0f events/s, want twice the arrival of %.0f", drain, arrival)
	}
}
