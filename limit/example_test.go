package limit_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/limit"
)

// A visitor sends a thousand events at once, through a reverse proxy on the same
// machine, and has to wait. Others behind the same proxy do not notice.
func Example() {
	limiter, err := limit.New(limit.Options{Events: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := beacon.New(limiter.Guard(beacon.Config{
		Sink:           beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	send := func(client string, events int) {
		r := beacontest.NewRequest("/log-tracking", beacon.Text(strings.Repeat("{}\n", events)))
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.RemoteAddr = "127.0.0.1:1234"
		r.Header.Set("X-Forwarded-For", client)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(client, w.Code, w.Header().Get("Retry-After") != "")
	}
	send("203.0.113.7", 1000)
	send("203.0.113.7", 1)
	send("198.51.100.1", 1)

	for _, n := range limiter.Top(10) {
		fmt.Println(n.Prefix, "limited:", n.Limited, "agents:", n.Agents)
	}
	// Output:
	// 203.0.113.7 204 false
	// 203.0.113.7 429 true
	// 198.51.100.1 204 false
	// 203.0.113.7/32 limited: 1 agents: 1
}

// Before a limit is switched on, a dry run tells whom it would have met.
func ExampleStats() {
	limiter, err := limit.New(limit.Options{Events: 10, DryRun: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := beacon.New(limiter.Guard(beacon.Config{
		Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		r := beacontest.NewRequest("/log-tracking", beacon.Text(strings.Repeat("{}\n", 1000)))
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.RemoteAddr = "203.0.113.7:1234"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	s := limiter.Stats()
	fmt.Println(s.Admitted, "admitted,", s.LimitedEvents, "beyond the limit, of", s.Networks, "networks")
	// Output: 1 admitted, 2 beyond the limit, of 1 networks
}
