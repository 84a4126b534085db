package beacon_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A table stands for a database of the host's.
type table struct{ rows []beacon.Event }

// Consume takes what fits, and says of the rest that it never will.
func (t *table) Consume(_ context.Context, events []beacon.Event) error {
	var failed []int
	for i, e := range events {
		if e.Session == "" {
			failed = append(failed, i)
			continue
		}
		t.rows = append(t.rows, e.Clone())
	}
	if failed == nil {
		return nil
	}
	return &beacon.PartialError{Failed: failed, Err: fmt.Errorf("no session: %w", beacon.ErrPermanent)}
}

// Flush would wait for what Consume has only promised. Here there is nothing.
func (t *table) Flush(context.Context) error { return nil }

// Healthy is asked by the readiness probe.
func (t *table) Healthy(context.Context) error { return nil }

// Close comes after the last Consume.
func (t *table) Close(context.Context) error {
	t.rows = nil
	return nil
}

// A sink may say which events of a call it did not take: the others are not brought again.
func ExamplePartialError() {
	var t table
	err := t.Consume(context.Background(), []beacon.Event{{ID: "1", Session: "s"}, {ID: "2"}})
	if partial, ok := errors.AsType[*beacon.PartialError](err); ok {
		fmt.Println("not taken:", partial.Failed, "for good:", beacon.IsPermanent(err))
	}
	fmt.Println("taken:", len(t.rows))
	// Output:
	// not taken: [1] for good: true
	// taken: 1
}

// What a sink may have besides Consume is found through all that stands in front of it.
func ExampleHealthChecker() {
	ctx := context.Background()
	var s beacon.Sink = &table{}
	_, flushes := s.(beacon.Flusher)
	_, closes := s.(beacon.Closer)
	_, knows := s.(beacon.HealthChecker)
	fmt.Println(flushes, closes, knows)
	fmt.Println(beacon.Flush(ctx, s), beacon.Healthy(ctx, s), beacon.Close(ctx, s))

	// A SinkFunc has none of them, and that is fine too.
	f := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	fmt.Println(beacon.Flush(ctx, f), beacon.Healthy(ctx, f), beacon.Close(ctx, f))
	// Output:
	// true true true
	// <nil> <nil> <nil>
	// <nil> <nil> <nil>
}

// A store that is overloaded says when to come again. What is wrong for good would be
// beacon.ErrPermanent, and everything else a 503 without a time.
func ExampleRetryAfterError() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		return &beacon.RetryAfterError{After: 30 * time.Second, Err: errors.New("too many connections")}
	})})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/", beacon.Text("x")))
	fmt.Println(w.Code, w.Header().Get("Retry-After"))
	// Output: 503 30
}
