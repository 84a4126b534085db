package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What stands in the log: the lossless JSON, the key, and a CloudEvent in binary mode.
func TestRecord(t *testing.T) {
	_, client := cluster(t)
	e := event("s", 1)
	anywhere := event("", 2)
	if err := newSink(t, client).Consume(t.Context(), []beacon.Event{e, anywhere}); err != nil {
		t.Fatal(err)
	}
	for _, r := range records(t, client, topic, 2) {
		want := e
		if header(r, "ce_id") == anywhere.ID {
			want = anywhere
		}
		if form, _ := want.MarshalJSON(); string(r.Value) != string(form) {
			t.Errorf("value %s, want %s", r.Value, form)
		}
		if string(r.Key) != want.Session || want.Session == "" && r.Key != nil {
			t.Errorf("key %q of session %q", r.Key, want.Session)
		}
		got := map[string]string{}
		for _, h := range r.Headers {
			got[h.Key] = string(h.Value)
		}
		headers := map[string]string{
			"ce_specversion": "1.0", "ce_id": want.ID, "ce_source": "//example.com/b", "ce_type": "com.github.pagebeacon.beacon.v1",
			"ce_time": want.Time.Format(time.RFC3339Nano), "content-type": "application/json",
		}
		if want.Session != "" {
			headers["ce_subject"] = want.Session
		}
		if diff := cmp.Diff(headers, got); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}
}

// An event that can never be taken costs no other, and is named.
func TestTooLarge(t *testing.T) {
	c, client := cluster(t)
	if err := c.CreateTopic("small", 3, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, client, func(o *kafka.SinkOptions) { o.Topic = "small" })
	large := event("s", 2)
	large.Body = beacon.Text(strings.Repeat("x", 20_000))
	early := event("s", 4)
	early.Time = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) // no JSON form
	err := sink.Consume(t.Context(), []beacon.Event{event("s", 1), large, event("s", 3), early})
	part, ok := errors.AsType[*beacon.PartialError](err)
	if !ok || !slices.Equal(part.Failed, []int{1, 3}) || !beacon.IsPermanent(err) {
		t.Errorf("error %v", err)
	}
	records(t, client, "small", 2)
	if err := sink.Consume(t.Context(), []beacon.Event{large}); !beacon.IsPermanent(err) {
		t.Errorf("a large one alone: %v", err)
	}
	// Together they are more than the topic takes at once.
	var many []beacon.Event
	for i := range 20 {
		e := event("s", 10+i)
		e.Body = beacon.Text(noise(rand.New(rand.NewPCG(1, uint64(i))), 5000))
		many = append(many, e)
	}
	if err := sink.Consume(t.Context(), many); err != nil {
		t.Error(err)
	}
	if got, want := sink.Stats(), (connect.SinkStats{Events: 22, Dead: 3}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// What is wrong with the cluster is temporary and says what to do; nothing is taken then that
// is not there.
func TestSinkErrors(t *testing.T) {
	for name, test := range map[string]struct {
		err  *kerr.Error
		says string
	}{
		"no rights":      {kerr.TopicAuthorizationFailed, "ACLs"},
		"batch":          {kerr.MessageTooLarge, "max.message.bytes"},
		"invalid record": {kerr.InvalidRecord, "INVALID_RECORD"},
		"corrupt":        {kerr.CorruptMessage, "CORRUPT_MESSAGE"},
		"unknown":        {kerr.UnknownServerError, "UNKNOWN_SERVER_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, client := cluster(t)
			sink := newSink(t, client)
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: test.err, Count: -1})
			err := sink.Consume(t.Context(), []beacon.Event{event("s", 1)})
			if err == nil || beacon.IsPermanent(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want a temporary one that says %q", err, test.says)
			}
			fault.Remove()
			if err := sink.Consume(t.Context(), []beacon.Event{event("s", 2)}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if s := sink.Stats(); s.Events != 1 || s.Refused != 1 || s.InFlight != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A topic that is not there is no event's fault, and may come.
func TestUnknownTopic(t *testing.T) {
	c, client := cluster(t)
	sink := newSink(t, client, func(o *kafka.SinkOptions) { o.Topic = "later" })
	if err := sink.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("Healthy: %v", err)
	}
	err := sink.Consume(t.Context(), []beacon.Event{event("s", 1)})
	if err == nil || beacon.IsPermanent(err) || !strings.Contains(err.Error(), "create it") {
		t.Errorf("error %v", err)
	}
	if err := c.CreateTopic("later", 1, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "events are taken", func() bool { return sink.Consume(t.Context(), []beacon.Event{event("s", 2)}) == nil })
	waitFor(t, "it is healthy", func() bool { return sink.Healthy(t.Context()) == nil })
}

// Brokers that hang: a call ends with its context, names what is not acknowledged, and no
// more is in memory than is allowed.
func TestBrokersHang(t *testing.T) {
	c, client := cluster(t)
	sink := newSink(t, client, func(o *kafka.SinkOptions) { o.MaxEvents = 30 })
	if err := sink.Consume(t.Context(), []beacon.Event{event("s", 1)}); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	hangs := make(chan struct{})
	release := func() { once.Do(func() { close(hangs) }) }
	defer release()
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.SleepControl(func() { <-hangs })
		return nil, nil, false
	})
	call := func(n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		events := make([]beacon.Event, 20)
		for i := range events {
			events[i] = event("s", n+i)
		}
		return sink.Consume(ctx, events)
	}
	if err := call(10); !errors.Is(err, context.DeadlineExceeded) || beacon.IsPermanent(err) {
		t.Errorf("on their way: %v", err)
	}
	if err := call(40); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no room") {
		t.Errorf("without room: %v", err)
	}
	if n := sink.Stats().InFlight; n != 20 {
		t.Errorf("%d events are in memory, want 20", n)
	}
	release()
	waitFor(t, "there is room again", func() bool { return sink.Stats().InFlight == 0 })
	waitFor(t, "events are taken", func() bool { return call(70) == nil })
}

// A receiver comes up while the cluster is away.
func TestSinkWithoutCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	sink, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: topic, Client: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Healthy(t.Context()); err == nil {
		t.Error("healthy")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := sink.Consume(ctx, []beacon.Event{event("s", 1)}); err == nil || beacon.IsPermanent(err) {
		t.Errorf("error %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := sink.Close(ctx); err == nil {
		t.Error("Close does not say that something was on its way")
	}
	_ = sink.Close(ctx)
	if err := sink.Consume(t.Context(), []beacon.Event{event("s", 2)}); !errors.Is(err, connect.ErrClosed) || beacon.IsPermanent(err) {
		t.Errorf("after Close: %v", err)
	}
}

// Options that would lose events are refused, all in one error.
func TestMistakes(t *testing.T) {
	seeds := kgo.SeedBrokers("127.0.0.1:1")
	sink := func(o kafka.SinkOptions, client ...kgo.Opt) func(context.Context) error {
		return func(ctx context.Context) error {
			o.Client = append(client, seeds)
			s, err := kafka.NewSink(ctx, o)
			if err == nil {
				_ = s.Close(ctx)
			}
			return err
		}
	}
	consumer := func(o kafka.ConsumerOptions, client ...kgo.Opt) func(context.Context) error {
		return func(ctx context.Context) error {
			o.Client = append(client, seeds)
			c, err := kafka.NewConsumer(ctx, o)
			if err == nil {
				_ = c.Close(ctx)
			}
			return err
		}
	}
	good, reader := kafka.SinkOptions{Topic: "t"}, kafka.ConsumerOptions{Topic: "t", Group: "g"}
	nop := func(context.Context, *kgo.Client, map[string][]int32) {}
	for name, test := range map[string]struct {
		make func(context.Context) error
		says []string
	}{
		"nothing":          {sink(kafka.SinkOptions{}), []string{"Topic"}},
		"name":             {sink(kafka.SinkOptions{Topic: "a b", MaxEvents: -1, MaxBytes: -1}), []string{"a b", "MaxEvents", "MaxBytes"}},
		"acks":             {sink(good, kgo.RequiredAcks(kgo.LeaderAck())), []string{"acks"}},
		"acks, idempotent": {sink(good, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()), []string{"RequiredAcks", "DisableIdempotentWrite"}},
		"idempotence":      {sink(good, kgo.DisableIdempotentWrite()), []string{"DisableIdempotentWrite"}},
		"flushing":         {sink(good, kgo.ManualFlushing()), []string{"ManualFlushing"}},
		"data loss":        {sink(good, kgo.StopProducerOnDataLossDetected()), []string{"StopProducerOnDataLossDetected"}},
		"no options":       {consumer(kafka.ConsumerOptions{}), []string{"Topic", "no Group"}},
		"dead is topic":    {consumer(kafka.ConsumerOptions{Topic: "t", Group: "g", DeadTopic: "t"}), []string{"DeadTopic"}},
		"negative":         {consumer(kafka.ConsumerOptions{Topic: "t", Group: "g", Parallel: -1, DrainTimeout: -1}), []string{"Parallel", "DrainTimeout"}},
		"letters' acks":    {consumer(reader, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()), []string{"RequiredAcks"}},
		"autocommit":       {consumer(reader, kgo.AutoCommitMarks()), []string{"autocommit"}},
		"callbacks":        {consumer(reader, kgo.OnPartitionsRevoked(nop)), []string{"revoked"}},
		"group":            {consumer(reader, kgo.ConsumerGroup("other"), kgo.ConsumeTopics("x"), kgo.ConsumeRegex()), []string{"ConsumerGroup", "ConsumeTopics", "ConsumeRegex"}},
		"partitions":       {consumer(reader, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset()}})), []string{"ConsumePartitions"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			err := test.make(ctx)
			for _, want := range test.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

// Topics are made so that one broker may die, and those that lose events are found.
func TestTopics(t *testing.T) {
	c, client := cluster(t)
	ctx := t.Context()
	if err := kafka.CreateTopic(ctx, "good", kafka.TopicOptions{}, client...); err != nil {
		t.Fatal(err)
	}
	if err := kafka.CreateTopic(ctx, "good", kafka.TopicOptions{}, client...); err != nil {
		t.Errorf("again: %v", err)
	}
	cl, err := kgo.NewClient(client...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got, err := kafka.CheckTopic(ctx, cl, "good")
	want := kafka.TopicReport{Partitions: 12, Replicas: 3, MinInSync: 2, Retention: 7 * 24 * time.Hour, MaxMessageBytes: got.MaxMessageBytes}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}

	if err := kafka.CreateTopic(ctx, "one", kafka.TopicOptions{Replicas: 1, Retention: time.Hour}, client...); err != nil {
		t.Fatal(err)
	}
	got, err = kafka.CheckTopic(ctx, cl, "one")
	if risks := fmt.Sprint(got.Risks); err != nil || !strings.Contains(risks, "one replica") || !strings.Contains(risks, "retention.ms is 1h") {
		t.Errorf("%v, %v", err, risks)
	}
	if err := kafka.CreateTopic(ctx, "one", kafka.TopicOptions{}, client...); err == nil || !strings.Contains(err.Error(), "1 brokers instead of 3") {
		t.Errorf("a topic that has one replica is taken for three: %v", err)
	}
	if err := c.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	if _, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: "compacted", Client: client}); err == nil || !strings.Contains(err.Error(), "compact") {
		t.Errorf("NewSink: %v", err)
	}
	if err := kafka.CreateTopic(ctx, "x", kafka.TopicOptions{Replicas: 2, MinInSync: 3, Partitions: -1}, client...); err == nil || !strings.Contains(err.Error(), "MinInSync") || !strings.Contains(err.Error(), "Partitions") {
		t.Errorf("CreateTopic: %v", err)
	}
}
