package connect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// views are events as a consumer has them: decoded from their messages.
func views(n, sessions int) ([]beacon.Event, [][]byte) {
	events, messages := make([]beacon.Event, n), make([][]byte, n)
	at := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	for i := range events {
		e := beacon.Event{
			ID: fmt.Sprintf("view%d.%d", i%sessions, i), Name: "view", Session: fmt.Sprintf("session%08d", i%sessions),
			View: fmt.Sprintf("view%d", i%sessions), Time: at, Received: at, Sent: at, Page: "https://example.org/some/page",
			Body: beacon.JSON(`{"start":1700000000000,"visible":12000,"engaged":8000,"page":"/some/page"}`),
			Request: beacon.Request{
				ID: fmt.Sprint(i), Method: "POST", Host: "example.org", Path: "/beacon", Origin: "https://example.org",
				ContentType: "text/plain;charset=UTF-8", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			},
		}
		messages[i], _ = e.AppendJSON(nil)
		if err := json.Unmarshal(messages[i], &events[i]); err != nil {
			panic(err)
		}
	}
	return events, messages
}

func discarding(tb testing.TB, o connect.RelayOptions[int]) (*connect.Relay[int], *atomic.Int64) {
	var done atomic.Int64
	o.Done = func(tags []int) { done.Add(int64(len(tags))) }
	o.Dead = func(context.Context, []connect.Letter[int]) error { panic("dead") }
	r, err := connect.NewRelay(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), o)
	if err != nil {
		tb.Fatal(err)
	}
	return r, &done
}

// What the way past a Sink that takes all at once costs, beside making events of messages,
// which a consumer has to do in any case.
func BenchmarkRelay(b *testing.B) {
	events, messages := views(4096, 512)
	for _, parallel := range []int{1, 4} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			b.ReportAllocs()
			r, done := discarding(b, connect.RelayOptions[int]{Parallel: parallel})
			n := 0
			for b.Loop() {
				if err := r.Add(b.Context(), events[n%len(events)], n); err != nil {
					b.Fatal(err)
				}
				n++
			}
			if err := r.Close(b.Context()); err != nil || int(done.Load()) != n {
				b.Fatal(done.Load(), n, err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			var e beacon.Event
			if err := json.Unmarshal(messages[n%len(messages)], &e); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

func BenchmarkHeaders(b *testing.B) {
	events, _ := views(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		if len(connect.Headers(&events[0])) != 7 {
			b.Fatal("headers")
		}
	}
}

// What an event costs the collector: nothing of its own on its way through a Relay, and
// three allocations for its headers.
func TestAllocations(t *testing.T) {
	events, _ := views(4096, 512)
	if n := testing.AllocsPerRun(100, func() { connect.Headers(&events[0]) }); n > 3 {
		t.Errorf("Headers: %v allocations", n)
	}
	r, _ := discarding(t, connect.RelayOptions[int]{})
	run := func() {
		for i, e := range events {
			if err := r.Add(t.Context(), e, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run()
	// Of a call there are some, whatever is in it; and how many calls there are is up to
	// the scheduler, but there are fewer the more is waiting.
	s := testing.AllocsPerRun(10, run)
	calls := 0.0
	for _, n := range r.Stats().SinkSeconds.Counts {
		calls += float64(n)
	}
	calls /= 12 // the first, and one that AllocsPerRun makes to warm up
	t.Logf("%.2f allocations an event, %.1f calls of %d events", s/float64(len(events)), calls, len(events))
	if s > 30*calls+0.1*float64(len(events)) {
		t.Errorf("%v allocations for %d events in %.1f calls", s, len(events), calls)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
