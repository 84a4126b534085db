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

// SinkOptions are the options of [NewSink]. A zero field has the default that it names.
type SinkOptions struct {
	Conn    *nats.Conn // required; the host's, which closes it
	Stream  string     // default "beacon"
	Subject string     // the messages' subjects are this, a dot and a number; default "beacon"

	// Shards is how many subjects there are, from SUBJECT.0 on; default 16. All events of a
	// session are in one. Sinks that write to one stream should agree on it.
	Shards int

	// MaxPending is how many messages may be on their way to the log at a time, of all
	// calls; default 4,096. More wait.
	MaxPending int

	// Timeout is how long a call of Consume may take, if its context does not end before;
	// default 5 s. While a leader is elected, nothing is acknowledged for as long.
	Timeout time.Duration

	// AllowDiscardOld takes a stream that drops the oldest of what it has acknowledged, read
	// or not, when it is full.
	AllowDiscardOld bool

	Logger *slog.Logger // for what is doubtful about the stream; default none
}

// A Sink writes events to a JetStream stream. Make one with [NewSink]. It is safe for
// concurrent use.
type Sink struct {
	o        SinkOptions
	js       jetstream.JetStream
	log      *slog.Logger
	subjects []string

	mu     sync.Mutex
	closed bool
	calls  int           // of Consume, under way
	idle   chan struct{} // closed when there are none left after Close

	checked atomic.Bool // the stream was seen, and is as it should be
	check   sync.Mutex

	events, refused, dead atomic.Uint64
	inFlight              atomic.Int64
}

var (
	_ beacon.Sink          = (*Sink)(nil)
	_ beacon.Flusher       = (*Sink)(nil)
	_ beacon.Closer        = (*Sink)(nil)
	_ beacon.HealthChecker = (*Sink)(nil)
)

// NewSink returns a Sink whose Consume returns nil only when the stream has acknowledged
// each event: with three replicas, when two servers have it.
//
// It asks for the stream's settings, and refuses one that would lose what it acknowledged:
// in memory, persisted later (persist_mode async), without acknowledgements, of interest
// retention, or full and dropping the oldest. It warns of one on a single server, of one
// that forgets within a day, and of a duplicate window below a minute. If nobody answers,
// because the log is away, NewSink waits for as long as ctx and Timeout last and returns
// the Sink nevertheless: a receiver has to come up, since its spool can take what comes.
// Consume asks again then, and fails for now as long as there is no answer or a bad one.
func NewSink(ctx context.Context, o SinkOptions) (*Sink, error) {
	if o.Conn == nil {
		return nil, errors.New("nats: SinkOptions: no connection")
	}
	if o.Shards < 0 || o.MaxPending < 0 || o.Timeout < 0 {
		return nil, errors.New("nats: SinkOptions: a negative number")
	}
	o.Stream, o.Subject = cmp.Or(o.Stream, defaultStream), cmp.Or(o.Subject, defaultSubject)
	o.Shards = cmp.Or(o.Shards, defaultShards)
	o.MaxPending = cmp.Or(o.MaxPending, 4096)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if err := checkNames(o.Stream, o.Subject); err != nil {
		return nil, err
	}
	s := &Sink{o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	for i := range o.Shards {
		s.subjects = append(s.subjects, o.Subject+"."+strconv.Itoa(i))
	}
	var err error
	s.js, err = jetstream.New(o.Conn, jetstream.WithPublishAsyncMaxPending(o.MaxPending),
		// What is not answered is forgotten then: else it would count as pending for good.
		jetstream.WithPublishAsyncTimeout(o.Timeout))
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	if wrong, err := s.ready(ctx); wrong {
		return nil, err
	} else if err != nil {
		s.log.Warn("nats: the log does not answer; it is asked again", "stream", o.Stream, "error", err)
	}
	return s, nil
}

// ready returns nil once the stream was seen to be as it should. wrong says that it is not,
// and not only out of reach.
func (s *Sink) ready(ctx context.Context) (wrong bool, err error) {
	if s.checked.Load() {
		return false, nil
	}
	s.check.Lock()
	defer s.check.Unlock()
	if s.checked.Load() {
		return false, nil
	}
	if s.o.Conn.IsClosed() {
		return true, nats.ErrConnectionClosed
	}
	if !s.o.Conn.IsConnected() {
		return false, nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.o.Stream)
	if err != nil {
		return mistaken(err), fmt.Errorf("nats: stream %q: %w", s.o.Stream, err)
	}
	doubts, err := verify(stream.CachedInfo().Config, s.subjects, s.o.AllowDiscardOld)
	if err != nil {
		return true, err
	}
	for _, d := range doubts {
		s.log.Warn("nats: a doubtful stream: "+d, "stream", s.o.Stream)
	}
	s.checked.Store(true)
	return false, nil
}

// Consume writes the events, and returns nil when the stream has all of them; one that it
// had already counts. A [*beacon.PartialError] names those that it has not acknowledged.
//
// An event that is larger than a message may be is refused for good. Everything else is
// temporary: no connection, no leader, a stream that is full. Without an answer the call
// ends after Timeout; what it did not name as taken may come to be in the log all the same,
// and is known there by its ID when it comes again. When one of a session failed, those
// behind it may have been taken: tried again, it comes after them.
func (s *Sink) Consume(ctx context.Context, events []beacon.Event) error {
	if len(events) == 0 {
		return nil
	}
	if !s.begin() {
		s.refused.Add(uint64(len(events)))
		return connect.ErrClosed
	}
	defer s.end()
	s.inFlight.Add(int64(len(events)))
	defer s.inFlight.Add(-int64(len(events)))
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	o := outcome{events: len(events)}
	if err := s.admit(ctx); err != nil {
		o.rest(0, err)
	} else {
		s.settle(ctx, s.publish(ctx, events, &o), &o)
	}
	s.events.Add(uint64(len(events) - len(o.failed)))
	s.refused.Add(uint64(len(o.failed) - o.never))
	s.dead.Add(uint64(o.never))
	return o.err()
}

// admit says why nothing can be sent now. Without a connection the client would keep what
// it is given, and nobody could tell for how long.
func (s *Sink) admit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.o.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	_, err := s.ready(ctx)
	return err
}

// A flight is a message on its way.
type flight struct {
	msg    *nats.Msg
	ack    jetstream.PubAckFuture
	events []int // their positions: those of the same message ID are one message
}

// publish sends the events, in order. When one cannot be sent now, those behind it are not.
func (s *Sink) publish(ctx context.Context, events []beacon.Event, o *outcome) []*flight {
	flights := make([]*flight, 0, len(events))
	all := make([]flight, len(events))
	known := make(map[string]*flight, len(events))
	for i := range events {
		m, err := s.message(&events[i])
		if err != nil { // it has no JSON form
			o.fail(i, fmt.Errorf("%w: %w", beacon.ErrPermanent, err))
			continue
		}
		id := m.Header.Get(jetstream.MsgIDHeader)
		if f := known[id]; f != nil {
			f.events = append(f.events, i)
			continue
		}
		f := &all[i]
		f.msg, f.events = m, []int{i}
		if err := s.send(ctx, f); err != nil {
			if !neverTaken(err) {
				o.rest(i, err)
				break
			}
			o.fail(i, err)
			continue
		}
		flights = append(flights, f)
		if id != "" {
			known[id] = f
		}
	}
	return flights
}

func (s *Sink) send(ctx context.Context, f *flight) (err error) {
	deadline, _ := ctx.Deadline()
	f.ack, err = s.js.PublishMsgAsync(f.msg, jetstream.WithStallWait(max(time.Millisecond, time.Until(deadline))))
	return err
}

// settle waits for the acknowledgements, as long as ctx lasts. What another call is about
// to store, which several servers take a moment for, is sent again until it is known.
func (s *Sink) settle(ctx context.Context, flights []*flight, o *outcome) {
	for len(flights) > 0 {
		var again []*flight
		for _, f := range flights {
			err := f.landed(ctx)
			if err != nil && underWay(err) && ctx.Err() == nil {
				again = append(again, f)
				continue
			}
			o.settled(f, err)
		}
		if len(again) > 0 {
			sleep(ctx, retryUnderWay)
		}
		flights = flights[:0]
		for _, f := range again {
			if err := s.send(ctx, f); err != nil {
				o.settled(f, err)
			} else {
				flights = append(flights, f)
			}
		}
	}
}

// landed waits for the acknowledgement.
func (f *flight) landed(ctx context.Context) error {
	ok, failed := f.ack.Ok(), f.ack.Err()
	select { // what is there counts, whether or not ctx has ended
	case <-ok:
		return nil
	case err := <-failed:
		return err
	default:
	}
	select {
	case <-ok:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("nats: not acknowledged: %w", ctx.Err())
	}
}

// An outcome is what became of the events of a call.
type outcome struct {
	events int
	failed []int
	never  int   // of those, how many will always fail
	why    error // of the first that may not
	stays  error // of the first that will
}

func (o *outcome) fail(i int, err error) {
	o.failed = append(o.failed, i)
	if beacon.IsPermanent(err) || neverTaken(err) {
		if o.never++; o.stays == nil {
			o.stays = err
		}
	} else if o.why == nil {
		o.why = err
	}
}

// settled notes what became of a message, if that is not that the stream has it.
func (o *outcome) settled(f *flight, err error) {
	for _, i := range f.events {
		if err != nil {
			o.fail(i, err)
		}
	}
}

// rest notes that the events from position i on failed.
func (o *outcome) rest(i int, err error) {
	for ; i < o.events; i++ {
		o.fail(i, err)
	}
}

// err is what Consume returns.
func (o *outcome) err() error {
	var err error
	switch {
	case len(o.failed) == 0:
		return nil
	case o.why != nil:
		err = temporary(o.why)
	default:
		err = fmt.Errorf("nats: %w: %w", beacon.ErrPermanent, o.stays)
	}
	if len(o.failed) == o.events {
		return err
	}
	slices.Sort(o.failed)
	return &beacon.PartialError{Failed: o.failed, Err: err}
}

// Healthy returns nil if the stream answers, is as it should be, and has a leader and room;
// or why not.
func (s *Sink) Healthy(ctx context.Context) error {
	if s.isClosed() {
		return connect.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if !s.o.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	if _, err := s.ready(ctx); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, s.o.Stream)
	if err != nil {
		return fmt.Errorf("nats: stream %q: %w", s.o.Stream, err)
	}
	i := stream.CachedInfo()
	if i.Cluster != nil && i.Cluster.Leader == "" {
		return fmt.Errorf("nats: stream %q has no leader", s.o.Stream)
	}
	c := i.Config
	if c.Discard == jetstream.DiscardNew && (c.MaxBytes > 0 && i.State.Bytes >= uint64(c.MaxBytes) || c.MaxMsgs > 0 && i.State.Msgs >= uint64(c.MaxMsgs)) {
		return fmt.Errorf("nats: stream %q is full", s.o.Stream)
	}
	return nil
}

// Flush does nothing: what Consume took is in the log.
func (s *Sink) Flush(context.Context) error { return nil }

// Close waits for the calls of Consume that are under way, as long as ctx lasts, and has
// those fail that are left. The connection stays open: it is the host's.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.idle = make(chan struct{})
	if s.calls == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.js.CleanupPublisher()
	return err
}

// begin notes a call of Consume, unless the Sink is closed.
func (s *Sink) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.calls++
	}
	return !s.closed
}

func (s *Sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.closed && s.calls == 0 {
		s.js.CleanupPublisher() // what Close did not wait for may have sent since
		close(s.idle)
	}
}

func (s *Sink) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Stats returns what became of the events so far.
func (s *Sink) Stats() connect.SinkStats {
	return connect.SinkStats{
		Events: s.events.Load(), Refused: s.refused.Load(), Dead: s.dead.Load(), InFlight: s.inFlight.Load(),
	}
}
