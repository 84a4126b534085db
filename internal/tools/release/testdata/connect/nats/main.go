// A host outside the tree, with both ends of a stream.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/nats"
)

func main() {
	ctx := context.Background()
	conn, err := natsgo.Connect(natsgo.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	events, err := nats.NewSink(ctx, nats.SinkOptions{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	c, err := nats.NewConsumer(ctx, nats.ConsumerOptions{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		log.Fatal(c.Consume(ctx, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			log.Print(len(events))
			return nil
		})))
	}()
	server := &http.Server{Addr: "localhost:0", Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}
