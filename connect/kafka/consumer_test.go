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
