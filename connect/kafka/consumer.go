package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ConsumerOptions are the options of [NewConsumer]. Topic and Group are required, and the
// brokers' addresses in Client; zero is the default that each field names.
type ConsumerOptions struct {
	// Topic is where the events are, and Group what shares them out: each goes to one
	// consumer of a group. A group that is new begins with the oldest event that is kept.
	Topic, Group string

	// Client are options of the client: kgo.SeedBrokers, and whatever TLS, SASL or other
	// limits need. They count more than the choices of this package: cooperative-sticky
	// balancing, records of aborted transactions left out, fetches of up to 16 MiB from each
	// broker, and an hour gone back where brokers have lost records.
	// A kgo.InstanceID, another for each consumer, makes members static: a restart that is
	// shorter than the kgo.SessionTimeout moves no partitions. What a group needs besides is
	// not the host's: callbacks of partitions and ways to commit are refused.
	Client []kgo.Opt

	// DeadTopic is where records go that cannot be delivered; by default the Topic with
	// ".dead" behind it. It has to exist, see [CreateTopic].
	DeadTopic string

	// DrainTimeout is how long to wait for the events in hand when partitions go to another
	// consumer, or Consume ends; by default 10 seconds. What is not delivered by then is
	// delivered again. When partitions go it is at most half of the kgo.RebalanceTimeout.
	DrainTimeout time.Duration

	// How events get past the Sink: see [connect.RelayOptions], whose defaults hold.
	Parallel    int
	MaxEvents   int
	MaxBytes    int64
	BatchEvents int
	BatchBytes  int64
	Timeout     time.Duration
	MaxTries    int

	// Logger gets what goes wrong. Nil logs nothing.
	Logger *slog.Logger
}

// A Consumer brings events from a topic to a Sink. Make one with [NewConsumer]. It is safe
// for concurrent use.
type Consumer struct {
	o   ConsumerOptions
	log *slog.Logger
	cl  *kgo.Client // for dead letters and questions; it is in no group

	mu      sync.Mutex
	closed  bool
	current *session              // of the Consume that runs
	over    chan struct{}         // closed when that has ended
	cancel  context.CancelFunc    // ends it
	past    connect.RelayStats    // of sessions that are over
	seen    map[int32]int64       // the offset behind the last record that was ever read of each partition
	stats   connect.ConsumerStats // but for what RelayStats and Lag say
	failure error                 // of the last fetch
}

// errConsuming is the error of a second Consume.
var errConsuming = errors.New("kafka: Consume is running already")

// NewConsumer returns a Consumer. It asks no broker for anything: clusters that are away
// are waited for. Mistakes in the options are all reported, joined.
func NewConsumer(_ context.Context, o ConsumerOptions) (*Consumer, error) {
	errs := []error{checkTopic("Topic", o.Topic)}
	o.DeadTopic = cmp.Or(o.DeadTopic, o.Topic+".dead")
	errs = append(errs, checkTopic("DeadTopic", o.DeadTopic))
	if o.DeadTopic == o.Topic {
		errs = append(errs, errors.New("DeadTopic is the Topic: dead letters would come back at once"))
	}
	if o.Group == "" {
		errs = append(errs, errors.New("no Group"))
	}
	o.DrainTimeout = orDefault(&errs, "DrainTimeout", o.DrainTimeout, 10*time.Second)
	c := &Consumer{o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), seen: map[int32]int64{}}
	relay, err := connect.NewRelay(beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }), c.relayOptions(func([]tag) {}))
	if err != nil {
		errs = append(errs, err)
	} else if err := relay.Close(context.Background()); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("kafka: invalid options: %w", err)
	}
	// Not in a group: what the host set for one and must not is refused by the client itself.
	if c.cl, err = newClient(c.letterChoices(), o.Client, nil); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if err := c.checkConsuming(); err != nil {
		c.cl.Close()
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return c, nil
}

// checkConsuming refuses what is this package's to choose.
func (c *Consumer) checkConsuming() error {
	var errs []error
	for name, option := range map[string]any{"ConsumerGroup": kgo.ConsumerGroup, "ShareGroup": kgo.ShareGroup} {
		if group, ok := c.cl.OptValue(option).(string); !ok || group != "" {
			errs = append(errs, fmt.Errorf("kgo.%s is set: it is Group that says which", name))
		}
	}
	if topics, ok := c.cl.OptValue(kgo.ConsumeTopics).(map[string]*regexp.Regexp); !ok || len(topics) > 0 {
		errs = append(errs, errors.New("kgo.ConsumeTopics is set: it is Topic that says which"))
	}
	if partitions, ok := c.cl.OptValue(kgo.ConsumePartitions).(map[string]map[int32]kgo.Offset); !ok || len(partitions) > 0 {
		errs = append(errs, errors.New("kgo.ConsumePartitions is set: it is Group that shares them out"))
	}
	if regex, ok := c.cl.OptValue(kgo.ConsumeRegex).(bool); !ok || regex {
		errs = append(errs, errors.New("kgo.ConsumeRegex is set: Topic is a name"))
	}
	return errors.Join(errs...)
}

func (c *Consumer) letterChoices() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ProducerLinger(5 * time.Millisecond), kgo.RecordDeliveryTimeout(30 * time.Second), kgo.AllowIdempotentProduceCancellation(),
		// A letter of the largest record, too, unless the topic takes less than that.
		kgo.ProducerBatchMaxBytes(1 << 20),
	}
	if c.o.Logger != nil {
		opts = append(opts, kgo.WithLogger(slogger{c.o.Logger}))
	}
	return opts
}

func (c *Consumer) relayOptions(done func([]tag)) connect.RelayOptions[tag] {
	return connect.RelayOptions[tag]{
		Done: done, Dead: c.bury, Parallel: c.o.Parallel, MaxEvents: c.o.MaxEvents, MaxBytes: c.o.MaxBytes,
		BatchEvents: c.o.BatchEvents, BatchBytes: c.o.BatchBytes, Timeout: c.o.Timeout, MaxTries: c.o.MaxTries, Logger: c.o.Logger,
	}
}

// A tag says where an event came from.
type tag struct {
	of     *partition
	number uint64
	source *source
}

// fail notes how reading goes.
func (c *Consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
}

// settle notes what needs us no more.
func (c *Consumer) settle(tags []tag) {
	for i := range tags {
		tags[i].of.settle(tags[i].number)
	}
}

// Consume joins the group and brings events to next until ctx ends, or Close is called. Then
// it reads no more, waits for what it has, for DrainTimeout at most, commits, leaves the
// group, and returns nil. It does not close next.
//
// Offsets are committed once a second, and when partitions go: only those of events that
// next has taken, or that the dead-letter topic has, with all that came before them. A
// consumer that dies has others of its group deliver again what it had not committed.
//
// Brokers that are away, a topic that does not exist, and rights that are missing are
// logged, told by Healthy, and waited for. An error is a mistake: no next, a Consume that is
// running already, or [connect.ErrClosed]. Consume may be called again when it has returned.
func (c *Consumer) Consume(ctx context.Context, next beacon.Sink) error {
	if next == nil {
		return errors.New("kafka: Consume without a Sink")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return connect.ErrClosed
	case c.over != nil:
		c.mu.Unlock()
		return errConsuming
	}
	c.over, c.cancel = over, cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.over, c.cancel, c.failure = nil, nil, nil
		c.mu.Unlock()
		close(over)
	}()
	for fails := 0; ctx.Err() == nil; fails++ {
		began := time.Now()
		err := c.session(ctx, next)
		if err == nil {
			continue // ctx has ended
		}
		c.fail(err)
		if time.Since(began) > time.Minute {
			fails = 0
		}
		wait := min(30*time.Second, time.Second<<min(fails, 5))
		c.log.Error("kafka: consumer: it joins anew", "topic", c.o.Topic, "group", c.o.Group, "error", err, "after", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// Close ends Consume, as the end of its context does, and waits for that and for the client
// to end, for as long as ctx lasts. What is not committed stays in the log. A second Close
// only waits for the first one.
func (c *Consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	over := c.over
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-ctx.Done():
			return fmt.Errorf("kafka: Consume has not returned: %w", ctx.Err())
		}
	}
	return closeClient(ctx, c.cl)
}
