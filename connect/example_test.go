package connect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// A Log is what a connector brings events to and from: here a slice, and how much of it is
// committed. It has one reader.
type Log struct {
	messages [][]byte
	settled  map[int]bool
	offset   int // all before it are settled
	sent     connect.SinkStats
	read     connect.ConsumerStats
}

// Consume is the sending half. A log with partitions would go by connect.Key, and one with
// headers would take those of connect.Headers.
func (l *Log) Consume(_ context.Context, events []beacon.Event) error {
	for i := range events {
		message, err := events[i].AppendJSON(nil)
		if err != nil {
			return err
		}
		l.messages = append(l.messages, message)
		l.sent.Events++
	}
	return nil // the log has them all
}

// Deliver is the receiving half: it brings what is in the log to next.
func (l *Log) Deliver(ctx context.Context, next beacon.Sink) error {
	relay, err := connect.NewRelay(next, connect.RelayOptions[int]{
		Parallel: 1, // else Done may be called concurrently
		Done: func(offsets []int) {
			for _, offset := range offsets {
				l.settled[offset] = true
			}
			for l.settled[l.offset] { // what is committed is the lowest that is not settled
				delete(l.settled, l.offset)
				l.offset++
			}
		},
		Dead: func(_ context.Context, letters []connect.Letter[int]) error {
			for _, letter := range letters {
				fmt.Printf("dead: %s: %v\n", l.messages[letter.Tag], letter.Why)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	for offset := l.offset; offset < len(l.messages); offset++ {
		var e beacon.Event
		if err := json.Unmarshal(l.messages[offset], &e); err != nil {
			return err // or, like Dead, somewhere else with it
		}
		l.read.Received++
		if err := relay.Add(ctx, e, offset); err != nil {
			return err
		}
	}
	err = relay.Close(ctx)
	l.read.RelayStats = relay.Stats()
	l.read.Lag = int64(len(l.messages) - l.offset)
	return err
}

// A connector to a log, whole.
func Example() {
	ctx := context.Background()
	l := &Log{settled: map[int]bool{}}
	for _, id := range []string{"1", "2", "3"} {
		if err := l.Consume(ctx, []beacon.Event{{ID: id, Session: "s", Body: beacon.Empty{}}}); err != nil {
			log.Fatal(err)
		}
	}
	err := l.Deliver(ctx, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			fmt.Println("stored:", e.ID)
		}
		return nil
	}))
	fmt.Println("sent:", l.sent.Events, "received:", l.read.Received, "delivered:", l.read.Delivered, "lag:", l.read.Lag, err)
	// Output:
	// stored: 1
	// stored: 2
	// stored: 3
	// sent: 3 received: 3 delivered: 3 lag: 0 <nil>
}
