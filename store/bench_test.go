package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// BenchmarkRows is what is done with a batch of 1,000 reports before PostgreSQL gets it.
func BenchmarkRows(b *testing.B) {
	events := make([]beacon.Event, 1_000)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range events {
		id := fmt.Sprintf("%08d-1234-4123-8123-123456789012", i*7919%len(events))
		events[i] = beacon.Event{
			ID: id, Name: "session", Time: at, Received: at, Sent: at, Page: "https://example.com/articles/1",
			Session: id, View: id, Series: "session", Seq: 2, Mode: beacon.ModeReplace,
			Body: beacon.JSON(`{"start":1700000000000,"end":1700000030000,"engaged":10000,"seen":30000,"ref":"https://example.com/"}`),
			Request: beacon.Request{
				ID: id, Method: "POST", Host: "example.com", Path: "/log-tracking", ContentType: "text/plain;charset=UTF-8",
				Origin: "https://example.com", FetchSite: "same-origin", FetchMode: "no-cors",
				UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
			},
		}
	}
	s := &Store{dialect: PostgreSQL, prefix: "beacon_"}
	s.prepare()
	b.ReportAllocs()
	for b.Loop() {
		var f failures
		rows := s.rows(events, &f)
		bytes := 0
		for _, r := range rows {
			bytes += r.size()
		}
		views := pageViewsOf(rows)
		s.insertEvents.arrayArgs(len(rows), bytes, func(i int, c *cells) { c.event(rows[i]) })
		s.insertViews.arrayArgs(len(views), bytes, func(i int, c *cells) { c.pageView(views[i]) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}
