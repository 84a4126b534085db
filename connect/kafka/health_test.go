package kafka_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A consumer that may not read says so, also while it waits to join anew.
func TestConsumerSaysWhyItDoesNotRead(t *testing.T) {
	cl, client := cluster(t)
	if err := newSink(t, client).Consume(t.Context(), []beacon.Event{event("s", 1)}); err != nil {
		t.Fatal(err)
	}
	fault := cl.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	c := newConsumer(t, client)
	s := &store{}
	defer consume(t, c, s)()
	says := func(what string) bool {
		err := c.Healthy(t.Context())
		return err != nil && strings.Contains(err.Error(), what)
	}
	waitFor(t, "it says what is missing", func() bool { return says("ACLs") })
	for hits := fault.Hits(); fault.Hits() < hits+2; time.Sleep(5 * time.Millisecond) {
		if says("not running") {
			t.Fatal("it says that it does not run")
		}
	}
	fault.Remove()
	waitFor(t, "it reads", func() bool { return s.len() == 1 })
	waitFor(t, "it is healthy", func() bool { return c.Healthy(t.Context()) == nil })
}

// That there is no place for dead letters is said before there is one.
func TestNoDeadTopic(t *testing.T) {
	cl, client := cluster(t)
	c := newConsumer(t, client, func(o *kafka.ConsumerOptions) { o.DeadTopic = "nowhere" })
	defer consume(t, c, &store{})()
	waitFor(t, "it is told", func() bool {
		err := c.Healthy(t.Context())
		return err != nil && strings.Contains(err.Error(), "nowhere does not exist")
	})
	if err := cl.CreateTopic("nowhere", 1, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is healthy", func() bool { return c.Healthy(t.Context()) == nil })
}
