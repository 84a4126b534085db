package live_test

import (
	"context"
	"log"
	"net/http"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// The page beside a spool: what is stored is shown, and how the spool is.
func Example() {
	store := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		return nil // the host's own
	})
	events, err := spool.Open("/var/lib/shop/beacons", store, spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var h *beacon.Handler
	l, err := live.New(live.Options{
		Title:  "shop.example",
		Stats:  func() beacon.Stats { return h.Stats() },
		Checks: []live.Check{{Name: "spool", Healthy: events.Healthy, Stats: func() any { return events.Stats() }}},
	})
	if err != nil {
		log.Fatal(err)
	}
	h, err = beacon.New(beacon.Config{
		Sink:      sink.Tee(sink.Required(events), sink.BestEffort(l, nil)),
		OnRefused: l.Refused,
	})
	if err != nil {
		log.Fatal(err)
	}
	requireLogin := func(next http.Handler) http.Handler { return next } // the host's own

	mux := http.NewServeMux()
	mux.Handle("/_pb", h)
	mux.Handle("/admin/live/", requireLogin(l))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))
}
