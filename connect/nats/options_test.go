package nats_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// A stream that would lose what it has acknowledged is refused, whoever asks.
func TestRefusedStreams(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		edit func(*jetstream.StreamConfig)
		want string
		sink bool // only the Sink minds
	}{
		"memory":      {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "in memory", false},
		"async":       {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist_mode", false},
		"no ack":      {func(c *jetstream.StreamConfig) { c.NoAck = true }, "no_ack", false},
		"interest":    {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "interest", false},
		"discard old": {func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 100 }, "discard old", true},
		"old bytes":   {func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<20 }, "AllowDiscardOld", true},
		"per subject": {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "last 1", true},
		"subject":     {func(c *jetstream.StreamConfig) { c.Subjects = []string{"refused.*.*.x", "other.>"} }, `"refused.0"`, false},
	} {
		t.Run(what, func(t *testing.T) {
			refused := func(who string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "refused") {
					t.Errorf("%s: %v", who, err)
				}
			}
			o := beaconnats.StreamOptions{Name: "refused", Subject: "refused", Replicas: 1, Config: c.edit}
			refused("EnsureStream of a new one", beaconnats.EnsureStream(until(t), conn, o))
			if _, err := js.Stream(until(t), "refused"); err == nil {
				t.Error("it was made nevertheless")
			}
			cfg := jetstream.StreamConfig{Name: "refused", Subjects: []string{"refused.*"}, Discard: jetstream.DiscardNew, Replicas: 1}
			c.edit(&cfg)
			if _, err := js.CreateStream(until(t), cfg); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = js.DeleteStream(until(t), "refused") }()
			o.Config = nil
			refused("EnsureStream of one that is there", beaconnats.EnsureStream(until(t), conn, o))
			_, err := beaconnats.NewSink(until(t), beaconnats.SinkOptions{Conn: conn, Stream: "refused", Subject: "refused"})
			refused("NewSink", err)
			_, err = beaconnats.NewConsumer(until(t), beaconnats.ConsumerOptions{Conn: conn, Stream: "refused", Subject: "refused"})
			if c.sink {
				if err != nil {
					t.Errorf("NewConsumer: %v", err)
				}
				_, err := beaconnats.NewSink(until(t), beaconnats.SinkOptions{Conn: conn, Stream: "refused", Subject: "refused", AllowDiscardOld: true})
				if err != nil {
					t.Errorf("NewSink, allowed: %v", err)
				}
			} else {
				refused("NewConsumer", err)
			}
		})
	}
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(until(t), "beacon")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: "acks-none", AckPolicy: jetstream.AckNonePolicy},
		{Durable: "memory", AckPolicy: jetstream.AckExplicitPolicy, MemoryStorage: true},
		{Durable: "others", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "beacon.1"},
	} {
		if _, err := s.CreateConsumer(until(t), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CreatePushConsumer(until(t), jetstream.ConsumerConfig{Durable: "push", DeliverSubject: "x", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	two := jetstream.StreamConfig{Name: "two", Subjects: []string{"two.0", "two.1"}, Discard: jetstream.DiscardNew}
	if _, err := js.CreateStream(until(t), two); err != nil {
		t.Fatal(err)
	}
	lost := jetstream.StreamConfig{Name: "two_dead", Subjects: []string{"two.dead.*"}, Storage: jetstream.MemoryStorage}
	if _, err := js.CreateStream(until(t), lost); err != nil {
		t.Fatal(err)
	}
	closed := natstest.Connect(t, natstest.Start(t, nil).URL())
	closed.Close()
	stream := func(o beaconnats.StreamOptions) error { return beaconnats.EnsureStream(until(t), conn, o) }
	sink := func(o beaconnats.SinkOptions) error { _, err := beaconnats.NewSink(until(t), o); return err }
	consumer := func(o beaconnats.ConsumerOptions) error {
		_, err := beaconnats.NewConsumer(until(t), o)
		return err
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"stream: no connection":       {beaconnats.EnsureStream(until(t), nil, beaconnats.StreamOptions{}), "no connection"},
		"stream: negative":            {stream(beaconnats.StreamOptions{Replicas: -1}), "negative"},
		"stream: no name":             {stream(beaconnats.StreamOptions{Name: "a.b"}), `"a.b"`},
		"stream: no subject":          {stream(beaconnats.StreamOptions{Subject: "a.*"}), `"a.*"`},
		"stream: replicas, one there": {stream(beaconnats.StreamOptions{}), "Replicas: 1"},
		"stream: replicas, no others": {stream(beaconnats.StreamOptions{Name: "new", Subject: "new"}), "Replicas: 1"},
		"stream: closed":              {beaconnats.EnsureStream(until(t), closed, beaconnats.StreamOptions{}), "closed"},
		"sink: no connection":         {sink(beaconnats.SinkOptions{}), "no connection"},
		"sink: negative":              {sink(beaconnats.SinkOptions{Conn: conn, Shards: -1}), "negative"},
		"sink: no such stream":        {sink(beaconnats.SinkOptions{Conn: conn, Stream: "none"}), `"none"`},
		"sink: no subject":            {sink(beaconnats.SinkOptions{Conn: conn, Subject: "$JS.x"}), `"$JS.x"`},
		"sink: more shards":           {sink(beaconnats.SinkOptions{Conn: conn, Stream: "two", Subject: "two"}), `"two.2"`},
		"sink: closed":                {sink(beaconnats.SinkOptions{Conn: closed}), "closed"},
		"consumer: no connection":     {consumer(beaconnats.ConsumerOptions{}), "no connection"},
		"consumer: negative":          {consumer(beaconnats.ConsumerOptions{Conn: conn, Parallel: -1}), "negative"},
		"consumer: negative shard":    {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "x", Shards: []int{-1}}), "negative"},
		"consumer: no such stream":    {consumer(beaconnats.ConsumerOptions{Conn: conn, Stream: "none"}), `"none"`},
		"consumer: no name":           {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "a b"}), `"a b"`},
		"consumer: shards of nobody":  {consumer(beaconnats.ConsumerOptions{Conn: conn, Shards: []int{1}}), "Durable"},
		"consumer: other subjects":    {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "others"}), `"beacon.1"`},
		"consumer: in memory":         {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "memory"}), "in memory"},
		"consumer: acks nothing":      {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "acks-none"}), "AckNone"},
		"consumer: push":              {consumer(beaconnats.ConsumerOptions{Conn: conn, Durable: "push"}), "push"},
		"consumer: other shards":      {consumer(beaconnats.ConsumerOptions{Conn: conn, Stream: "two", Subject: "two", Durable: "x", Shards: []int{1, 5}}), `"two.5"`},
		"consumer: letters in memory": {consumer(beaconnats.ConsumerOptions{Conn: conn, Stream: "two", Subject: "two"}), "in memory"},
		"consumer: closed":            {consumer(beaconnats.ConsumerOptions{Conn: closed}), "closed"},
	} {
		if c.err == nil || !strings.HasPrefix(c.err.Error(), "nats: ") || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	// Waits for a log that does not answer end with their context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := beaconnats.NewSink(ctx, beaconnats.SinkOptions{Conn: conn}); err != nil {
		t.Error(err)
	}
}

// A lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// What may be meant, and is doubtful all the same, is told once.
func TestDoubtfulStreams(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{Replicas: 1, MaxAge: time.Hour, Duplicates: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var l lines
	logger := slog.New(slog.NewTextHandler(&l, nil))
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Logger: logger})
	if err := sink.Consume(t.Context(), visit("s", 0, 1)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one server", "forgets after 1h", "duplicates for 1s"} {
		if strings.Count(l.String(), want) != 1 {
			t.Errorf("%q is not told once: %s", want, l.String())
		}
	}
}

// What EnsureStream makes is what it says, and it leaves what is there as it is.
func TestEnsureStream(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	for range 2 {
		one(t, conn, "site")
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for name, want := range map[string]struct {
		subject string
		maxAge  time.Duration
	}{"site": {"site.*", 7 * day}, "site_dead": {"site.dead.*", 30 * day}} {
		s, err := js.Stream(until(t), name)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		if c.Storage != jetstream.FileStorage || c.Discard != jetstream.DiscardNew || c.Retention != jetstream.LimitsPolicy ||
			len(c.Subjects) != 1 || c.Subjects[0] != want.subject || c.MaxAge != want.maxAge || c.Duplicates != 2*time.Minute {
			t.Errorf("%s: %+v", name, c)
		}
		c.MaxAge = 48 * time.Hour
		if _, err := js.UpdateStream(until(t), c); err != nil {
			t.Fatal(err)
		}
	}
	one(t, conn, "site")
	s, err := js.Stream(until(t), "site")
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.MaxAge != 48*time.Hour {
		t.Errorf("it was changed: %v", c.MaxAge)
	}
}
