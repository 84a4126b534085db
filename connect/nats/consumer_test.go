package nats_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// fill writes n events of each of so many sessions.
func fill(t testing.TB, conn *nats.Conn, stream string, sessions, n int) {
	t.Helper()
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Stream: stream, Timeout: patience})
	for i := 0; i < n; i += 10 {
		var some []beacon.Event
		for s := range sessions {
			some = append(some, visit(fmt.Sprint("s", s), i, min(10, n-i))...)
		}
		if err := sink.Consume(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
}

// times counts how often each event is there.
func times(events []beacon.Event) map[string]int {
	n := map[string]int{}
	for i := range events {
		n[events[i].ID]++
	}
	return n
}

// A meddler is a connection on which some of what the client says about messages gets lost.
type meddler struct {
	what  string // such as "+ACK"
	every int64  // one of so many is lost
	n     atomic.Int64
}

func (m *meddler) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &meddled{c, m}, err
}

type meddled struct {
	net.Conn
	m *meddler
}

// Write has the server get something in its place that means nothing to it.
func (c *meddled) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	what := []byte("\r\n" + c.m.what)
	for from := 0; ; {
		i := bytes.Index(b[from:], what)
		if i < 0 {
			return c.Conn.Write(b)
		}
		from += i + len(what)
		if c.m.n.Add(1)%c.m.every == 0 {
			copy(b[from-len(c.m.what):], strings.Repeat("?", len(c.m.what)))
		}
	}
}

// A tenth of the acknowledgements gets lost. Those messages come again, until all are
// acknowledged.
func TestConsumerRedelivery(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	conn := natstest.Connect(t, server.URL())
	one(t, conn, "beacon")
	fill(t, conn, "beacon", 20, 100)
	bad := natstest.Connect(t, server.URL(), nats.SetCustomDialer(&meddler{what: "+ACK", every: 10}))
	var r beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: bad, AckWait: time.Second}, &r)
	eventually(t, "all 2,000 are acknowledged", func() bool { return len(times(r.Events())) == 2000 && c.Stats().Lag == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	again := len(r.Events()) - 2000
	// What came again while it was held, on a busy machine, was not given to the Sink twice.
	if s := c.Stats(); again < 200 || s.Redelivered < uint64(again) || s.Delivered != uint64(2000+again) {
		t.Errorf("%d came again, %+v", again, s)
	}
}

// The Sink takes longer than the servers wait. They are told, and nothing comes again; when
// they do not hear it, it comes again and is known.
func TestConsumerHoldsWhatItHas(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]string{"told": "nothing", "not heard": "+WPI"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := natstest.Start(t, nil)
			conn := natstest.Connect(t, server.URL())
			one(t, conn, "beacon")
			fill(t, conn, "beacon", 5, 40)
			bad := natstest.Connect(t, server.URL(), nats.SetCustomDialer(&meddler{what: lost, every: 1}))
			open := make(chan struct{})
			var r beacontest.Recorder
			c, stop := consume(t, beaconnats.ConsumerOptions{Conn: bad, AckWait: 2 * time.Second}, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
				<-open
				return r.Consume(ctx, events)
			}))
			eventually(t, "all came", func() bool { return c.Stats().Held == 200 })
			time.Sleep(5 * time.Second) // is what is tested: more than twice AckWait
			again := c.Stats().Redelivered
			if told := lost != "+WPI"; told != (again == 0) {
				t.Errorf("%d came again", again)
			}
			close(open)
			eventually(t, "all are acknowledged", func() bool { return c.Stats().Lag == 0 })
			if err := stop(); err != nil {
				t.Error(err)
			}
			for id, n := range times(r.Events()) {
				if n != 1 {
					t.Errorf("%s: given %d times", id, n)
				}
			}
			if n := len(r.Events()); n != 200 {
				t.Errorf("%d were given", n)
			}
		})
	}
}

// A process is gone, with all that it had. Whatever it had not acknowledged comes to another
// one, so that every event got to a Sink.
func TestConsumerDies(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	conn := natstest.Connect(t, server.URL())
	one(t, conn, "beacon")
	fill(t, conn, "beacon", 20, 100)
	var r beacontest.Recorder
	o := beaconnats.ConsumerOptions{AckWait: time.Second, BatchEvents: 10, MaxEvents: 100, DrainTimeout: time.Millisecond}
	for i := range 5 {
		o.Conn = natstest.Connect(t, server.URL())
		c, err := beaconnats.NewConsumer(until(t), o)
		if err != nil {
			t.Fatal(err)
		}
		var taken atomic.Int64
		ended := make(chan error, 1)
		go func() {
			ended <- c.Consume(context.Background(), beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
				if taken.Add(int64(len(events))) > 200 {
					<-ctx.Done()
					return ctx.Err() // the store did not answer any more
				}
				return r.Consume(ctx, events)
			}))
		}()
		eventually(t, "it has done something", func() bool { return taken.Load() > 200 })
		o.Conn.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, nats.ErrConnectionClosed) {
				t.Errorf("process %d: %v", i, err)
			}
		case <-time.After(patience):
			t.Fatalf("process %d goes on without a connection", i)
		}
	}
	o.Conn, o.DrainTimeout = conn, 0
	c, stop := consume(t, o, &r)
	eventually(t, "all 2,000 are there", func() bool { return len(times(r.Events())) == 2000 && c.Stats().Lag == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Two processes have the same stream at the same time, each with shards of its own: each
// session is in order, at one of them.
func TestConsumerShardsKeepOrder(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	shards := [][]int{nil, nil}
	for i := range 16 {
		shards[i%2] = append(shards[i%2], i)
	}
	var r [2]beacontest.Recorder
	var stops []func() error
	for i := range r {
		_, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, Durable: fmt.Sprint("part", i), Shards: shards[i]}, &r[i])
		stops = append(stops, stop)
	}
	fill(t, conn, "beacon", 40, 100)
	eventually(t, "all came", func() bool { return len(r[0].Events())+len(r[1].Events()) == 4000 })
	of := map[string]int{}
	next := map[string]uint64{}
	for i := range r {
		for _, e := range r[i].Events() {
			if was, ok := of[e.Session]; ok && was != i {
				t.Fatalf("%s came to both", e.Session)
			}
			of[e.Session] = i
			if e.Seq != next[e.Session]+1 {
				t.Fatalf("%s: %d after %d", e.Session, e.Seq, next[e.Session])
			}
			next[e.Session] = e.Seq
		}
		if err := stops[i](); err != nil {
			t.Error(err)
		}
	}
	if len(r[0].Events()) == 0 || len(r[1].Events()) == 0 {
		t.Error("one had nothing")
	}
}

// What the Sink never takes, and what is no event, goes to the stream of dead letters as it
// was, and others pass it.
func TestConsumerPoison(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	for _, m := range []*nats.Msg{
		{Subject: "beacon.3", Data: []byte(`{"v":1,"id":`), Header: nats.Header{"X-Of": {"a", "b"}, "Nats-Msg-Id": {"n"}}},
		{Subject: "beacon.4"},
	} {
		if _, err := conn.RequestMsg(m, patience); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, conn, "beacon", 10, 10)
	was := messages(t, conn, "beacon")
	var r beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn}, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		for _, e := range events {
			if e.ID == "s3:5" {
				return fmt.Errorf("%w: no such\r\nsite", beacon.ErrPermanent)
			}
		}
		return r.Consume(ctx, events)
	}))
	eventually(t, "all is through", func() bool { return len(r.Events()) == 99 && c.Stats().Lag == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Dead != 1 || s.Undecodable != 2 || s.Delivered != 99 {
		t.Errorf("%+v", s)
	}
	letters := messages(t, conn, "beacon_dead")
	found := 0
	for _, l := range letters {
		for _, m := range was {
			if l.Header.Get("Beacon-Sequence") != fmt.Sprint(m.Sequence) {
				continue
			}
			found++
			want := nats.Header{}
			for name, values := range m.Header {
				if !strings.HasPrefix(name, "Nats-") {
					want[name] = values
				}
			}
			for _, own := range []string{"Beacon-Why", "Beacon-Sequence", "Nats-Msg-Id", "Nats-Expected-Stream"} {
				want.Set(own, l.Header.Get(own))
			}
			want.Set("Beacon-Stream", "beacon")
			want.Set("Beacon-Subject", m.Subject)
			if d := cmp.Diff(want, l.Header); d != "" {
				t.Error(d)
			}
			if !bytes.Equal(l.Data, m.Data) || l.Subject != strings.Replace(m.Subject, "beacon.", "beacon.dead.", 1) {
				t.Errorf("%s: %q, was %s: %q", l.Subject, l.Data, m.Subject, m.Data)
			}
			if why := l.Header.Get("Beacon-Why"); !strings.Contains(why, "not valid JSON") && !strings.Contains(why, "no such") {
				t.Errorf("why: %q", why)
			}
		}
	}
	if found != 3 || len(letters) != 3 {
		t.Errorf("%d letters, %d of them known", len(letters), found)
	}
	// They are events again, when that is mended, like those of any stream.
	var again beacontest.Recorder
	dead, stopDead := consume(t, beaconnats.ConsumerOptions{Conn: conn, Stream: "beacon_dead", Subject: "beacon.dead"}, &again)
	eventually(t, "the letters are read", func() bool { return dead.Stats().Lag == 0 && dead.Stats().Received == 3 })
	if err := stopDead(); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(visit("s3", 5, 1), again.Events(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}

// A letter that is too large with the reason in it leaves out what it must. A message that
// the log has forgotten is written anew.
func TestConsumerPoisonInAnyCase(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	js, _ := jetstream.New(conn)
	large := visit("large", 0, 1)[0]
	large.Body = beacon.Text(strings.Repeat("x", 1<<20-500))
	b, _ := large.MarshalJSON()
	head := nats.Header{"X": {strings.Repeat("x", 1<<20-len(b)-50)}}
	for _, m := range []*nats.Msg{
		{Subject: "beacon.0", Data: b, Header: head},
		{Subject: "beacon.0", Data: bytes.Repeat([]byte("x"), 1<<20)},
	} {
		if _, err := js.PublishMsg(until(t), m); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, conn, "beacon", 1, 1)
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, Parallel: 1, BatchEvents: 1}, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		s, err := js.Stream(until(t), "beacon")
		if err == nil && events[0].Session == "s0" {
			err = s.DeleteMsg(until(t), 3)
		}
		if err != nil {
			t.Error(err)
		}
		return beacon.ErrPermanent
	}))
	eventually(t, "all is through", func() bool { return c.Stats().Dead == 2 && c.Stats().Lag == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	got := map[string]string{}
	for _, l := range messages(t, conn, "beacon_dead") {
		got[l.Header.Get("Beacon-Sequence")] = fmt.Sprint(len(l.Data), " ", l.Header.Get("Beacon-Cut"), " ", l.Header.Get("X") != "")
	}
	last, _ := visit("s0", 0, 1)[0].MarshalJSON()
	want := map[string]string{"1": fmt.Sprint(len(b), " headers false"), "2": "0 data false", "3": fmt.Sprint(len(last), "  false")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The Sink is away. The process takes what it has room for and no more, others get the
// rest, and it goes on afterwards.
func TestConsumerBounds(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	var away atomic.Bool
	away.Store(true)
	var r, other beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, MaxEvents: 100}, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		if away.Load() {
			return errors.New("connection refused")
		}
		return r.Consume(ctx, events)
	}))
	fill(t, conn, "beacon", 10, 100)
	eventually(t, "it has enough", func() bool { return c.Stats().Held >= 100 })
	fill(t, conn, "beacon", 30, 400)
	d, stopOther := consume(t, beaconnats.ConsumerOptions{Conn: conn}, &other)
	eventually(t, "another one has the rest", func() bool {
		return d.Stats().Lag == int64(c.Stats().Received) && d.Stats().Held == 0
	})
	// It asks for what it has room for; perhaps twice, when it hears nothing of the servers.
	if s := c.Stats(); s.Received < 100 || s.Received > 300 || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
	if err := c.Healthy(t.Context()); err == nil {
		t.Error("healthy without a store")
	}
	away.Store(false)
	eventually(t, "all are acknowledged", func() bool { return d.Stats().Lag == 0 && c.Stats().Held == 0 })
	if n := len(times(append(r.Events(), other.Events()...))); n != 30*400 {
		t.Errorf("%d came", n)
	}
	for _, stop := range []func() error{stop, stopOther} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
