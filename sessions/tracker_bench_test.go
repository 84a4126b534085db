package sessions_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// sent is a report as the browser client sends it.
func sent(session, view string, seq uint64, at time.Time, open time.Duration) beacon.Event {
	ms := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMicro())/1000, 'f', 1, 64) }
	start := at.Add(-open)
	return beacon.Event{
		ID: view + ":s:" + strconv.FormatUint(seq, 10), Name: "session", Session: session, View: view,
		Series: "s:" + view, Seq: seq, Mode: beacon.ModeReplace,
		Page: "https://www.example.com/articles/how-long-were-they-here",
		Time: at, Received: at.Add(40 * time.Millisecond), Sent: at,
		Body: beacon.JSON(`{"start":` + ms(start) + `,"end":` + ms(at) + `,"engaged":` + strconv.FormatInt(open.Milliseconds()*2/3, 10) +
			`,"seen":` + strconv.FormatInt(open.Milliseconds(), 10) + `,"ref":"https://www.example.com/"}`),
	}
}

var morning = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// quiet is told and does nothing.
func quiet(context.Context, sessions.Revision) {}

// reports are those of many visitors, each of which is heard of again and again.
func reports(visitors, each int) [][]beacon.Event {
	var all [][]beacon.Event
	for n := range each {
		for i := range visitors {
			at := morning.Add(time.Duration(n)*30*time.Second + time.Duration(i)*time.Millisecond)
			all = append(all, []beacon.Event{sent(fmt.Sprintf("visitor-%016x", i), fmt.Sprintf("view-%019x", i), uint64(n)+1, at, time.Duration(n)*30*time.Second)})
		}
	}
	return all
}

// BenchmarkTracker takes what the client says of page views that go on, one beacon at a
// time, in full or only as far as the Source reads it.
func BenchmarkTracker(b *testing.B) {
	for _, visitors := range []int{1000, 100_000} {
		all := reports(visitors, max(2, 60_000/visitors))
		b.Run(fmt.Sprint("source/", visitors), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _ = (sessions.Source{}).PageView(all[i%len(all)][0])
			}
		})
		b.Run(fmt.Sprint("beacon/", visitors), func(b *testing.B) {
			tracker := newTracker(b, sessions.TrackerOptions{OnRevision: quiet})
			defer tracker.Close(b.Context())
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_ = tracker.Consume(b.Context(), all[i%len(all)])
			}
		})
	}
}

// TestTrackerAllocations: a beacon costs what its texts cost that are not known yet.
func TestTrackerAllocations(t *testing.T) {
	tracker := newTracker(t, sessions.TrackerOptions{})
	all := reports(1, 400)
	next := 0
	consume(t, tracker, all[next]...)
	if n := testing.AllocsPerRun(300, func() { next++; consume(t, tracker, all[next]...) }); n > 2 {
		t.Errorf("%v allocations for a report of a page view that goes on", n)
	}
	visitors := reports(400, 1)
	next = 0
	if n := testing.AllocsPerRun(300, func() { next++; consume(t, tracker, visitors[next]...) }); n > 10 {
		t.Errorf("%v allocations for one of a new visitor", n)
	}
}

// heap returns how much memory is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTrackerMemory: an open session takes what is counted, and at most 1,000 bytes. With
// BEACON_OPEN it is so many of them.
func TestTrackerMemory(t *testing.T) {
	n := 10_000
	if s := os.Getenv("BEACON_OPEN"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	for _, views := range []int{1, 5, 40} {
		before := heap()
		tracker := newTracker(t, sessions.TrackerOptions{OnRevision: quiet, MaxBytes: 16 << 30})
		visitors := n / views
		for view := range views {
			for i := range visitors {
				at := morning.Add(time.Duration(view)*time.Minute + time.Duration(i)*time.Microsecond)
				consume(t, tracker, sent(fmt.Sprintf("visitor-%016x", i), fmt.Sprintf("view-%06d-%012x", view, i), 1, at, time.Second))
			}
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken, counted := heap()-before, tracker.Stats().Bytes
		t.Logf("%d sessions of %d page views: %d bytes each, %d counted", visitors, views, taken/int64(visitors), counted/int64(visitors))
		if views == 1 && taken > 1000*int64(visitors) {
			t.Errorf("%d bytes for a session", taken/int64(visitors))
		}
		if float64(counted) < 0.9*float64(taken) || float64(counted) > 1.5*float64(taken) {
			t.Errorf("%d bytes are counted as %d", taken, counted)
		}
		runtime.KeepAlive(tracker)
		_ = tracker.Close(t.Context())
	}
}

// forms are the clicks of Nexmark's query 11: keys with a click now and then, told of in
// order, but for 4 seconds.
func forms(r *rand.Rand, n, keys int, from int) []beacon.Event {
	all := make([]beacon.Event, n)
	for i := range all {
		at := morning.Add(time.Duration(from+i) * 5 * time.Second / time.Duration(keys))
		start := at.Add(time.Duration(r.Int64N(int64(8*time.Second))) - 4*time.Second)
		id := strconv.Itoa(from + i)
		all[i] = beacon.Event{
			ID: id, Session: "key-" + strconv.Itoa(r.IntN(keys)), Time: at, Received: at, Sent: at,
			Body: beacon.Form{{Name: "start", Value: strconv.FormatInt(start.UnixMilli(), 10)}}, View: id,
		}
	}
	return all
}

// BenchmarkTrackerWindows is Nexmark's query 11: clicks with 2,000 keys, each off by up to
// 4 seconds, and sessions with a gap of 10. With BEACON_EVENTS it is so many clicks.
func BenchmarkTrackerWindows(b *testing.B) {
	n := 400_000
	if s := os.Getenv("BEACON_EVENTS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	const keys, part = 2000, 100_000
	for b.Loop() {
		b.StopTimer()
		r := rand.New(rand.NewPCG(1, 1))
		var told, ended int
		tracker := newTracker(b, sessions.TrackerOptions{
			Rules: sessions.Rules{Gap: 10 * time.Second}, Linger: 10 * time.Second,
			OnRevision: func(_ context.Context, v sessions.Revision) {
				told++
				if v.Kind == sessions.Ended {
					ended++
				}
			},
		})
		var spent time.Duration
		var peak int64
		for from := 0; from < n; from += part {
			events := forms(r, part, keys, from)
			b.StartTimer()
			began := time.Now()
			for i := 0; i < len(events); i += 50 {
				_ = tracker.Consume(b.Context(), events[i:i+50])
			}
			_ = tracker.Flush(b.Context())
			spent += time.Since(began)
			b.StopTimer()
			peak = max(peak, tracker.Stats().Bytes)
		}
		_ = tracker.Close(b.Context())
		b.ReportMetric(float64(n)/spent.Seconds(), "events/s")
		b.ReportMetric(float64(peak), "bytes-held")
		b.ReportMetric(float64(ended), "sessions")
		b.ReportMetric(float64(told)/float64(n), "told/event")
		b.StartTimer()
	}
}
