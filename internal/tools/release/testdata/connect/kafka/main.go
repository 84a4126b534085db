// A host outside the tree, with both ends of a topic.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	ctx := context.Background()
	client := []kgo.Opt{kgo.SeedBrokers("localhost:9092")}
	events, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: "beacons", Client: client})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		log.Fatal(err)
	}
	c, err := kafka.NewConsumer(ctx, kafka.ConsumerOptions{Topic: "beacons", Group: "log", Client: client})
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
