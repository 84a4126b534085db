package nats_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// A receiver and a consumer, which would be programs of their own.
func Example() {
	url, stop := natstest.Example() // a server; yours are there
	defer stop()
	conn, err := natsgo.Connect(url, natsgo.MaxReconnects(-1), natsgo.RetryOnFailedConnect(true))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := nats.EnsureStream(ctx, conn, nats.StreamOptions{Replicas: 1}); err != nil { // a cluster: 3
		log.Fatal(err)
	}

	// The receiver. Behind the handler belongs a spool, in front of the Sink.
	sink, err := nats.NewSink(ctx, nats.SinkOptions{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: sink})
	if err != nil {
		log.Fatal(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("https://example.com/beacon", beacon.Text("hello")))

	// The consumer. Its Sink would be a store.
	consumer, err := nats.NewConsumer(ctx, nats.ConsumerOptions{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Consume(ctx, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		fmt.Println(events[0].Body)
		cancel() // an example has an end
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello
}
