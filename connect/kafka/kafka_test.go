package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "beacons"

// patience is how long a test waits for what has to come: it is no measure of anything.
const patience = 2 * time.Minute

// cluster starts three brokers, with a topic of 12 partitions and one for dead letters.
func cluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(3), kfake.SeedTopics(12, topic), kfake.SeedTopics(1, topic+".dead", topic+".gone"),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}
}

func newSink(t testing.TB, client []kgo.Opt, change ...func(*kafka.SinkOptions)) *kafka.Sink {
	t.Helper()
	o := kafka.SinkOptions{Topic: topic, Client: client}
	for _, f := range change {
		f(&o)
	}
	s, err := kafka.NewSink(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func newConsumer(t testing.TB, client []kgo.Opt, change ...func(*kafka.ConsumerOptions)) *kafka.Consumer {
	t.Helper()
	o := kafka.ConsumerOptions{

		Topic: topic, Group: "store",
		Client: append(slices.Clone(client), kgo.HeartbeatInterval(50*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond)),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := kafka.NewConsumer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// consume runs c until the test ends, or the returned function is called.
func consume(t testing.TB, c *kafka.Consumer, next beacon.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Consume(ctx, next) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Consume: %v", err)
			}
		case <-time.After(patience):
			t.Error("Consume does not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

// waitFor waits until the condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

func event(session string, n int) beacon.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, n, time.UTC)
	return beacon.Event{
		ID: fmt.Sprintf("%s.%d", session, n), Session: session, Time: at, Received: at, Seq: uint64(n),
		Body: beacon.JSON(fmt.Sprintf(`{"n":%d}`, n)), Request: beacon.Request{ID: "r", Path: "/b", Host: "example.com"},
	}
}

// A store keeps what it is given: how often each event came, and in which order those of a
// session first came.
type store struct {
	mu    sync.Mutex
	times map[string]int
	order map[string][]uint64
	all   []beacon.Event
	fail  func(events []beacon.Event) error
}

func (s *store) Consume(_ context.Context, events []beacon.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(events); err != nil {
			return err
		}
	}
	if s.times == nil {
		s.times, s.order = map[string]int{}, map[string][]uint64{}
	}
	for _, e := range events {
		if s.times[e.ID]++; s.times[e.ID] == 1 {
			s.order[e.Session] = append(s.order[e.Session], e.Seq)
			s.all = append(s.all, e)
		}
	}
	return nil
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

func (s *store) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[id] > 0
}

func (s *store) events() []beacon.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// What a Sink puts into the log a Consumer brings to another one, and both keep the rules of
// a Sink.
func TestSink(t *testing.T) {
	if err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
		_, client := cluster(t)
		sink := newSink(t, client)
		return sink, func() []beacon.Event {
			var s store
			c := newConsumer(t, client, func(o *kafka.ConsumerOptions) { o.Group = newGroup() })
			stop := consume(t, c, &s)
			defer stop()
			waitFor(t, "nothing is left in the log", func() bool { return c.Stats().Lag == 0 })
			return s.events()
		}
	}); err != nil {
		t.Error(err)
	}
}

var groups struct {
	sync.Mutex
	n int
}

func newGroup() string {
	groups.Lock()
	defer groups.Unlock()
	groups.n++
	return fmt.Sprint("group-", groups.n)
}
