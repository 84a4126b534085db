package kafka_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A receiver and a consumer, which may be two programs on many machines. For the example's
// sake the brokers are in it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	brokers := kfake.MustCluster(kfake.NumBrokers(3))
	defer brokers.Close()
	client := []kgo.Opt{kgo.SeedBrokers(brokers.ListenAddrs()...)}
	for _, topic := range []string{"beacons", "beacons.dead"} {
		if err := kafka.CreateTopic(ctx, topic, kafka.TopicOptions{}, client...); err != nil {
			log.Fatal(err)
		}
	}

	// The receiver. Put a spool in front of the Sink.
	events, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: "beacons", Client: client})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events, AnyOrigin: true})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/beacon", strings.NewReader(`{"page":"home"}`)))
	fmt.Println("answered", w.Code)

	// The consumer.
	c, err := kafka.NewConsumer(ctx, kafka.ConsumerOptions{Topic: "beacons", Group: "store", Client: client})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Consume(ctx, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		fmt.Println("stored", events[0].Body)
		cancel() // enough: Consume commits, leaves the group, and returns
		return nil
	})); err != nil {
		log.Fatal(err)
	}
	// Output:
	// answered 204
	// stored {"page":"home"}
}

// Before the first event is acknowledged: whether the topic keeps what it acknowledges.
func ExampleCheckTopic() {
	ctx := context.Background()
	brokers := kfake.MustCluster(kfake.NumBrokers(1))
	defer brokers.Close()
	seeds := kgo.SeedBrokers(brokers.ListenAddrs()...)
	if err := kafka.CreateTopic(ctx, "beacons", kafka.TopicOptions{Partitions: 3, Replicas: 1, MinInSync: 1}, seeds); err != nil {
		log.Fatal(err)
	}
	cl, err := kgo.NewClient(seeds)
	if err != nil {
		log.Fatal(err)
	}
	defer cl.Close()
	report, err := kafka.CheckTopic(ctx, cl, "beacons")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Partitions, "partitions on", report.Replicas, "broker:", report.Risks, report.Err)
	// Output: 3 partitions on 1 broker: [it has one replica: what is acknowledged is gone with its broker] <nil>
}
