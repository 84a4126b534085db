package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// A run is what a call of Consume has: messages that came and are not acknowledged.
//
// A message is received, decoded and put into the queue by the client library's goroutine,
// which must not wait: what waits behind it there is known to nobody, and the servers would
// give it to another process after a while. From the queue events go to the Relay, one
// by one. No more is asked for than there is room for: to unsubscribe while the servers
// still send loses what is on its way between them, until they send it again after AckWait.
type run struct {
	c      *Consumer
	relay  *connect.Relay[*message]
	stream jetstream.Stream // set before anything is received

	mu      sync.Mutex
	held    map[uint64]*message // by their place in the stream
	bytes   int64               // of those
	queue   []arrival           // of those, not with the Relay yet
	letters []letter            // of those, no events
	more    chan struct{}       // there is something in the queue
	dying   chan struct{}       // or among the letters
	heavy   chan struct{}       // its bytes are too many
	room    chan struct{}       // enough has gone
	over    bool                // what comes now is given back
	strange bool                // the stream is another one than that of what is held
	gone    chan error          // why it cannot go on
}

// A message is what is kept of one until it is acknowledged. Its data is in the log: who
// needs it again, as a dead letter, gets it from there.
type message struct {
	seq     uint64    // its place in the stream
	at      time.Time // when the stream took it: another one has another message in that place
	reply   string
	subject string
	size    int64
	told    time.Time // when the servers last heard of it
}

// An arrival is an event that came.
type arrival struct {
	event beacon.Event
	of    *message
}

// The protocol of acknowledgements.
var (
	ack      = []byte("+ACK")
	nak      = []byte("-NAK")
	progress = []byte("+WPI")
)

// How messages are asked for. The heartbeats bound how long a request that the servers
// have lost, with a leader, is waited for.
const (
	pullMessages  = 1000
	pullBytes     = 8 << 20
	pullExpiry    = 10 * time.Second
	pullHeartbeat = time.Second
)

func newRun(c *Consumer, next beacon.Sink) (r *run, err error) {
	r = &run{
		c: c, held: map[uint64]*message{},
		more: make(chan struct{}, 1), dying: make(chan struct{}, 1), heavy: make(chan struct{}, 1), room: make(chan struct{}, 1),
		gone: make(chan error, 1),
	}
	r.relay, err = connect.NewRelay(next, c.relayOptions(r))
	return r, err
}

func (c *Consumer) relayOptions(r *run) connect.RelayOptions[*message] {
	return connect.RelayOptions[*message]{
		Done: r.done, Dead: r.bury,
		Parallel: c.o.Parallel, MaxEvents: c.o.MaxEvents, MaxBytes: c.o.MaxBytes,
		BatchEvents: c.o.BatchEvents, BatchBytes: c.o.BatchBytes, Timeout: c.o.Timeout, MaxTries: c.o.MaxTries,
		Logger: c.o.Logger,
	}
}

// pull asks for messages until ctx ends, and returns why it cannot go on otherwise.
func (r *run) pull(ctx context.Context, s source) error {
	if ctx.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	r.stream = s.stream
	beside.Go(func() { r.feed(ctx) })
	beside.Go(func() { r.buryLetters(ctx) })
	beside.Go(func() { r.watch(ctx, s) })
	for {
		for !r.roomy() {
			select {
			case <-r.room:
			case err := <-r.gone:
				return err
			case <-ctx.Done():
				return nil
			}
		}
		var came atomic.Int64
		room := r.free()
		bytes := max(pullBytes, 2*int(r.c.o.Conn.MaxPayload())) // one always fits
		pulling, err := s.consumer.Consume(func(m jetstream.Msg) {
			came.Add(1)
			r.receive(m)
		},
			jetstream.StopAfter(room), jetstream.PullMaxMessagesWithBytesLimit(pullMessages, bytes),
			jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
				r.c.log.Debug("nats: consumer", "durable", r.c.o.Durable, "error", err)
			}))
		if err != nil {
			if r.c.o.Conn.IsClosed() {
				return fmt.Errorf("nats: consumer %q: %w", r.c.o.Durable, err)
			}
			r.c.note(fmt.Errorf("nats: consumer %q: %w", r.c.o.Durable, err))
			sleep(ctx, retryReady)
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		over := pulling.Closed()
		heavy := false
		select {
		case <-ctx.Done():
		case <-r.heavy:
			heavy = true
		case <-over:
		case err := <-r.gone:
			pulling.Drain()
			return err
		}
		// What was sent before the servers knew comes yet, and is not lost to a wait.
		pulling.Drain()
		full := sleepUntil(over, r.c.o.DrainTimeout) && came.Load() >= int64(room)
		switch {
		case ctx.Err() != nil:
			return nil
		case heavy || full:
		case r.c.o.Conn.IsClosed():
			return fmt.Errorf("nats: consumer %q: %w", r.c.o.Durable, nats.ErrConnectionClosed)
		default: // the servers ended it: watch finds out whether for good
			sleep(ctx, retryReady)
		}
	}
}

// sleepUntil says whether it is done.
func sleepUntil(done <-chan struct{}, most time.Duration) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// receive takes a message. It must not wait.
func (r *run) receive(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // no message of a stream
	}
	r.c.received.Add(1)
	if meta.NumDelivered > 1 {
		r.c.redelivered.Add(1)
	}
	seq := meta.Sequence.Stream
	r.mu.Lock()
	h, back := r.held[seq], r.over || r.strange
	if h != nil && !h.at.Equal(meta.Timestamp) {
		back = true
		r.estrange()
	} else if h != nil {
		h.told = time.Now() // it is in hand, and now the servers count from here
	}
	r.mu.Unlock()
	if back {
		_ = r.c.o.Conn.Publish(m.Reply(), nak)
	}
	if h != nil || back {
		return
	}
	of := &message{seq: seq, at: meta.Timestamp, reply: m.Reply(), subject: m.Subject(), told: time.Now()}
	a := arrival{of: of}
	// It says itself whether the bytes are JSON: encoding/json would look a second time.
	err = a.event.UnmarshalJSON(m.Data())
	of.size = int64(len(m.Data()))
	if err == nil {
		of.size = int64(a.event.Size())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		_ = r.c.o.Conn.Publish(m.Reply(), nak)
		return
	}
	r.held[seq] = of
	r.bytes += of.size
	if err == nil {
		r.queue = append(r.queue, a)
		signal(r.more)
	} else {
		r.c.undecodable.Add(1)
		r.letters = append(r.letters, letter{of: of, subject: m.Subject(), header: m.Headers(), data: m.Data(), why: err})
		signal(r.dying)
	}
	if r.bytes >= r.c.o.MaxBytes {
		signal(r.heavy)
	}
}

// estrange ends it, because the stream was deleted and made anew: to acknowledge what is held
// would be to acknowledge what has its place there now. The caller holds the lock.
func (r *run) estrange() {
	r.strange = true
	r.end(fmt.Errorf("nats: stream %q was deleted and made anew while Consume was under way", r.c.o.Stream))
}

func (r *run) end(err error) {
	select {
	case r.gone <- err:
	default:
	}
}

// reply tells the servers something about messages that are held.
func (r *run) reply(what []byte, of []*message) {
	r.mu.Lock()
	strange := r.strange
	r.mu.Unlock()
	if strange {
		return
	}
	for _, m := range of {
		// If that fails, or does not get there, the message comes again.
		_ = r.c.o.Conn.Publish(m.reply, what)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// feed brings the queue to the Relay, which takes as much as it has room for.
func (r *run) feed(ctx context.Context) {
	var some []arrival
	for {
		r.mu.Lock()
		some, r.queue = r.queue, some[:0]
		r.mu.Unlock()
		for i := range some {
			if r.relay.Add(ctx, some[i].event, some[i].of) != nil { // it ends: what is left is given back
				r.mu.Lock()
				r.queue = append(some[i:], r.queue...)
				r.mu.Unlock()
				return
			}
			some[i] = arrival{}
		}
		if len(some) > 0 {
			continue
		}
		select {
		case <-r.more:
		case <-ctx.Done():
			return
		}
	}
}

// done acknowledges messages, and lets go of them.
func (r *run) done(of []*message) {
	r.reply(ack, of)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letGo(of)
	if r.light() {
		signal(r.room)
	}
}

// letGo forgets messages that were held. The caller holds the lock.
func (r *run) letGo(of []*message) {
	for _, m := range of {
		delete(r.held, m.seq)
		r.bytes -= m.size
	}
}

// light says whether so much has gone that it is worth to ask for more. The caller holds
// the lock.
func (r *run) light() bool {
	return len(r.held) <= r.c.o.MaxEvents/2 && r.bytes <= r.c.o.MaxBytes/2
}

// free is how many more messages there is room for.
func (r *run) free() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(1, r.c.o.MaxEvents-len(r.held))
}

func (r *run) roomy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.light()
}

// watch asks the servers now and then how the consumer does, and tells them of what is
// held. What is not there any more is asked for some times: a server that has just started
// may not know it yet.
func (r *run) watch(ctx context.Context, s source) {
	const (
		every = time.Second
		sure  = 5
	)
	missing := 0
	since := s.stream.CachedInfo().Created
	created := s.consumer.CachedInfo().Created
	for ctx.Err() == nil {
		r.hold()
		ask, cancel := context.WithTimeout(ctx, min(apiTimeout, r.c.o.AckWait/4))
		info, err := s.consumer.Info(ask)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			missing = 0
			r.c.lag.Store(int64(info.NumPending) + int64(info.NumAckPending))
			r.c.note(nil)
			if !info.Created.Equal(created) {
				if is, err := r.c.js.Stream(ctx, r.c.o.Stream); err == nil {
					if created = info.Created; !is.CachedInfo().Created.Equal(since) {
						r.mu.Lock()
						r.estrange()
						r.mu.Unlock()
						return
					}
				}
			}
		default:
			r.c.lag.Store(-1)
			err = fmt.Errorf("nats: consumer %q of stream %q: %w", r.c.o.Durable, r.c.o.Stream, err)
			r.c.note(err)
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
				missing++
			} else {
				missing = 0
			}
			if missing == sure || r.c.o.Conn.IsClosed() {
				r.end(err)
				return
			}
		}
		sleep(ctx, min(every, r.c.o.AckWait/4))
	}
}

// hold tells the servers of what is in hand and was not spoken of for a while, so that they
// do not give it to others.
func (r *run) hold() {
	now := time.Now()
	var of []*message
	r.mu.Lock()
	for _, m := range r.held {
		if now.Sub(m.told) >= r.c.o.AckWait/4 {
			m.told = now
			of = append(of, m)
		}
	}
	r.mu.Unlock()
	r.reply(progress, of)
}
