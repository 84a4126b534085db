package beacon_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"net/netip"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// What became of the requests. Why one was refused stands in its header Beacon-Refused too.
func ExampleStats() {
	h, err := beacon.New(beacon.Config{
		Sink:    &beacontest.Recorder{},
		Origins: []string{"https://shop.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	send(h, beacontest.NewRequest("/", beacon.Text("hello")))
	stranger := beacontest.NewRequest("/", beacon.Text("hello"))
	stranger.Header.Set("Origin", "https://stranger.example")
	stranger.Header.Set("Sec-Fetch-Site", "cross-site")
	send(h, stranger)
	send(h, httptest.NewRequest("DELETE", "/", nil))

	s := h.Stats()
	fmt.Println(s.Received, "requests:", s.Delivered, "delivered,", s.Failed, "failed, refused:", s.Refused)
	// Output: 3 requests: 1 delivered, 0 failed, refused: map[method:1 origin:1]
}

// A part of the bodies are small. For Prometheus there is connect/prometheus.
func ExampleHistogram() {
	h, err := beacon.New(beacon.Config{Sink: &beacontest.Recorder{}})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range []int{10, 50, 1000, 50_000} {
		send(h, beacontest.NewRequest("/", beacon.Binary{Data: make([]byte, n)}))
	}
	sizes := h.Stats().BodyBytes
	var small, all uint64
	for i, n := range sizes.Counts {
		if i < len(sizes.Bounds) && sizes.Bounds[i] <= 1024 {
			small += n
		}
		all += n
	}
	fmt.Printf("%d of %d up to 1 KiB, %.0f bytes on average\n", small, all, sizes.Sum/float64(all))
	// Output: 3 of 4 up to 1 KiB, 12765 bytes on average
}

// Addresses are not in events unless they are asked for; this is enough to tell where from.
func ExampleIPPolicy() {
	h, err := beacon.New(beacon.Config{
		ClientIP:       beacon.IPTruncated,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			fmt.Println(events[0].Request.ClientIP)
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	r := beacontest.NewRequest("/", beacon.Text("x"))
	r.RemoteAddr = "10.0.0.1:1234" // the proxy
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	send(h, r)
	// Output: 203.0.113.0
}

// What a request said of itself is the client's word.
func ExampleRequest() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		r := events[0].Request
		fmt.Println(r.Method, r.Host, r.Path, r.ContentType, r.UserAgent)
		fmt.Println(r.ID == events[0].ID, "since the client gave none")
		return nil
	})})
	if err != nil {
		log.Fatal(err)
	}
	r := beacontest.NewRequest("https://example.com/_pb", beacon.Text("x"))
	r.Header.Set("User-Agent", "Mozilla/5.0")
	send(h, r)
	// Output:
	// POST example.com /_pb text/plain;charset=UTF-8 Mozilla/5.0
	// true since the client gave none
}
