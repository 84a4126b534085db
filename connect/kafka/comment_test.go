package kafka_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/pagebeacon/beacon/spool"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestComment does what the package's documentation says.
func TestComment(t *testing.T) {
	t.Chdir(t.TempDir())
	cluster, err := kfake.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	brokers := cluster.ListenAddrs()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, topic := range []string{"beacons", "beacons.dead"} {
		if err := kafka.CreateTopic(ctx, topic, kafka.TopicOptions{}, kgo.SeedBrokers(brokers...)); err != nil {
			t.Fatal(err)
		}
	}

	events, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: "beacons", Client: []kgo.Opt{kgo.SeedBrokers(brokers...)}})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := spool.Open("beacons", events, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: kept})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/", beacon.Text("bye")))
	if err := kept.Close(ctx); err != nil || w.Code != 204 {
		t.Fatalf("%v, %d", err, w.Code)
	}

	taken := 0
	store := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		taken += len(events)
		cancel()
		return nil
	})
	c, err := kafka.NewConsumer(ctx, kafka.ConsumerOptions{Topic: "beacons", Group: "store", Client: []kgo.Opt{kgo.SeedBrokers(brokers...)}})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Consume(ctx, store)
	if err != nil || taken != 1 {
		t.Errorf("%v, %d events", err, taken)
	}
}
