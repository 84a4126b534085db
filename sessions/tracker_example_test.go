package sessions_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// A Tracker is the Sink of a host that wants to hear of sessions as they begin and end.
func ExampleTracker() {
	tracker, err := sessions.NewTracker(sessions.TrackerOptions{
		OnRevision: func(_ context.Context, r sessions.Revision) {
			fmt.Printf("%s is %s: %d pages, here for %v of %v\n", r.Session.Key, r.Kind, r.Session.Views, r.Session.Engaged, r.Session.Elapsed())
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	report := func(view string, start, end time.Time, engaged, seen time.Duration) {
		_ = tracker.Consume(ctx, []beacon.Event{{ // as a beacon.Handler does
			Name: "session", Session: "ada", View: view, Series: "s:" + view, Seq: 1, Mode: beacon.ModeReplace,
			Received: end, Sent: end,
			Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":%d,"seen":%d}`,
				start.UnixMilli(), end.UnixMilli(), engaged.Milliseconds(), seen.Milliseconds())),
		}})
		_ = tracker.Flush(ctx) // which nobody has to, but then it says it now
	}
	report("home", at, at.Add(2*time.Minute), time.Minute, 2*time.Minute)
	report("article", at.Add(2*time.Minute), at.Add(10*time.Minute), 5*time.Minute, 6*time.Minute)
	report("next morning", at.Add(24*time.Hour), at.Add(24*time.Hour+time.Minute), time.Minute, time.Minute)
	s := tracker.Stats()
	fmt.Println("held:", s.Keys, "visitor,", s.PageViews, "page views")
	_ = tracker.Close(ctx)
	// Output:
	// ada is opened: 1 pages, here for 1m0s of 2m0s
	// ada is changed: 2 pages, here for 6m0s of 10m0s
	// ada is ended: 2 pages, here for 6m0s of 10m0s
	// ada is opened: 1 pages, here for 1m0s of 1m0s
	// held: 1 visitor, 3 page views
	// ada is ended: 1 pages, here for 1m0s of 1m0s
}
