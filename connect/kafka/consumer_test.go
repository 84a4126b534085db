package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill puts n events of a few sessions into the log, and returns their IDs.
func fill(t testing.TB, sink beacon.Sink, sessions, n int) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for i := range n {
		var events []beacon.Event
		for s := range sessions {
			e := event(fmt.Sprint("s", s), i+1)
			events = append(events, e)
			ids[e.ID] = true
		}
		if err := sink.Consume(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// records reads a topic to its end.
func records(t testing.TB, client []kgo.Opt, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(client), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("topic %s has %d records, want %d", topic, len(all), n)
		}
		all = append(all, f.Records()...)
	}
	return all
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// What the store refuses for good, and what is no event, goes to the dead-letter topic as it
// was, and nothing waits for it.
func TestPoison(t *testing.T) {
	_, client := cluster(t)
	sink := newSink(t, client)
	ids := fill(t, sink, 3, 100)
	bad := event("s1", 101)
	bad.ID = "bad"
	if err := sink.Consume(t.Context(), []beacon.Event{bad}); err != nil {
		t.Fatal(err)
	}
	raw, err := kgo.NewClient(client...)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	value := "\x00 no event \xff"
	if err := raw.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("s1"), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("elsewhere")}}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	last := event("s1", 102)
	ids[last.ID] = true
	if err := sink.Consume(t.Context(), []beacon.Event{last}); err != nil {
		t.Fatal(err)
	}

	s := &store{fail: func(events []beacon.Event) error {
		for _, e := range events {
			if e.ID == "bad" {
				return fmt.Errorf("%w: the value is out of range", beacon.ErrPermanent)
			}
		}
		return nil
	}}
	c := newConsumer(t, client)
	stop := consume(t, c, s)
	waitFor(t, "all others are stored", func() bool { return s.len() == len(ids) })
	waitFor(t, "nothing is left", func() bool { return c.Stats().Lag == 0 })
	stop()

	letters := records(t, client, topic+".dead", 2)
	slices.SortFunc(letters, func(a, b *kgo.Record) int { return len(a.Value) - len(b.Value) })
	form, _ := bad.MarshalJSON()
	for i, want := range []struct{ value, why, from, id string }{
		{value, "not valid JSON", "elsewhere", ""},
		{string(form), "the value is out of range", "", "bad"},
	} {
		r := letters[i]
		if string(r.Value) != want.value || string(r.Key) != "s1" || header(r, "from") != want.from || header(r, "ce_id") != want.id {
			t.Errorf("a letter is not what it was: %q %q %v", r.Key, r.Value, r.Headers)
		}
		if !strings.Contains(header(r, kafka.DeadWhy), want.why) || header(r, kafka.DeadTopic) != topic || header(r, kafka.DeadPartition) == "" || header(r, kafka.DeadOffset) == "" || header(r, kafka.DeadTime) == "" {
			t.Errorf("a letter does not say why and where from: %v", r.Headers)
		}
	}
	st := c.Stats()
	if st.Dead != 1 || st.Undecodable != 1 || st.Delivered != uint64(len(ids)) {
		t.Errorf("stats %+v", st)
	}

	// Dead letters come back like any events, in a group of their own.
	again := &store{}
	back := newConsumer(t, client, func(o *kafka.ConsumerOptions) {
		o.Topic, o.Group, o.DeadTopic = topic+".dead", "back", topic+".gone"
	})
	defer consume(t, back, again)()
	waitFor(t, "the letter that is an event is back", func() bool { return again.has("bad") })
}

// While dead letters cannot be kept others go on, and nothing is committed beyond them.
func TestDeadTopicAway(t *testing.T) {
	cl, client := cluster(t)
	sink := newSink(t, client)
	bad := event("s0", 1)
	if err := sink.Consume(t.Context(), []beacon.Event{bad}); err != nil {
		t.Fatal(err)
	}
	raw, err := kgo.NewClient(client...)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("s0"), Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	fault := cl.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic + ".dead", Err: kerr.NotEnoughReplicas, Count: -1})
	good := event("s0", 2)
	if err := sink.Consume(t.Context(), []beacon.Event{good}); err != nil {
		t.Fatal(err)
	}
	s := &store{fail: func(events []beacon.Event) error {
		if slices.ContainsFunc(events, func(e beacon.Event) bool { return e.ID == bad.ID }) {
			return beacon.ErrPermanent
		}
		return nil
	}}
	c := newConsumer(t, client, func(o *kafka.ConsumerOptions) { o.DrainTimeout = 300 * time.Millisecond })
	stop := consume(t, c, s)
	waitFor(t, "the good one is stored", func() bool { return s.has(good.ID) })
	waitFor(t, "letters were tried", func() bool { return fault.Hits() > 1 })
	stop()
	if lag := groupLag(t, cl, "store"); lag != 3 {
		t.Errorf("the group has %d to go, want all 3: the first two are nowhere", lag)
	}
	fault.Remove()
	defer consume(t, c, s)()
	records(t, client, topic+".dead", 2)
	waitFor(t, "nothing is left", func() bool { return c.Stats().Lag == 0 })
}

// groupLag is what the group has to go, as the broker sees it.
func groupLag(t testing.TB, c *kfake.Cluster, group string) (lag int64) {
	t.Helper()
	info := c.GroupInfo(group)
	for _, p := range c.PartitionInfos(topic) {
		at := int64(0)
		if info != nil {
			if o, ok := info.Commits[topic][p.Partition]; ok {
				at = o.Offset
			}
		}
		lag += p.HighWatermark - at
	}
	return lag
}

// A consumer that is stopped has delivered and committed all it had read: the next one gets
// nothing twice.
func TestStop(t *testing.T) {
	c, client := cluster(t)
	ids := fill(t, newSink(t, client), 20, 50)
	s := &store{}
	slow := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		time.Sleep(5 * time.Millisecond)
		return s.Consume(ctx, events)
	})
	for stopped := 0; s.len() < len(ids); stopped++ {
		m := newConsumer(t, client, func(o *kafka.ConsumerOptions) { o.BatchEvents, o.MaxEvents, o.DrainTimeout = 10, 100, patience })
		had := s.len()
		stop := consume(t, m, slow)
		waitFor(t, "some are stored", func() bool { return s.len() >= min(had+300, len(ids)) })
		stop()
		if lag, want := groupLag(t, c, "store"), int64(len(ids)-s.len()); lag != want {
			t.Errorf("the group has %d to go, and %d are not stored", lag, want)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if err := m.Consume(t.Context(), s); err == nil {
			t.Error("Consume after Close")
		}
	}
	for id, n := range s.times {
		if n != 1 {
			t.Errorf("event %s was delivered %d times", id, n)
		}
	}
}

// While the store is away nothing is lost and no more is read than there is room for; the lag
// tells, others may join and leave the group, and then all goes on.
func TestStoreAway(t *testing.T) {
	cl, client := cluster(t)
	sink := newSink(t, client)
	ids := fill(t, sink, 20, 50)
	away := true
	s := &store{fail: func([]beacon.Event) error {
		if away {
			return fmt.Errorf("the store is away")
		}
		return nil
	}}
	small := func(o *kafka.ConsumerOptions) { o.MaxEvents, o.DrainTimeout = 50, 100*time.Millisecond }
	c := newConsumer(t, client, small)
	defer consume(t, c, s)()
	waitFor(t, "its memory is full", func() bool { return c.Stats().Held == 50 })
	waitFor(t, "it is not healthy", func() bool { return c.Healthy(t.Context()) != nil })
	waitFor(t, "the lag is known", func() bool { return c.Stats().Lag == int64(len(ids)) })
	for id := range fill(t, sink, 20, 51) {
		ids[id] = true
	}
	waitFor(t, "the lag grows, though nothing is read", func() bool { return c.Stats().Lag == 1000+1020 })
	other := newConsumer(t, client, small)
	stop := consume(t, other, s)
	waitFor(t, "another has partitions", func() bool { return other.Stats().Held > 0 })
	waitFor(t, "each has its own part of the lag", func() bool { return other.Stats().Lag > 0 && other.Stats().Lag+c.Stats().Lag == 1000+1020 })
	stop()
	waitFor(t, "they have come back", func() bool { return c.Stats().Lag == 1000+1020 })
	if groupLag(t, cl, "store") != 1000+1020 {
		t.Error("something was committed")
	}
	s.mu.Lock()
	away = false
	s.mu.Unlock()
	waitFor(t, "all is stored", func() bool { return s.len() == len(ids) })
	waitFor(t, "nothing is left", func() bool { return c.Stats().Lag == 0 && groupLag(t, cl, "store") == 0 })
	waitFor(t, "it is healthy", func() bool { return c.Healthy(t.Context()) == nil })
	if st := c.Stats(); st.Dead != 0 || st.Added != st.Delivered+st.Forgotten {
		t.Errorf("stats %+v", st)
	}
}

// One Consume at a time, and it may come again.
func TestConsumeAgain(t *testing.T) {
	_, client := cluster(t)
	sink := newSink(t, client)
	c := newConsumer(t, client)
	if err := c.Consume(t.Context(), nil); err == nil {
		t.Error("Consume without a Sink")
	}
	for i := range 2 {
		s := &store{}
		stop := consume(t, c, s)
		e := event("s", i+1)
		if err := sink.Consume(t.Context(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it is stored", func() bool { return s.has(e.ID) })
		if err := c.Consume(t.Context(), s); err == nil {
			t.Error("two of them")
		}
		stop()
		if s.len() != 1 {
			t.Errorf("%d events, want 1", s.len())
		}
	}
	if err := c.Healthy(t.Context()); err == nil {
		t.Error("healthy, though it does not run")
	}
}
