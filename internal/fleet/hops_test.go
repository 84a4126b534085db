package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/internal/visits"
)

// TestHops states what each hop costs, on this machine and with all on it. It compares with
// nothing that was measured at another time: what the connectors are compared with runs in
// turns with them.
func TestHops(t *testing.T) {
	t.Run("receiver", func(t *testing.T) {
		n := pick(2_000, 30_000)
		w := wanted(t, n)
		ways := []struct{ name, sink, store string }{
			{"browser → receiver → spool → nothing", "nothing", "sqlite"},
			{"browser → receiver → spool → PostgreSQL", "store", "postgresql"},
			{"browser → receiver → spool → ClickHouse", "store", "clickhouse"},
		}
		for _, c := range ways[:pick(1, len(ways))] {
			f := begin(t, plan{store: c.store, sink: c.sink, receivers: 1})
			l := f.browsers(w)
			if err := l.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, "the spool is empty", func() bool {
				var r receiverReport
				return stats(f.receivers.get(0), &r) == nil && r.Spool.Pending == 0
			})
			took := time.Since(l.began)
			db := ""
			if f.db.server != nil {
				db = fmt.Sprintf(", database %.0f", micros(f.db.server.CPU(), len(w.of)))
			}
			t.Logf("%-42s %6.0f requests/s taken, %6.0f/s through; CPU µs of an event: receiver %.0f%s, browsers %.0f",
				c.name, l.perSecond(), float64(w.requests)/took.Seconds(), micros(f.receivers.cpu(), len(w.of)), db, micros(l.cpu, len(w.of)))
			f.end()
		}
	})
	for _, log := range []string{"jetstream", "kafka"} {
		t.Run(log, func(t *testing.T) { hops(t, log) })
	}
	if !full { // TestFleet is all of it
		return
	}
	for _, log := range []string{"jetstream", "kafka"} {
		for _, store := range []string{"postgresql", "clickhouse"} {
			t.Run("chain/"+log+"/"+store, func(t *testing.T) { chain(t, log, store) })
		}
	}
}

func micros(d time.Duration, n int) float64 { return float64(d.Microseconds()) / float64(n) }

// eventsOf are n events that browsers send, each once.
func eventsOf(t *testing.T, n int) (all []beacon.Event) {
	t.Helper()
	known := map[string]bool{}
	h, err := beacon.New(beacon.Config{Enrich: visits.Played, Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			if !known[e.ID] {
				known[e.ID], all = true, append(all, e)
			}
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(all) < n; i++ {
		for _, q := range requestsOf(i) {
			r, err := q.HTTP(t.Context(), "http://127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			h.ServeHTTP(&answer{header: http.Header{}}, r)
		}
	}
	return all[:n]
}

// A cost is what one way to do something took.
type cost struct {
	name       string
	rates      []float64     // events a second, of each round
	own, other time.Duration // CPU of this process, and of the log or the store
	events     int
}

func (c *cost) String() string {
	return fmt.Sprintf("%-34s %7.0f events/s; CPU µs of an event: here %5.1f, there %5.1f", c.name, c.best(), micros(c.own, c.events), micros(c.other, c.events))
}

// best is the fastest round: what else the machine does only makes it slower.
func (c *cost) best() float64 { return slices.Max(c.rates) }

// round measures one of n events.
func (c *cost) round(t *testing.T, n int, other func() time.Duration, do func() error) {
	t.Helper()
	own, before, began := ownCPU(), other(), time.Now()
	if err := do(); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	c.rates = append(c.rates, float64(n)/time.Since(began).Seconds())
	c.own += ownCPU() - own
	c.other += other() - before
	c.events += n
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// hops measures the sink and the consumer of a log beside the client that they are made of.
func hops(t *testing.T, log string) {
	n, rounds := pick(1_000, 20_000), pick(1, 3)
	f := begin(t, plan{log: log, store: "sqlite", sync: "always"})
	ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, time.Hour))
	defer cancel()
	spec := f.log.spec()
	events := eventsOf(t, n)
	texts := make([][]byte, n)
	for i := range events {
		texts[i], _ = events[i].AppendJSON(nil)
	}
	sink, _, err := spec.sink(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer beacon.Close(ctx, sink)

	// Into the log: calls as a spool makes them, one after the other, and the client as it is
	// fastest. Each is in a log of its own name, so that no identity was there before.
	ours := &cost{name: log + ": events → Sink"}
	alike, bare := &cost{name: log + ": bytes → client, such calls"}, &cost{name: log + ": bytes → client"}
	for round := range rounds {
		batch := slices.Clone(events)
		for i := range batch { // new to the log
			batch[i].ID = fmt.Sprintf("%d:%s", round, batch[i].ID)
		}
		ours.round(t, n, f.log.processes().cpu, func() error {
			for chunk := range slices.Chunk(batch, 1000) {
				if err := sink.Consume(ctx, slices.Clone(chunk)); err != nil {
					return err
				}
			}
			return nil
		})
		alike.round(t, n, f.log.processes().cpu, func() error { return produce(ctx, spec, texts, fmt.Sprint("a", round), 1000) })
		bare.round(t, n, f.log.processes().cpu, func() error { return produce(ctx, spec, texts, fmt.Sprint("b", round), n) })
	}
	t.Log(ours)
	t.Log(alike)
	t.Log(bare)
	t.Logf("the Sink is at %.0f %% of the client that is called alike", 100*ours.best()/alike.best())

	// And out of it, of all that is there by now.
	total := 3 * n
	reads := []*cost{{name: log + ": Consumer → nothing"}, {name: log + ": bare client → unmarshalled"}, {name: log + ": bare client → bytes"}}
	for round := range rounds {
		for i, c := range reads {
			group := fmt.Sprintf("group%d-%d", round, i)
			c.round(t, total, f.log.processes().cpu, func() error {
				if i == 0 {
					return spec.readThrough(ctx, group, total, discard)
				}
				return readBare(ctx, spec, group, total, i == 1)
			})
		}
	}
	for _, c := range reads {
		t.Log(c)
	}
	t.Logf("the Consumer is at %.0f %% of the client that unmarshals, and %.0f %% of one that does not look at what it has",
		100*reads[0].best()/reads[1].best(), 100*reads[0].best()/reads[2].best())

	// Into a store each.
	for _, kind := range pick([]string{"postgresql"}, []string{"postgresql", "clickhouse"}) {
		db, err := startDatabase(kind, f.dir)
		if db != nil {
			defer db.end()
		}
		if err != nil {
			t.Fatal(err)
		}
		st, err := db.spec.open(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &cost{name: log + ": Consumer → " + kind}
		c.round(t, total, db.server.CPU, func() error { return spec.readThrough(ctx, "store-"+kind, total, st) })
		t.Log(c)
	}
}

var discard = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

// readThrough reads n events of a log into a sink.
func (s LogSpec) readThrough(ctx context.Context, group string, n int, next beacon.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var r reader
	var err error
	if s.Kind == "kafka" {
		r, err = kafka.NewConsumer(ctx, kafka.ConsumerOptions{Topic: topicName, Group: group, Client: s.client()})
	} else {
		conn, e := s.connection()
		if e != nil {
			return e
		}
		defer conn.Close()
		r, err = nats.NewConsumer(ctx, nats.ConsumerOptions{Conn: conn, Stream: streamName, Subject: subject, Durable: group})
	}
	if err != nil {
		return err
	}
	var got atomic.Int64
	err = r.Consume(ctx, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		k := len(events)
		if err := next.Consume(ctx, events); err != nil {
			return err
		}
		if got.Add(int64(k)) >= int64(n) {
			cancel()
		}
		return nil
	}))
	return err
}

// produce writes messages with the client alone, so many at a time.
func produce(ctx context.Context, s LogSpec, texts [][]byte, name string, at int) error {
	if s.Kind == "kafka" {
		c, err := kgo.NewClient(append(s.client(), kgo.DefaultProduceTopic(topicName), kgo.MaxBufferedRecords(50_000))...)
		if err != nil {
			return err
		}
		defer c.Close()
		for chunk := range slices.Chunk(texts, at) {
			var records []*kgo.Record
			for i, text := range chunk {
				records = append(records, &kgo.Record{Key: fmt.Append(nil, i%100), Value: text})
			}
			if err := c.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return err
			}
		}
		return nil
	}
	conn, err := s.connection()
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	n := 0
	for chunk := range slices.Chunk(texts, at) {
		var acks []jetstream.PubAckFuture
		for _, text := range chunk {
			n++
			ack, err := js.PublishAsync(fmt.Sprintf("%s.%d", subject, n%16), text, jetstream.WithMsgID(fmt.Sprintf("%s-%d", name, n)), jetstream.WithStallWait(time.Minute))
			if err != nil {
				return err
			}
			acks = append(acks, ack)
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// readBare reads n messages with the client alone, and acknowledges them.
func readBare(ctx context.Context, s LogSpec, group string, n int, unmarshal bool) error {
	look := func(text []byte) error {
		if !unmarshal {
			return nil
		}
		var e beacon.Event
		return e.UnmarshalJSON(text)
	}
	if s.Kind == "kafka" {
		c, err := kgo.NewClient(append(s.client(), kgo.ConsumeTopics(topicName), kgo.ConsumerGroup(group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			return err
		}
		defer c.Close()
		for n > 0 && err == nil {
			fetches := c.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) {
				n--
				if e := look(r.Value); e != nil {
					err = e
				}
			})
		}
		return err
	}
	conn, err := s.connection()
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	c, err := js.CreateConsumer(ctx, streamName, jetstream.ConsumerConfig{Durable: group, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: math.MaxInt16})
	if err != nil {
		return err
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(8000))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for ; n > 0; n-- {
		m, err := messages.Next()
		for errors.Is(err, jetstream.ErrNoHeartbeat) { // which it says on a busy machine, and goes on
			m, err = messages.Next()
		}
		if err != nil {
			return err
		}
		if err := look(m.Data()); err != nil {
			return err
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return conn.FlushWithContext(ctx)
}

// chain measures all of it at once, with nothing going wrong.
func chain(t *testing.T, log, store string) {
	w := wanted(t, pick(2_000, 30_000))
	f := begin(t, plan{log: log, store: store, sync: "always", receivers: 3, consumers: 2})
	ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, time.Hour))
	defer cancel()
	l := f.browsers(w)
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.drained(ctx, len(w.of), patience); err != nil {
		t.Fatal(err)
	}
	took, n := time.Since(l.began), len(w.of)
	t.Logf("%6.0f requests/s taken, %6.0f events/s through; CPU µs of an event: receivers %.0f, log %.0f, consumers %.0f, database %.0f, browsers %.0f", l.perSecond(), float64(n)/took.Seconds(),
		micros(f.receivers.cpu(), n), micros(f.log.processes().cpu(), n), micros(f.consumers.cpu(), n), micros(f.db.server.CPU(), n), micros(l.cpu, n))
}
