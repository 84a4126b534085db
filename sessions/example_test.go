package sessions_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// A visitor reads two pages, comes back after lunch, and leaves without a word. The
// report of the first page came twice, and last.
func ExampleOf() {
	at := func(hour, minute int) time.Time { return time.Date(2026, 3, 2, hour, minute, 0, 0, time.UTC) }
	first := beacon.PageView{Session: "s", View: "a", Page: "/", Start: at(9, 0), End: at(9, 5), Visible: 5 * time.Minute, Engaged: 3 * time.Minute, Seq: 1}
	views := []beacon.PageView{
		{Session: "s", View: "c", Page: "/", Start: at(13, 0), End: at(13, 1), Visible: time.Minute, Engaged: time.Minute, Seq: 1},
		{Session: "s", View: "b", Page: "/about", Start: at(9, 5), End: at(9, 20), Visible: 10 * time.Minute, Engaged: 4 * time.Minute, Seq: 2},
		first, first,
	}
	for _, s := range sessions.Of(views, sessions.Rules{}) {
		fmt.Println(s.Start.Format(time.TimeOnly), "elapsed", s.Elapsed(), "engaged", s.Engaged, "views", s.Views, "from", s.Entry, "to", s.Exit)
	}
	// Output:
	// 09:00:00 elapsed 20m0s engaged 7m0s views 2 from / to /about
	// 13:00:00 elapsed 1m0s engaged 1m0s views 1 from / to /
}

// A page has fields of its own, and the host knows who is signed in. What is no page
// view, here a pixel, is counted with the session that is near.
func ExampleSource() {
	source := sessions.Source{
		Key:   func(e beacon.Event) string { return e.Attrs["user"] },
		Start: "opened", End: "left",
	}
	ada := map[string]string{"user": "ada"}
	var views []beacon.PageView
	for _, e := range []beacon.Event{
		{ID: "1", Attrs: ada, Body: beacon.Form{{Name: "opened", Value: "1772442000000"}, {Name: "left", Value: "1772442012340"}}},
		{ID: "2", Attrs: ada, Body: beacon.Empty{}, Time: time.UnixMilli(1772442060000)},
		{ID: "3", Body: beacon.Empty{}, Time: time.UnixMilli(1772442060000)}, // nobody's
	} {
		if v, ok := source.PageView(e); ok {
			views = append(views, v)
		}
	}
	for _, s := range sessions.Of(views, sessions.Rules{}) {
		fmt.Println(s.Key, s.Elapsed(), "views", s.Views, "attached", s.Attached)
	}
	// Output: ada 12.34s views 1 attached 1
}

// A host that stores nothing on the devices of its visitors tells them apart for a day.
// In a Handler it is Config{ClientIP: beacon.IPFull, Enrich: visitors.Enrich}.
func ExampleDaily() {
	visitors, err := sessions.NewDaily(sessions.DailyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	from := func(addr string) beacon.Event {
		return beacon.Event{Received: time.Now(), Body: beacon.Empty{}, Request: beacon.Request{
			Host: "example.com", UserAgent: "Mozilla/5.0", ClientIP: netip.MustParseAddr(addr),
		}}
	}
	ada := visitors.Key(from("203.0.113.7"))
	fmt.Println(len(ada), ada == visitors.Key(from("203.0.113.7")), ada == visitors.Key(from("203.0.113.8")))
	_ = visitors.Key(beacon.Event{Received: time.Now(), Body: beacon.Empty{}}) // behind a proxy that is not trusted, say
	fmt.Println("without an address:", visitors.Stats().NoAddress)
	// Output:
	// 22 true false
	// without an address: 1
}

// Why a visit ended tells what can still become of it: one that was evicted or closed goes
// on elsewhere, or in the next process.
func ExampleReason() {
	over := func(r sessions.Reason) bool {
		switch r {
		case sessions.ReasonGap, sessions.ReasonCrash, sessions.ReasonMax:
			return true
		}
		return false
	}
	fmt.Println(over(sessions.ReasonGap), over(sessions.ReasonClosed))
	// Output: true false
}
