package kafka_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A call of more events than may be on their way is sent when it is alone, as a whole and in
// order.
func TestCallLargerThanRoom(t *testing.T) {
	_, client := cluster(t)
	sink := newSink(t, client, func(o *kafka.SinkOptions) { o.MaxEvents = 10 })
	events := make([]beacon.Event, 2000)
	for i := range events {
		events[i] = event("s", i)
	}
	if err := sink.Consume(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for i, r := range records(t, client, topic, len(events)) {
		if id := header(r, "ce_id"); id != events[i].ID {
			t.Fatalf("%s at %d, want %s", id, i, events[i].ID)
		}
	}
}

// One large event among small ones takes its own memory, and not that of as many large ones.
func TestLargeEventFirst(t *testing.T) {
	_, client := cluster(t)
	sink := newSink(t, client)
	events := make([]beacon.Event, 1000)
	for i := range events {
		events[i] = event("s", i)
	}
	events[0].Body = beacon.Text(strings.Repeat("x", 500_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := sink.Consume(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 100<<20 {
		t.Errorf("%d MiB for a call of 1 MiB", got>>20)
	}
}

// A Sink that came up while the cluster was away finds out about the topic before it writes to
// it, and when somebody has set that right.
func TestTopicIsLookedAtLater(t *testing.T) {
	c, client := cluster(t)
	if err := c.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	sink, err := kafka.NewSink(away, kafka.SinkOptions{Topic: "compacted", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close(context.Background()) }()
	for range 2 {
		err := sink.Consume(t.Context(), []beacon.Event{event("s", 1)})
		if err == nil || beacon.IsPermanent(err) || !strings.Contains(err.Error(), "compact") {
			t.Errorf("Consume: %v", err)
		}
	}
	if err := sink.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), "compact") {
		t.Errorf("Healthy: %v", err)
	}
	if s := sink.Stats(); s.Events != 0 || s.Refused != 2 {
		t.Errorf("stats %+v", s)
	}

	cl, err := kgo.NewClient(client...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	policy := "delete"
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "cleanup.policy", &policy
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "compacted"
	resource.Configs = append(resource.Configs, config)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	if _, err := req.RequestWith(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	if err := sink.Consume(t.Context(), []beacon.Event{event("s", 1)}); err != nil {
		t.Error(err)
	}
	if err := sink.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

// A topic that was made is not known to every broker at once.
func TestCreateTopicWaits(t *testing.T) {
	c, client := cluster(t)
	lag := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "late", Err: kerr.UnknownTopicOrPartition, Count: 2})
	if err := kafka.CreateTopic(t.Context(), "late", kafka.TopicOptions{}, client...); err != nil {
		t.Error(err)
	}
	if lag.Hits() != 2 {
		t.Errorf("asked %d times while it was not known", lag.Hits())
	}
}
