package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// ConsumerOptions are the options of [NewConsumer]. A zero field has the default that it
// names.
type ConsumerOptions struct {
	Conn    *nats.Conn // required; the host's, which closes it
	Stream  string     // default "beacon"
	Subject string     // as in [SinkOptions]; default "beacon"

	// Durable names the consumer on the servers, which keeps what was acknowledged. All
	// processes with the same one share the messages; another one gets all messages as
	// well. Default "beacon".
	Durable string

	// Shards, if set, are the numbers of the subjects to read, and no others. Then the
	// order of a session's events holds as the Sink wrote them, if nobody else has the
	// same ones, but the host has to see to it that each is read by somebody: there is no
	// one else who does. Durable is required with it, one for each set of shards.
	Shards []int

	// Dead is the stream for what cannot be delivered; default STREAM_dead. It is made,
	// with as many replicas as the stream has, if it is not there.
	Dead string

	// MaxEvents and MaxBytes bound what is in memory and not acknowledged; defaults 16,384
	// and 64 MiB. Bytes are those of the events ([beacon.Event.Size]), and again of the
	// messages that wait to be theirs; what was asked for before, some 16 MiB, may exceed them.
	MaxEvents int
	MaxBytes  int64

	// MaxAckPending is how many messages all processes of a Durable together may have and not
	// have acknowledged; default eight times MaxEvents. It should be MaxEvents for each of
	// them, or one whose Sink hangs leaves the others nothing.
	MaxAckPending int

	// AckWait is after which the servers give a message to another process when they have
	// heard nothing of this one; default 30 s. They are told in time of all that is held.
	AckWait time.Duration

	// DrainTimeout is how long Consume goes on with what it has when its context has ended;
	// default 10 s. What is not through by then is given back at once.
	DrainTimeout time.Duration

	// Parallel, BatchEvents, BatchBytes, Timeout and MaxTries are about the calls of the
	// Sink: see [connect.RelayOptions].
	Parallel    int
	BatchEvents int
	BatchBytes  int64
	Timeout     time.Duration
	MaxTries    int

	Logger *slog.Logger // default none
}

// A Consumer brings the events of a JetStream stream to a Sink. Make one with
// [NewConsumer]. It is safe for concurrent use.
type Consumer struct {
	o      ConsumerOptions
	js     jetstream.JetStream
	log    *slog.Logger
	prefix string // of the subjects of dead letters
	warned sync.Once

	received, redelivered, undecodable atomic.Uint64
	lag                                atomic.Int64 // of which -1 is not known

	mu      sync.Mutex
	closed  bool
	stop    context.CancelFunc // of Consume
	ended   chan struct{}      // closed when it has returned; nil before it is called
	run     *run
	trouble error // why the servers cannot be asked, as of late
}

// NewConsumer returns a Consumer. Like [NewSink] it refuses a stream that would lose
// what it acknowledged, and does not need the log to be there: what it could not find out
// Consume does.
//
// It makes the durable consumer on the servers, from the first message of the stream on, or
// brings the one of that name to these options. One that reads other subjects is an error.
func NewConsumer(ctx context.Context, o ConsumerOptions) (*Consumer, error) {
	if o.Conn == nil {
		return nil, errors.New("nats: ConsumerOptions: no connection")
	}
	if o.MaxEvents < 0 || o.MaxBytes < 0 || o.MaxAckPending < 0 || o.AckWait < 0 || o.DrainTimeout < 0 ||
		o.Parallel < 0 || o.BatchEvents < 0 || o.BatchBytes < 0 || o.Timeout < 0 || o.MaxTries < 0 ||
		slices.ContainsFunc(o.Shards, func(n int) bool { return n < 0 }) {
		return nil, errors.New("nats: ConsumerOptions: a negative number")
	}
	if len(o.Shards) > 0 && o.Durable == "" {
		return nil, errors.New("nats: ConsumerOptions: Shards without a Durable of their own")
	}
	o.Stream, o.Subject, o.Durable = cmp.Or(o.Stream, defaultStream), cmp.Or(o.Subject, defaultSubject), cmp.Or(o.Durable, "beacon")
	o.Dead = cmp.Or(o.Dead, deadName(o.Stream))
	o.MaxEvents, o.MaxBytes = cmp.Or(o.MaxEvents, 1<<14), cmp.Or(o.MaxBytes, 64<<20)
	o.MaxAckPending = cmp.Or(o.MaxAckPending, 8*o.MaxEvents)
	o.AckWait, o.DrainTimeout = cmp.Or(o.AckWait, 30*time.Second), cmp.Or(o.DrainTimeout, 10*time.Second)
	for _, name := range []string{o.Stream, o.Dead, o.Durable} {
		if err := checkNames(name, o.Subject); err != nil {
			return nil, err
		}
	}
	c := &Consumer{o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), prefix: deadSubject(o.Subject)}
	c.lag.Store(-1)
	var err error
	if c.js, err = jetstream.New(o.Conn); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	if _, wrong, err := c.ready(ctx); wrong {
		return nil, err
	} else if err != nil {
		c.log.Warn("nats: the log does not answer; it is asked again", "stream", o.Stream, "error", err)
	}
	return c, nil
}

// A source is what a Consumer reads from.
type source struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
}

// ready finds the streams and the consumer, and makes what is missing. wrong says that
// they are not as they should be, and not only out of reach.
func (c *Consumer) ready(ctx context.Context) (s source, wrong bool, err error) {
	if c.o.Conn.IsClosed() {
		return s, true, nats.ErrConnectionClosed
	}
	if !c.o.Conn.IsConnected() {
		return s, false, nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if s.stream, err = c.js.Stream(ctx, c.o.Stream); err != nil {
		return s, mistaken(err), fmt.Errorf("nats: stream %q: %w", c.o.Stream, err)
	}
	is := s.stream.CachedInfo().Config
	doubts, err := verify(is, c.reads(), true)
	if err != nil {
		return s, true, err
	}
	c.warned.Do(func() {
		for _, d := range doubts {
			c.log.Warn("nats: a doubtful stream: "+d, "stream", c.o.Stream)
		}
	})
	if wrong, err := c.readyForLetters(ctx, is); err != nil {
		return s, wrong, err
	}
	return c.durable(ctx, s)
}

// readyForLetters makes the stream of dead letters if it is not there.
func (c *Consumer) readyForLetters(ctx context.Context, main jetstream.StreamConfig) (wrong bool, err error) {
	dead, err := c.js.Stream(ctx, c.o.Dead)
	if err == nil {
		_, err = verify(dead.CachedInfo().Config, []string{c.prefix + ".0"}, true)
		return true, err
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return mistaken(err), fmt.Errorf("nats: stream %q: %w", c.o.Dead, err)
	}
	err = ensure(ctx, c.js, deadStream(main, c.o.Dead, c.prefix), c.prefix+".0")
	return mistaken(err), err
}

// reads returns the subjects that the stream has to have, in order.
func (c *Consumer) reads() (subjects []string) {
	for _, n := range c.o.Shards {
		subjects = append(subjects, c.o.Subject+"."+strconv.Itoa(n))
	}
	if subjects == nil {
		return []string{c.o.Subject + ".0"}
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// durable makes the consumer, or brings it to the options.
func (c *Consumer) durable(ctx context.Context, s source) (source, bool, error) {
	want := jetstream.ConsumerConfig{
		Durable: c.o.Durable, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.o.AckWait, MaxAckPending: c.o.MaxAckPending,
		MaxDeliver: -1, // or the servers would leave a message out, and tell nobody
	}
	if len(c.o.Shards) > 0 {
		want.FilterSubjects = c.reads()
	}
	failed := func(err error) (source, bool, error) {
		return s, mistaken(err) || errors.Is(err, jetstream.ErrNotPullConsumer), fmt.Errorf("nats: consumer %q: %w", c.o.Durable, err)
	}
	was, err := s.stream.Consumer(ctx, c.o.Durable)
	switch {
	case err == nil:
		is := was.CachedInfo().Config
		if has := subjects(is); !slices.Equal(has, want.FilterSubjects) {
			return s, true, fmt.Errorf("nats: consumer %q is there, and reads the subjects %q instead of %q (none: all)", c.o.Durable, has, want.FilterSubjects)
		}
		if is.AckPolicy != jetstream.AckExplicitPolicy { // the servers answer that they changed it, and do not
			return s, true, fmt.Errorf("nats: consumer %q is there, with the acknowledgement policy %v instead of explicit", c.o.Durable, is.AckPolicy)
		}
		if is.MemoryStorage {
			return s, true, fmt.Errorf("nats: consumer %q is in memory: what was acknowledged does not outlast its servers", c.o.Durable)
		}
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = is.DeliverPolicy, is.OptStartSeq, is.OptStartTime // it is under way
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return failed(err)
	}
	if s.consumer, err = s.stream.CreateOrUpdateConsumer(ctx, want); err != nil {
		return failed(err)
	}
	return s, false, nil
}

// subjects returns those that a consumer reads, in order; none if it reads all.
func subjects(c jetstream.ConsumerConfig) []string {
	all := slices.Clone(c.FilterSubjects)
	if c.FilterSubject != "" {
		all = append(all, c.FilterSubject)
	}
	slices.Sort(all)
	return all
}

// apiTimeout bounds the questions about streams and consumers.
const apiTimeout = 5 * time.Second

// retryReady is how long to wait before the log is asked again.
const retryReady = time.Second

// Consume brings the events of the stream to next until ctx ends or [Consumer.Close] is
// called, and then returns nil. It may be called once.
//
// A message is acknowledged after next has taken its event, and not before: an event
// comes at least once. It comes again if the process dies, if the connection breaks before
// the acknowledgement is through (for which it does not wait), or if a leader changes.
// Events of one session are given to next in the order in which they were received, and
// never at the same time. That is the order of the log but for what comes again; and when
// several processes share a durable consumer, each has some events of a session, so that
// there is no order among them. The join of page views needs none.
//
// What next refuses for good, and a message that is no event, go to the stream of dead
// letters, with their data as it was and the reason in the header Beacon-Why. A Sink that
// is away is waited for, for as long as that takes.
//
// When ctx has ended Consume takes no more, goes on with what it has for DrainTimeout, and
// gives back what is left, so that another process gets that at once. It goes on through
// broken connections and elections. It returns an error if the connection is closed, if the
// stream or the durable consumer is deleted, even if the stream is made anew at once, or if
// they are not as they should be. One that was deleted is not made again on its own, because
// the new one would begin at the first message of the stream: that is for the host to
// decide, by a new Consumer.
func (c *Consumer) Consume(ctx context.Context, next beacon.Sink) error {
	if next == nil {
		return errors.New("nats: Consume: no Sink")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r, err := c.begin(next, stop)
	if err != nil {
		return err
	}
	defer close(c.ended)
	s, err := c.await(ctx)
	if err == nil {
		err = r.pull(ctx, s)
	}
	r.drain(context.WithoutCancel(ctx))
	return err
}

func (c *Consumer) begin(next beacon.Sink, stop context.CancelFunc) (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, connect.ErrClosed
	}
	if c.ended != nil {
		return nil, errors.New("nats: Consume: called a second time")
	}
	r, err := newRun(c, next)
	if err != nil {
		return nil, err
	}
	c.run, c.stop, c.ended = r, stop, make(chan struct{})
	return r, nil
}

// await returns when the log answers. It returns no error when ctx ends.
func (c *Consumer) await(ctx context.Context) (source, error) {
	for ctx.Err() == nil {
		s, wrong, err := c.ready(ctx)
		if err == nil || wrong {
			return s, err
		}
		c.note(err)
		sleep(ctx, retryReady)
	}
	return source{}, nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// note keeps what is wrong with the log, for Healthy.
func (c *Consumer) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}

// Healthy returns nil while Consume is under way and events go on, as far as is known, or
// why they do not. See [connect.Relay.Healthy].
func (c *Consumer) Healthy(ctx context.Context) error {
	c.mu.Lock()
	closed, trouble, r := c.closed, c.trouble, c.run
	c.mu.Unlock()
	switch {
	case closed:
		return connect.ErrClosed
	case !c.o.Conn.IsConnected():
		return nats.ErrDisconnected
	case trouble != nil:
		return trouble
	case r == nil:
		return errors.New("nats: Consume is not called yet")
	}
	return r.relay.Healthy(ctx)
}

// Stats returns what became of the messages so far. Lag is what the servers said of this
// durable consumer in the last seconds: messages that nobody has yet, and those that
// somebody has and has not acknowledged.
func (c *Consumer) Stats() connect.ConsumerStats {
	s := connect.ConsumerStats{
		Received: c.received.Load(), Redelivered: c.redelivered.Load(), Undecodable: c.undecodable.Load(), Lag: c.lag.Load(),
	}
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r != nil {
		s.RelayStats = r.relay.Stats()
	}
	return s
}

// Close ends Consume, which drains, and waits for that as long as ctx lasts. The connection
// and the durable consumer stay.
func (c *Consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	stop, ended := c.stop, c.ended
	c.mu.Unlock()
	if ended == nil {
		return nil
	}
	stop()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
