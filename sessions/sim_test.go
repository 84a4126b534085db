package sessions_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// A simVisit is a visit as it truly was, and what the server heard of it. It has one
// page (61 % of them) or several, a median of 8 and a mean of 16. Pages are hidden now and
// then; the client says what it says: totals at every hide, every 30 seconds, and at the
// end, if a second was seen since. Of the reports, the last ones as well, 3 % are lost and
// 2 % come twice, in any order; the clock is wrong by up to 2 seconds and, for 1 % of the
// visitors, by hours; 1 % are offline from some time on, and what they say after it comes
// hours later, without a word of when it was sent.
type simVisit struct {
	start, end time.Time // true times, on the server's clock
	engaged    time.Duration
	views      int
	entry      string
	exit       string

	events []beacon.Event

	starts     []time.Time     // received, of each page view that was begun
	increments []time.Duration // received, of engaged time
}

const (
	simLoss    = 0.03
	simTwins   = 0.02
	simSkewed  = 0.01
	simOffline = 0.01
)

func logNormal(r *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*r.NormFloat64())
}

// simulate makes the n-th visit.
func simulate(r *rand.Rand, n int) *simVisit {
	pages := 1
	if r.Float64() >= 0.61 {
		// A median of 8 and a mean of 16, of at least 2.
		pages = min(400, max(2, int(math.Round(logNormal(r, 8, math.Sqrt(2*math.Ln2))))))
	}
	skew := time.Duration(r.NormFloat64() * float64(700*time.Millisecond))
	if r.Float64() < simSkewed {
		skew = time.Duration((r.Float64()*2 - 1) * float64(24*time.Hour))
	}
	v := &simVisit{start: morning.Add(time.Duration(n) * time.Millisecond)}
	v.end = v.start
	offline := v.start.Add(1000 * time.Hour)
	if r.Float64() < simOffline {
		offline = v.start.Add(time.Duration(r.ExpFloat64() * float64(3*time.Minute)))
	}
	back := offline.Add(time.Duration((1 + 10*r.Float64()) * float64(time.Hour)))
	c := &simClient{r: r, v: v, skew: skew, offline: offline, back: back, session: "visit-" + strconv.Itoa(n)}
	at := v.start
	for page := range pages {
		begun := at
		end := c.view(page, at)
		if end.After(v.end) {
			v.end, v.exit = end, c.page
		}
		at = end.Add(time.Duration(r.Int64N(int64(500 * time.Millisecond))))
		if r.Float64() < 0.1 { // the next one in another tab, and this one goes on behind it
			at = begun.Add(end.Sub(begun) / 2)
		}
	}
	r.Shuffle(len(v.events), func(i, j int) { v.events[i], v.events[j] = v.events[j], v.events[i] })
	return v
}

// A simClient is the browser of a visit.
type simClient struct {
	r             *rand.Rand
	v             *simVisit
	skew          time.Duration
	offline, back time.Time
	session, page string
}

// view is a page view that begins at a time, and returns when it was last seen.
func (c *simClient) view(n int, at time.Time) (end time.Time) {
	r, v := c.r, c.v
	c.page = "https://www.example.com/" + strconv.Itoa(n)
	if n == 0 {
		v.entry, v.exit = c.page, c.page
	}
	v.views++
	view := c.session + "-" + strconv.Itoa(n)
	start := at
	var seq uint64
	var seen, engaged, saidSeen, saidEngaged time.Duration
	if !c.lost() {
		v.starts = append(v.starts, c.arrive(at))
	}
	say := func(now, end time.Time) {
		if seq > 0 && seen-saidSeen < time.Second {
			return
		}
		seq++
		c.report(view, seq, now, start, end, seen, engaged, engaged-saidEngaged)
		saidSeen, saidEngaged = seen, engaged
	}
	beat := at.Add(30 * time.Second)
	now := at
	for stretch := 0; ; stretch++ {
		// Visible for a while, of which the visitor is there for the first part.
		length := time.Duration(logNormal(r, 20, 1.2) * float64(time.Second)).Truncate(time.Millisecond)
		length = min(max(length, 300*time.Millisecond), 45*time.Minute)
		there := time.Duration(float64(length) * (0.6 + 0.4*r.Float64())).Truncate(time.Millisecond)
		if r.Float64() < 0.5 {
			there = length
		}
		begun := now
		hide := now.Add(length)
		before, engagedBefore := seen, engaged
		for beat.Before(hide) {
			seen = before + beat.Sub(begun)
			engaged = engagedBefore + min(there, beat.Sub(begun))
			say(beat, beat)
			beat = beat.Add(30 * time.Second)
		}
		seen, engaged, now = before+length, engagedBefore+there, hide
		say(now, now)
		end = now
		if r.Float64() < 0.75 || stretch == 6 {
			break
		}
		away := time.Duration(r.ExpFloat64() * float64(2*time.Minute)).Truncate(time.Millisecond)
		now = now.Add(min(away, 25*time.Minute))
		for beat.Before(now) { // with nothing new to say
			beat = beat.Add(30 * time.Second)
		}
	}
	v.engaged += engaged
	return end
}

func (c *simClient) lost() bool { return c.r.Float64() < simLoss }

// arrive returns when the server hears what is said at a time.
func (c *simClient) arrive(at time.Time) time.Time {
	way := time.Duration(logNormal(c.r, 40, 0.7) * float64(time.Millisecond)).Truncate(time.Microsecond)
	if !at.Before(c.offline) {
		at = c.back
	}
	return at.Add(way)
}

func (c *simClient) report(view string, seq uint64, now, start, end time.Time, seen, engaged, increment time.Duration) {
	if c.lost() {
		return
	}
	ms := func(b []byte, t time.Time) []byte {
		return strconv.AppendFloat(b, float64(t.Add(c.skew).UnixMicro())/1000, 'f', -1, 64)
	}
	b := ms(append(make([]byte, 0, 160), `{"start":`...), start)
	b = ms(append(b, `,"end":`...), end)
	b = strconv.AppendInt(append(b, `,"engaged":`...), engaged.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"seen":`...), seen.Milliseconds(), 10)
	b = append(b, `,"ref":"https://www.example.com/"}`...)
	e := beacon.Event{
		ID: view + ":" + strconv.FormatUint(seq, 10), Name: "session", Session: c.session, View: view, Page: c.page,
		Series: "s:" + view, Seq: seq, Mode: beacon.ModeReplace, Body: beacon.JSON(b),
		Received: c.arrive(now),
	}
	if e.Time = e.Received; now.Before(c.offline) {
		e.Sent = now.Add(c.skew)
	}
	c.v.events = append(c.v.events, e)
	c.v.increments = append(c.v.increments, increment)
	if c.r.Float64() < simTwins {
		e.Received = e.Received.Add(time.Duration(c.r.ExpFloat64() * float64(5*time.Second)))
		e.Time = e.Received
		c.v.events = append(c.v.events, e)
		c.v.increments = append(c.v.increments, increment)
	}
}

// A simScore is how well one way to count does: the true values and those that it found,
// -1 where it found no session.
type simScore struct{ truth, found []time.Duration }

func (s *simScore) add(truth, found time.Duration) {
	s.truth, s.found = append(s.truth, truth), append(s.found, found)
}

// share returns which share of the values is off by at most so much.
func (s *simScore) share(most time.Duration) float64 {
	n := 0
	for i := range s.truth {
		if s.found[i] >= 0 && (s.found[i]-s.truth[i]).Abs() <= most {
			n++
		}
	}
	return float64(n) / float64(len(s.truth))
}

// errors returns by which share the median, that of what was found at all, and the total
// are off. What was not found counts nothing in the median and the total.
func (s *simScore) errors() (median, heard, total float64) {
	middle := func(all []time.Duration, least time.Duration) float64 {
		all = slices.DeleteFunc(slices.Clone(all), func(d time.Duration) bool { return d < least })
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	sum := func(all []time.Duration) (t float64) {
		for _, d := range all {
			t += max(0, d.Seconds())
		}
		return t
	}
	truth := middle(s.truth, -1)
	return middle(s.found, -1)/truth - 1, middle(s.found, 0)/truth - 1, sum(s.found)/sum(s.truth) - 1
}

// A simResult is what was found of all visits.
type simResult struct {
	engaged, elapsed, increments, events, lastZero simScore

	visits, whole, near, missed, more int
	reports                           int
	pages                             []int // of those with several
}

func (s *simResult) add(v *simVisit, found []sessions.Session) {
	truth := v.end.Sub(v.start)
	s.visits++
	s.reports += len(v.events)
	if v.views > 1 {
		s.pages = append(s.pages, v.views)
	}
	engaged, elapsed := time.Duration(-1), time.Duration(-1)
	switch {
	case len(found) == 0:
		s.missed++
	case len(found) > 1:
		s.more++
		fallthrough
	default:
		engaged, elapsed = found[0].Engaged, found[0].Elapsed()
		f := &found[0]
		if len(found) == 1 && f.Views == v.views && f.Entry == v.entry && f.Exit == v.exit {
			apart := max((engaged - v.engaged).Abs(), (elapsed - truth).Abs())
			if apart <= time.Millisecond {
				s.whole++
			}
			if apart <= time.Second && f.Start.Sub(v.start).Abs() <= time.Second {
				s.near++
			}
		}
	}
	s.engaged.add(v.engaged, engaged)
	s.elapsed.add(truth, elapsed)
	sum, last, zero := time.Duration(-1), time.Duration(-1), time.Duration(-1)
	if len(v.increments) > 0 {
		sum = 0
		for _, d := range v.increments {
			sum += d
		}
	}
	at := slices.Clone(v.starts)
	if len(at) > 0 {
		zero = slices.MaxFunc(at, time.Time.Compare).Sub(slices.MinFunc(at, time.Time.Compare))
	}
	for i := range v.events {
		at = append(at, v.events[i].Received)
	}
	if len(at) > 0 {
		last = slices.MaxFunc(at, time.Time.Compare).Sub(slices.MinFunc(at, time.Time.Compare))
	}
	s.increments.add(v.engaged, sum)
	s.events.add(truth, last)
	s.lastZero.add(truth, zero)
}

// shape returns the share of visits with one page, and the median and mean of the others.
func (s *simResult) shape() (one float64, middle int, mean float64) {
	slices.Sort(s.pages)
	for _, n := range s.pages {
		mean += float64(n)
	}
	return 1 - float64(len(s.pages))/float64(s.visits), s.pages[len(s.pages)/2], mean / float64(len(s.pages))
}

func (s *simResult) table() string {
	var b strings.Builder
	one, middle, mean := s.shape()
	fmt.Fprintf(&b, "%d visits, %.1f %% of one page, the others of %d in the middle and %.1f on average; %d reports heard\n\n", s.visits, 100*one, middle, mean, s.reports)
	fmt.Fprintf(&b, "| what is counted, and how | exact (1 ms) | within 1 s | error of the median | of those heard of | error of the total |\n|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name  string
		score *simScore
	}{
		{"engaged, `sessions.Of`", &s.engaged},
		{"engaged, sum of increments", &s.increments},
		{"elapsed, `sessions.Of`", &s.elapsed},
		{"elapsed, last event less first", &s.events},
		{"elapsed, last page view less first: the last page counts zero", &s.lastZero},
	} {
		median, heard, total := row.score.errors()
		fmt.Fprintf(&b, "| %s | %.2f %% | %.2f %% | %+.2f %% | %+.2f %% | %+.2f %% |\n", row.name,
			100*row.score.share(time.Millisecond), 100*row.score.share(time.Second), 100*median, 100*heard, 100*total)
	}
	n := float64(s.visits) / 100
	fmt.Fprintf(&b, "\nWhole sessions (number of pages, entry, exit, engaged, elapsed): %.2f %% exact, %.2f %% within 1 s, with the start; %.2f %% of the visits were not heard of at all, %.2f %% became several.\n",
		float64(s.whole)/n, float64(s.near)/n, float64(s.missed)/n, float64(s.more)/n)
	return b.String()
}

// TestSimulation finds out how well sessions are reconstructed from what is left of them.
// With BEACON_SIM it does so for as many visits, and prints the table.
func TestSimulation(t *testing.T) {
	t.Parallel()
	visits := simVisits
	if s := os.Getenv("BEACON_SIM"); s != "" {
		visits, _ = strconv.Atoi(s)
	}
	began := time.Now()
	var all simResult
	var next atomic.Int64
	const lot = 1000
	results := make([]*simResult, (visits+lot-1)/lot)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := int(next.Add(1) - 1)
				if n >= len(results) {
					return
				}
				r := rand.New(rand.NewPCG(uint64(n), 7))
				result := &simResult{}
				for i := n * lot; i < min(visits, (n+1)*lot); i++ {
					v := simulate(r, i)
					result.add(v, sessions.Of(pageViews(v.events), sessions.Rules{}))
				}
				results[n] = result
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		all.visits, all.whole, all.near, all.missed, all.more, all.reports = all.visits+r.visits, all.whole+r.whole, all.near+r.near, all.missed+r.missed, all.more+r.more, all.reports+r.reports
		all.pages = append(all.pages, r.pages...)
		for i, s := range []*simScore{&all.engaged, &all.elapsed, &all.increments, &all.events, &all.lastZero} {
			o := []*simScore{&r.engaged, &r.elapsed, &r.increments, &r.events, &r.lastZero}[i]
			s.truth, s.found = append(s.truth, o.truth...), append(s.found, o.found...)
		}
	}
	t.Logf("%s\n%s", time.Since(began).Round(time.Millisecond), all.table())
	if one, middle, mean := all.shape(); math.Abs(one-0.61) > 0.02 || middle != 8 || math.Abs(mean-16) > 1 {
		t.Errorf("%.2f of one page, others %d and %.1f: not the visits that were meant", one, middle, mean)
	}
	if all.more > 0 {
		t.Errorf("%d visits became several", all.more)
	}
	if median, _, total := all.engaged.errors(); math.Abs(median) > 0.01 || math.Abs(total) > 0.01 {
		t.Errorf("engaged: the median is off by %.2f %%, the total by %.2f %%", 100*median, 100*total)
	}
	off := 0.02 // of visits that nobody heard of, and are counted as nothing
	if all.visits < 20_000 {
		off = 0.03 // of what few visits can tell
	}
	if median, _, total := all.elapsed.errors(); math.Abs(median) > off || math.Abs(total) > 0.01 {
		t.Errorf("elapsed: the median is off by %.2f %%, the total by %.2f %%", 100*median, 100*total)
	}
	if s := all.engaged.share(time.Millisecond); s < 0.8 {
		t.Errorf("engaged: %.2f %% are exact", 100*s)
	}
}
