package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/pagebeacon/beacon/connect/nats"
)

const (
	streamName = "BEACONS"
	subject    = "beacons"
	topicName  = "beacons"
	groupName  = "store"
)

// A LogSpec says how a process gets to the log.
type LogSpec struct {
	Kind     string
	Servers  []string
	Replicas int
}

// A broker is a log that tests disturb.
type broker interface {
	spec() LogSpec
	processes() *pool
	disturb(ctx context.Context, leader bool, away time.Duration) (what string, err error)
	end()
}

// connection is how a host connects that goes on through everything.
func (s LogSpec) connection() (*natsgo.Conn, error) {
	return natsgo.Connect(strings.Join(s.Servers, ","), natsgo.MaxReconnects(-1), natsgo.RetryOnFailedConnect(true), natsgo.ReconnectWait(100*time.Millisecond))
}

func (s LogSpec) client() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(s.Servers...)} }

// prepare makes what the log needs: a stream, or a topic.
func (s LogSpec) prepare() error {
	if s.Kind == "kafka" {
		return poll("the topic", func(ctx context.Context) error {
			return errors.Join(
				kafka.CreateTopic(ctx, topicName, kafka.TopicOptions{}, s.client()...),
				kafka.CreateTopic(ctx, topicName+".dead", kafka.TopicOptions{Retention: 30 * 24 * time.Hour}, s.client()...))
		})
	}
	conn, err := s.connection()
	if err != nil {
		return err
	}
	defer conn.Close()
	return poll("the stream", func(ctx context.Context) error {
		return nats.EnsureStream(ctx, conn, nats.StreamOptions{Name: streamName, Subject: subject, Replicas: s.Replicas})
	})
}

// sink opens the log for a receiver.
func (s LogSpec) sink(logger *slog.Logger) (beacon.Sink, func() any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.Kind == "kafka" {
		k, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: topicName, Client: s.client(), Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		return k, func() any { return k.Stats() }, nil
	}
	conn, err := s.connection()
	if err != nil {
		return nil, nil, err
	}
	n, err := nats.NewSink(ctx, nats.SinkOptions{Conn: conn, Stream: streamName, Subject: subject, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return n, func() any { return n.Stats() }, nil
}

// A reader is a consumer of either log.
type reader interface {
	Consume(ctx context.Context, next beacon.Sink) error
	Stats() connect.ConsumerStats
	Healthy(ctx context.Context) error
	Close(ctx context.Context) error
}

// held is how many events a consumer may have that are not settled: what is delivered again
// when it is killed.
const held = 4000

// open opens the log for a consumer.
func (s LogSpec) open(ctx context.Context, maxTries int, logger *slog.Logger) (reader, func(), error) {
	if s.Kind == "kafka" {
		k, err := kafka.NewConsumer(ctx, kafka.ConsumerOptions{
			Topic: topicName, Group: groupName, MaxEvents: held, MaxTries: maxTries, Logger: logger,
			// Soon known to be dead, for the tests' time.
			Client: append(s.client(), kgo.SessionTimeout(3*time.Second), kgo.RebalanceTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond)),
		})
		return k, func() {}, err
	}
	conn, err := s.connection()
	if err != nil {
		return nil, nil, err
	}
	n, err := nats.NewConsumer(ctx, nats.ConsumerOptions{
		Conn: conn, Stream: streamName, Subject: subject, Durable: groupName, MaxEvents: held, MaxTries: maxTries, Logger: logger,
		AckWait: 3 * time.Second,
	})
	return n, conn.Close, err
}

// A consumer is one that goes on whatever happens to the log.
type consumer struct {
	log      LogSpec
	maxTries int

	mu     sync.Mutex
	now    reader
	errors int
}

// consume runs until ctx ends.
func (c *consumer) consume(ctx context.Context, next beacon.Sink, logger *slog.Logger) {
	for ctx.Err() == nil {
		if err := c.once(ctx, next, logger); err != nil && ctx.Err() == nil {
			logger.Error("the consumer ended", "error", err)
			c.mu.Lock()
			c.errors++
			c.mu.Unlock()
			sleep(ctx, 200*time.Millisecond)
		}
	}
}

func (c *consumer) once(ctx context.Context, next beacon.Sink, logger *slog.Logger) error {
	opening, cancel := context.WithTimeout(ctx, 10*time.Second)
	r, release, err := c.log.open(opening, c.maxTries, logger)
	cancel()
	if release != nil {
		defer release()
	}
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	c.mu.Lock()
	c.now = r
	c.mu.Unlock()
	err = r.Consume(ctx, next)
	closing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(err, r.Close(closing))
}

// A ConsumerReport is what a consumer's process tells of itself.
type ConsumerReport struct {
	connect.ConsumerStats
	Errors  int    `json:"errors"` // ends of Consume that were not asked for
	Healthy string `json:"healthy"`
}

func (c *consumer) report() any {
	r := ConsumerReport{ConsumerStats: c.Stats(), Healthy: "not connected"}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Errors = c.errors
	if c.now != nil {
		r.Healthy = ""
		if err := c.now.Healthy(context.Background()); err != nil {
			r.Healthy = err.Error()
		}
	}
	return r
}

// Stats are those of the consumer that there is now.
func (c *consumer) Stats() connect.ConsumerStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		return connect.ConsumerStats{Lag: -1}
	}
	return c.now.Stats()
}
