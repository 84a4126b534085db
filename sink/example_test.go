package sink_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// Requests that arrive together are written together, and each is answered when
// its events are stored.
func ExampleBatch() {
	var inserts int
	store := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		inserts++ // one INSERT for all of them; batches come one at a time
		return nil
	})
	s := sink.Batch(store, sink.BatchOptions{MaxEvents: 10, Linger: time.Minute})

	var requests sync.WaitGroup
	for i := range 10 {
		requests.Go(func() {
			if err := s.Consume(context.Background(), []beacon.Event{{ID: fmt.Sprint(i)}}); err != nil {
				fmt.Println(err)
			}
		})
	}
	requests.Wait()
	fmt.Println(inserts, "insert")
	// Output: 1 insert
}

// Close delivers what is in memory, for as long as its context lasts.
func ExampleVolatileQueue() {
	var store beacontest.Recorder
	q := sink.VolatileQueue(&store, sink.QueueOptions{
		OnLost: func(events []beacon.Event, err error) { fmt.Println("lost:", len(events), err) },
	})
	if err := q.Consume(context.Background(), []beacon.Event{{ID: "a"}, {ID: "b"}}); err != nil {
		fmt.Println(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		fmt.Println(err)
	}
	s := q.Stats()
	fmt.Printf("taken %d, delivered %d, pending %d\n", s.Taken, s.Delivered, s.Pending)
	// Output: taken 2, delivered 2, pending 0
}

func ExampleRetry() {
	attempts := 0
	store := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		if attempts++; attempts < 3 {
			return errors.New("connection reset")
		}
		return nil
	})
	s := sink.Retry(store, sink.RetryOptions{Base: time.Millisecond})
	err := s.Consume(context.Background(), []beacon.Event{{ID: "a"}})
	fmt.Println(attempts, err)
	// Output: 3 <nil>
}

// A browser whose connection broke sends its beacon again.
func ExampleDedup() {
	var store beacontest.Recorder
	s := sink.Dedup(&store, sink.DedupOptions{})
	for range 2 {
		if err := s.Consume(context.Background(), []beacon.Event{{ID: "0193f3a0"}}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(store.Events()), "event")
	// Output: 1 event
}

// The answer depends on the database alone; the dashboard gets what it can.
func ExampleTee() {
	var database, dashboard beacontest.Recorder
	dashboard.Fail(errors.New("dashboard is away"))
	s := sink.Tee(
		sink.Required(&database),
		sink.BestEffort(&dashboard, func(err error) { fmt.Println("ignored:", err) }),
	)
	err := s.Consume(context.Background(), []beacon.Event{{ID: "a"}})
	fmt.Println(err, len(database.Events()))
	// Output:
	// ignored: dashboard is away
	// <nil> 1
}

func ExampleFilter() {
	var store beacontest.Recorder
	s := sink.Filter(&store, func(e beacon.Event) bool { return e.Name != "heartbeat" })
	events := []beacon.Event{{Name: "heartbeat"}, {Name: "click"}}
	if err := s.Consume(context.Background(), events); err != nil {
		fmt.Println(err)
	}
	for _, e := range store.Events() {
		fmt.Println(e.Name)
	}
	// Output: click
}

// Of a session all events are kept, or none.
func ExampleSample() {
	var store beacontest.Recorder
	s := sink.Sample(&store, 0.4)
	for i := range 8 {
		session := fmt.Sprint("session ", i)
		events := []beacon.Event{{Session: session, Name: "start"}, {Session: session, Name: "end"}}
		if err := s.Consume(context.Background(), events); err != nil {
			fmt.Println(err)
		}
	}
	for _, e := range store.Events() {
		fmt.Println(e.Session, e.Name)
	}
	// Output:
	// session 1 start
	// session 1 end
	// session 3 start
	// session 3 end
	// session 6 start
	// session 6 end
}

func ExampleLog() {
	h := slog.NewTextHandler(os.Stdout, nil)
	s := sink.Log(h, slog.LevelInfo)
	err := s.Consume(context.Background(), []beacon.Event{{
		ID: "0193f3a0", Name: "click", Session: "7", Page: "https://example.com/", Body: beacon.JSON(`{"x":1}`),
	}})
	if err != nil {
		fmt.Println(err)
	}
	// Output: level=INFO msg=beacon id=0193f3a0 kind=json name=click session=7 page=https://example.com/ size=7
}
