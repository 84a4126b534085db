package visits_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
)

// TestRequestsShape: what is sent is taken, and as real visits are.
func TestRequestsShape(t *testing.T) {
	const n = 3000
	base := time.Now().Add(-72 * time.Hour).UTC().Truncate(time.Second)
	var pages []int
	single, sent, events, bytes := 0, 0, 0, 0
	for i := range n {
		views := map[string]bool{}
		for _, q := range visits.Requests(rand.New(rand.NewPCG(1, uint64(i))), fmt.Sprint("v", i), base) {
			sent++
			bytes += len(q.Body)
			if q.Received.Before(base) || q.Received.After(time.Now()) {
				t.Fatalf("received at %v", q.Received)
			}
			got := receive(t, q)
			if len(got) != q.Events {
				t.Fatalf("%s are %d events, not %d", q.Body, len(got), q.Events)
			}
			events += len(got)
			for _, e := range got {
				if len(e.Errors) > 0 {
					t.Fatalf("%s has %v", q.Body, e.Errors)
				}
				if e.View != "" {
					views[e.View] = true
				}
			}
		}
		if len(views) <= 1 {
			single++
		} else {
			pages = append(pages, len(views))
		}
	}
	slices.Sort(pages)
	sum := 0
	for _, p := range pages {
		sum += p
	}
	share, median, mean := float64(single)/n, pages[len(pages)/2], float64(sum)/float64(len(pages))
	t.Logf("%d visits: %.2f have one page, the others a median of %d and a mean of %.1f; %d requests of %d bytes with %d events",
		n, share, median, mean, sent, bytes/sent, events)
	if share < 0.57 || share > 0.67 || median < 7 || median > 9 || mean < 14 || mean > 18 {
		t.Error("which is not what real visits are like")
	}
}

// TestPlayed: the events of a request are the same whenever it comes, and however often.
func TestPlayed(t *testing.T) {
	base := time.Now().Add(-72 * time.Hour).UTC().Truncate(time.Second)
	other := time.Now().Add(-96 * time.Hour).UTC().Truncate(time.Second)
	for i := range 200 {
		qs := visits.Requests(rand.New(rand.NewPCG(2, uint64(i))), "v", base)
		moved := visits.Requests(rand.New(rand.NewPCG(2, uint64(i))), "v", other)
		for n, q := range qs {
			one, two, then := text(receive(t, q)), text(receive(t, q)), receive(t, moved[n])
			if one != two {
				t.Fatalf("once it is\n%s\nand then\n%s", one, two)
			}
			if e := then[0]; !e.Received.Equal(moved[n].Received) || e.Time.After(e.Received) {
				t.Fatalf("it happened at %v and was received at %v, not %v", e.Time, e.Received, moved[n].Received)
			}
			// Whether the handler's clock or that of the player, the ages are the same.
			if e := receive(t, q)[0]; e.Received.Sub(e.Time) != then[0].Received.Sub(then[0].Time) {
				t.Fatalf("an age of %v is %v a day earlier", e.Received.Sub(e.Time), then[0].Received.Sub(then[0].Time))
			}
		}
	}
}

func receive(t *testing.T, q visits.Request) (got []beacon.Event) {
	t.Helper()
	h, err := beacon.New(beacon.Config{Enrich: visits.Played, Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		got = events
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	r, err := q.HTTP(t.Context(), "http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code/100 != 2 {
		t.Fatalf("%s %s: %d %s", q.Method, q.Body, w.Code, w.Body)
	}
	return got
}

func text(events []beacon.Event) (s string) {
	for _, e := range events {
		b, _ := e.MarshalJSON()
		s += string(b) + "\n"
	}
	return s
}
