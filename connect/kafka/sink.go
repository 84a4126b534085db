package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// SinkOptions are the options of [NewSink]. Topic is required, and the brokers' addresses
// in Client; zero is the default that each field names.
type SinkOptions struct {
	// Topic is where the events go. It has to exist, see [CreateTopic].
	Topic string

	// Client are options of the client: kgo.SeedBrokers, and whatever TLS, SASL,
	// compression or other limits need. They count more than the choices of this
	// package, except that acks=all and idempotence cannot be switched off.
	//
	// Our choices are no linger, since what a spool delivers is a batch, and what comes
	// alone waits with others for the request before it; batches of up to 1 MB, or what the
	// topic takes if that is less when it is first looked at; and 30 seconds until a record
	// that no broker takes is given up, with an error that is temporary
	// (kgo.ProducerLinger, ProducerBatchMaxBytes, RecordDeliveryTimeout).
	Client []kgo.Opt

	// MaxEvents and MaxBytes bound what is on its way to the brokers: by default 50,000
	// events, and 64 MiB of their JSON form. Consume waits for room.
	MaxEvents int
	MaxBytes  int64

	// NoHeaders leaves out the headers of CloudEvents, about 250 bytes of each record
	// before compression. All of what they say is in the value.
	NoHeaders bool

	// Logger gets what the client and the topic are to be warned of. Nil logs nothing.
	Logger *slog.Logger
}

// A Sink puts events into a topic. It is a [beacon.Sink]; make one with [NewSink]. It is
// safe for concurrent use.
type Sink struct {
	o     SinkOptions
	cl    *kgo.Client
	log   *slog.Logger
	ctx   context.Context // of every record: no caller's end is another one's
	limit atomic.Int64    // bytes of the largest record
	batch atomic.Int32    // of the largest batch, unless the host says which

	looking sync.Mutex // held while the topic is looked at

	mu      sync.Mutex
	closed  bool
	events  int           // of calls that have something on its way
	bytes   int64         // of these
	changed chan struct{} // closed, and a new one made, when there is room
	checked bool          // the topic
	topic   error         // what was wrong with it
	stats   connect.SinkStats
	done    chan struct{} // closed when the first Close is through
	err     error         // of that; read it after done
}

var (
	_ beacon.Sink          = (*Sink)(nil)
	_ beacon.Flusher       = (*Sink)(nil)
	_ beacon.Closer        = (*Sink)(nil)
	_ beacon.HealthChecker = (*Sink)(nil)
)

// NewSink returns a Sink that produces to a topic. It looks at the topic, for as long as
// ctx lasts but no longer than 5 seconds, and refuses one that would lose events by design:
// see [CheckTopic], whose other findings it logs. A cluster that is away is no reason not
// to start, as receivers have to; then Consume and Healthy look again, and refuse.
//
// Mistakes in the options are all reported, joined.
func NewSink(ctx context.Context, o SinkOptions) (*Sink, error) {
	errs := []error{checkTopic("Topic", o.Topic)}
	o.MaxEvents = orDefault(&errs, "MaxEvents", o.MaxEvents, 50_000)
	o.MaxBytes = orDefault(&errs, "MaxBytes", o.MaxBytes, 64<<20)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("kafka: invalid options: %w", err)
	}
	s := &Sink{
		o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), ctx: context.Background(),
		changed: make(chan struct{}), done: make(chan struct{}),
	}
	s.batch.Store(maxBatch)
	var err error
	if s.cl, err = newClient(s.choices(), o.Client, []kgo.Opt{kgo.DefaultProduceTopic(o.Topic)}); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	s.limit.Store(recordLimit(int64(s.cl.OptValue(kgo.ProducerBatchMaxBytes).(int32))))
	if err := s.look(ctx); err != nil {
		s.cl.Close()
		return nil, err
	}
	return s, nil
}

// choices are our options, before those of the host.
func (s *Sink) choices() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return s.batch.Load() }),
		// A record in flight whose answer does not come would be waited for for ever. It may
		// be there twice then, which the ID in it tells.
		kgo.AllowIdempotentProduceCancellation(),
		// Ours are in front of these. A call that exceeds them is sent when it is alone; if
		// records of it were refused here, others behind them would not be.
		kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.ProducerOnDataLossDetected(func(topic string, partition int32) {
			s.log.Error("kafka: a broker has lost records that it had acknowledged, as after an unclean election of a leader", "topic", topic, "partition", partition)
		}),
	}
	if s.o.Logger != nil {
		opts = append(opts, kgo.WithLogger(slogger{s.o.Logger}))
	}
	return opts
}

// usable returns nil if the topic can be used, as far as is known. It is looked at until it can.
func (s *Sink) usable(ctx context.Context) error {
	s.mu.Lock()
	closed, checked, wrong := s.closed, s.checked, s.topic
	s.mu.Unlock()
	if closed || checked && wrong == nil {
		return nil
	}
	if !s.looking.TryLock() {
		return wrong
	}
	defer s.looking.Unlock()
	return s.look(ctx)
}

// look checks the topic. The error is that of a topic that cannot be used.
func (s *Sink) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := CheckTopic(ctx, s.cl, s.o.Topic)
	if err != nil {
		s.log.Warn("kafka: the topic cannot be looked at", "topic", s.o.Topic, "error", err)
		return nil
	}
	if found.MaxMessageBytes > 0 {
		s.limit.Store(min(s.limit.Load(), recordLimit(found.MaxMessageBytes)))
		s.batch.Store(int32(max(minBatch, min(maxBatch, found.MaxMessageBytes))))
	}
	for _, risk := range found.Risks {
		s.log.Warn("kafka: the topic may lose events", "topic", s.o.Topic, "why", risk)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked, s.topic = true, found.Err
	return found.Err
}

// Batches of a topic: the most is what brokers take if nobody says otherwise, and the client
// takes no less than the least.
const (
	maxBatch = 1_000_012
	minBatch = 512
)

// recordLimit is how large a record may be in a batch of that size: what frames it is left
// out, and what is added to it should it become a dead letter.
func recordLimit(batch int64) int64 { return batch - 100 - lettersRoom }

// A call is one of Consume.
type call struct {
	events int // that are sent
	bytes  int64

	mu    sync.Mutex
	left  int
	done  chan struct{} // closed when nothing is left
	state []error       // of each record: pending, nil or why not
}

var errPending = errors.New("kafka: not yet acknowledged")

// A slot is the context of one record: whose it is. That the client asks for its end
// is what a record's context is there for as well.
type slot struct {
	context.Context
	of *call
	at int
}

// Consume returns nil once all events are acknowledged by all replicas in sync. Events of
// one session go to one partition, in order.
//
// An event that is larger than the topic takes, or that has no JSON form, is refused for
// good, and costs no other; everything else is temporary. If some of the events were taken
// it is a [*beacon.PartialError]. When ctx ends first, those whose acknowledgement has not
// come are among them, and may be stored all the same.
func (s *Sink) Consume(ctx context.Context, events []beacon.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := s.usable(ctx); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Refused += uint64(len(events))
		return err
	}
	records, slots, c := s.records(events)
	if c.left > 0 {
		if err := s.enter(ctx, c); err != nil {
			c.giveUp(err)
			return s.verdict(c)
		}
		for i := range records {
			if slots[i].of != nil {
				s.cl.TryProduce(s.ctx, &records[i], s.produced)
			}
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			c.giveUp(ctx.Err())
		}
	}
	return s.verdict(c)
}

// records encodes the events. What cannot be sent has its verdict, and a slot of no call.
func (s *Sink) records(events []beacon.Event) ([]kgo.Record, []slot, *call) {
	n := len(events)
	records, slots := make([]kgo.Record, n), make([]slot, n)
	c := &call{left: n, done: make(chan struct{}), state: make([]error, n)}
	// One piece of memory for all values: they are released together. It grows, so the
	// values are cut out of it when it is complete.
	room := 0
	for i := range events {
		room += events[i].Size()
	}
	b := make([]byte, 0, room)
	ends := make([]int, n)
	for i := range events {
		var err error
		if b, err = events[i].AppendJSON(b); err != nil {
			c.state[i] = fmt.Errorf("%w: %w", beacon.ErrPermanent, err)
			c.left--
		}
		ends[i] = len(b)
	}
	start, limit := 0, s.limit.Load()
	var headers headerArena
	for i := range events {
		r := &records[i]
		r.Value, start = b[start:ends[i]:ends[i]], ends[i]
		if c.state[i] != nil {
			continue
		}
		if key := connect.Key(&events[i]); key != "" {
			r.Key = []byte(key)
		}
		if !s.o.NoHeaders {
			r.Headers = headers.of(&events[i], n-i)
		}
		size := recordSize(r)
		if size > limit {
			c.state[i] = fmt.Errorf("%w: kafka: a record of %d bytes, of which topic %s takes %d", beacon.ErrPermanent, size, s.o.Topic, limit)
			c.left--
			continue
		}
		c.state[i] = errPending
		c.bytes += size
		slots[i] = slot{Context: s.ctx, of: c, at: i}
		r.Context = &slots[i]
	}
	c.events = c.left
	return records, slots, c
}

// recordSize is an upper bound of what a record takes in a batch, before compression.
func recordSize(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value) + 30
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return int64(n)
}

// enter waits for room.
func (s *Sink) enter(ctx context.Context, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.events > 0 && (s.events+c.events > s.o.MaxEvents || s.bytes+c.bytes > s.o.MaxBytes) {
		changed := s.changed
		s.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("kafka: no room for more on its way to the brokers: %w", ctx.Err())
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	if s.closed {
		return connect.ErrClosed
	}
	s.events += c.events
	s.bytes += c.bytes
	return nil
}

// leave gives the room of a call back.
func (s *Sink) leave(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events -= c.events
	s.bytes -= c.bytes
	close(s.changed)
	s.changed = make(chan struct{})
}

// produced is told what became of a record.
func (s *Sink) produced(r *kgo.Record, err error) {
	slot := r.Context.(*slot)
	c := slot.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state[slot.at] == errPending { // else the caller has gone
		c.state[slot.at] = err
	}
	if c.left--; c.left == 0 {
		s.leave(c)
		close(c.done)
	}
}

// giveUp marks what is pending.
func (c *call) giveUp(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.state {
		if c.state[i] == errPending {
			c.state[i] = err
		}
	}
}

// verdict makes one error of those of the events.
func (s *Sink) verdict(c *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed []int
	var why error
	dead := 0
	for i, err := range c.state {
		if err == nil {
			continue
		}
		failed = append(failed, i)
		permanent := beacon.IsPermanent(err)
		if permanent {
			dead++
		}
		if why == nil || !permanent && beacon.IsPermanent(why) {
			why = err
		}
	}
	s.mu.Lock()
	s.stats.Events += uint64(len(c.state) - len(failed))
	s.stats.Dead += uint64(dead)
	s.stats.Refused += uint64(len(failed) - dead)
	s.mu.Unlock()
	if why == nil {
		return nil
	}
	why = explain(s.o.Topic, why)
	if len(failed) == len(c.state) && (dead == 0 || dead == len(failed)) {
		return why
	}
	return &beacon.PartialError{Failed: failed, Err: why}
}

// explain says what a host can do about an error of the client. Only what is wrong with an
// event is permanent: with a topic that is not there, or must not be written to, everything
// fails, and would become a dead letter.
func explain(topic string, err error) error {
	switch {
	case beacon.IsPermanent(err), errors.Is(err, connect.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", connect.ErrClosed, err)
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("kafka: topic %s: a batch is too large: raise max.message.bytes of the topic, or kgo.ProducerBatchMaxBytes if that is less: %w", topic, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("kafka: topic %s does not exist: create it, with CreateTopic or by hand: %w", topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("kafka: topic %s: its ACLs have to allow Write and Describe: %w", topic, err)
	case errors.Is(err, kerr.NotEnoughReplicas), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		return fmt.Errorf("kafka: topic %s: fewer replicas are in sync than min.insync.replicas: %w", topic, err)
	}
	return fmt.Errorf("kafka: topic %s: %w", topic, err)
}

// Flush returns nil once nothing is on its way to the brokers that was before the call:
// records of calls whose context has ended may be.
func (s *Sink) Flush(ctx context.Context) error {
	if err := s.cl.Flush(ctx); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// Close flushes the Sink and ends its client. What is not acknowledged when ctx ends is
// not taken, as its callers are told.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if first {
		go func() {
			defer close(s.done)
			s.err = errors.Join(s.Flush(ctx), closeClient(context.WithoutCancel(ctx), s.cl))
		}()
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
	}
	if first { // Flush knows that too, and has more to say
		select {
		case <-s.done:
			return s.err
		case <-time.After(time.Second):
		}
	}
	return ctx.Err()
}

// Healthy asks the cluster about the topic: it is nil if every partition has a leader and
// enough replicas in sync to be written to. It waits for 2 seconds at most.
func (s *Sink) Healthy(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return connect.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.usable(ctx); err != nil {
		return err
	}
	return healthyTopic(ctx, s.cl, s.o.Topic)
}

// Stats returns counts since the start. InFlight are events on their way to the brokers.
func (s *Sink) Stats() connect.SinkStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.InFlight = int64(s.events)
	return stats
}
