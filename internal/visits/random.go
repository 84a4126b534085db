package visits

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon"
)

// Random returns the events of one visitor, from a few hours to some days: tabs beside
// each other, hidden ones and ones that nobody saw, messages, pings, a clock that is
// wrong, reports that were lost, held back or said twice, and now and then what no
// client of ours does. Times that matter are often the same, or a gap or a day apart.
// id goes into all ids, so that visits with different ones have nothing in common.
func Random(r *rand.Rand, id string) []beacon.Event {
	v := &visitor{session: id, skew: skew(r)}
	if r.IntN(12) == 0 {
		v.session = ""
	}
	at := time.Duration(r.Int64N(int64(24 * hour)))
	for n := range 1 + r.IntN(6) {
		view := fmt.Sprintf("%s-%d", id, n)
		if r.IntN(10) == 0 {
			v.skew = skew(r)
		}
		switch r.IntN(12) {
		case 0:
			v.happen("ping", at, beacon.Ping{From: "https://example.com/"})
		case 1:
			v.happen("", at, beacon.JSON(`{"clicked":"buy"}`))
		case 2:
			v.crash(at, some(r, minute))
		case 3:
			v.form(at, at+some(r, 20*minute), at+hour)
		case 4:
			v.form(at, 0, at)
		case 5:
			v.report(totals{view: view, start: at, end: at, sent: at + some(r, hour)})
		default:
			v.random(r, view, at)
		}
		at += apart(r)
	}
	// Names are those of the visitor, also without a session.
	for i := range v.events {
		if e := &v.events[i]; e.View == "" {
			e.ID, e.Request.ID = fmt.Sprintf("%s-e%d", id, i), fmt.Sprintf("%s-r%d", id, i)
		}
	}
	return v.events
}

// random is a page view that is visible and engaged now and then.
func (v *visitor) random(r *rand.Rand, view string, at time.Duration) {
	t := totals{view: view, page: strconv.Itoa(r.IntN(4)), start: at, end: at}
	if r.IntN(3) == 0 {
		t.ref = "https://example.com/" + strconv.Itoa(r.IntN(4))
	}
	for n := range 1 + r.IntN(5) {
		shown := some(r, 10*minute)
		t.end += shown
		t.seen += shown
		t.engaged += some(r, shown+1)
		t.sent, t.wait = t.end, 0
		if t.seq++; r.IntN(20) == 0 {
			t.seq++ // one was lost
		}
		if r.IntN(5) == 0 {
			t.wait = second + some(r, 26*hour)
		}
		v.report(t)
		if r.IntN(10) == 0 { // the same number, and not the same
			u := t
			u.page, u.seen, u.engaged = strconv.Itoa(r.IntN(4)), some(r, t.seen+1), some(r, 2*t.engaged+1)
			v.report(u)
		}
		if r.IntN(4) == 0 {
			v.log(view, uint64(n+1), t.end)
		}
		if r.IntN(10) == 0 {
			v.vitals(view, t.end)
		}
		if r.IntN(30) == 0 {
			t.end += some(r, 30*hour)
		} else if r.IntN(3) == 0 {
			t.end += some(r, 40*minute) // hidden
		}
	}
}

// some is a time below most, to the microsecond and often to the second.
func some(r *rand.Rand, most time.Duration) time.Duration {
	d := time.Duration(r.Int64N(int64(most)))
	if r.IntN(2) == 0 {
		return d.Truncate(second)
	}
	return d.Truncate(time.Microsecond)
}

// apart is how long it takes until the visitor does the next thing.
func apart(r *rand.Rand) time.Duration {
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return 30 * minute
	case 2:
		return 30*minute + time.Duration(r.IntN(3)-1)*time.Microsecond
	case 3:
		return some(r, 30*hour)
	case 4:
		return 24 * hour
	}
	return some(r, 40*minute)
}

func skew(r *rand.Rand) time.Duration {
	const year = 365 * 24 * hour
	s := [...]time.Duration{0, 5 * second, 3 * hour, 20 * year}[r.IntN(4)]
	if s > 0 {
		s = some(r, s)
	}
	if r.IntN(2) == 0 {
		return -s
	}
	return s
}

// Mangle returns the events as they may arrive: in any order, some of them several
// times, also as a twin that was received later. What sessions they are is the same.
func Mangle(r *rand.Rand, events []beacon.Event) []beacon.Event {
	all := slices.Clone(events)
	for _, e := range events {
		for range max(0, r.IntN(5)-2) {
			all = append(all, e)
		}
		if r.IntN(4) == 0 {
			all = append(all, later(e, some(r, 2*hour)))
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// later is e when it was received once more, d later.
func later(e beacon.Event, d time.Duration) beacon.Event {
	e.Received = e.Received.Add(d)
	if e.View == "" || !e.Sent.IsZero() {
		e.Time = e.Time.Add(d) // by the receiver's clock
	}
	return e
}
