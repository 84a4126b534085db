package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// What Consume has not brought through when it ends is given back, and another process has
// it long before AckWait.
func TestConsumerDrains(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	fill(t, conn, "beacon", 10, 100)
	var r beacontest.Recorder
	var calls atomic.Int64
	first, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, DrainTimeout: 100 * time.Millisecond, AckWait: time.Hour, BatchEvents: 10}, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		if calls.Add(1) > 20 {
			<-ctx.Done()
			return ctx.Err()
		}
		return r.Consume(ctx, events)
	}))
	eventually(t, "it hangs", func() bool { return calls.Load() > 20 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := first.Consume(t.Context(), &r); err == nil {
		t.Error("Consume a second time: no error")
	}
	taken := len(r.Events())
	second, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, AckWait: time.Hour}, &r)
	eventually(t, "all are acknowledged", func() bool { return second.Stats().Lag == 0 && len(times(r.Events())) == 1000 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := len(r.Events()); n != 1000 || taken == 0 || taken == 1000 {
		t.Errorf("%d of 1,000 at first, %d in all", taken, n)
	}
}

// What it has when its context ends is brought through, if the Sink goes on.
func TestConsumerFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	fill(t, conn, "beacon", 10, 100)
	var r beacontest.Recorder
	open := make(chan struct{})
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, DrainTimeout: patience}, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		<-open
		return r.Consume(ctx, events)
	}))
	eventually(t, "it has all", func() bool { return c.Stats().Held == 1000 })
	time.AfterFunc(50*time.Millisecond, func() { close(open) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := len(r.Events()); n != 1000 || c.Stats().Held != 0 {
		t.Errorf("%d were brought through, %+v", n, c.Stats())
	}
}

func TestConsumerClose(t *testing.T) {
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	noLeaks(t, func() {
		var r beacontest.Recorder
		c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn}, &r)
		sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
		if err := sink.Consume(t.Context(), visit(fmt.Sprint("s", time.Now().UnixNano()), 0, 10)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all came", func() bool { return len(r.Events()) == 10 })
		for range 2 {
			if err := c.Close(until(t)); err != nil {
				t.Error(err)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := c.Healthy(t.Context()); !errors.Is(err, connect.ErrClosed) {
			t.Error(err)
		}
		if err := sink.Close(until(t)); err != nil {
			t.Error(err)
		}
		never, err := beaconnats.NewConsumer(until(t), beaconnats.ConsumerOptions{Conn: conn})
		if err != nil {
			t.Fatal(err)
		}
		if err := never.Close(until(t)); err != nil {
			t.Error(err)
		}
		if err := never.Consume(t.Context(), &r); !errors.Is(err, connect.ErrClosed) {
			t.Error(err)
		}
	})
}

// A server that ends and comes back, and one that comes late, cost nothing but time.
func TestConsumerServerAway(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	conn := natstest.Connect(t, server.URL())
	one(t, conn, "beacon")
	var r beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn, AckWait: 2 * time.Second}, &r)
	for i := range 3 {
		fill(t, conn, "beacon", 5, 20*(i+1))
		eventually(t, "some came", func() bool { return len(times(r.Events())) >= 100*i+1 })
		server.Stop()
		late := natstest.Connect(t, server.URL(), nats.RetryOnFailedConnect(true))
		d, stopLate := consume(t, beaconnats.ConsumerOptions{Conn: late, AckWait: 2 * time.Second}, &r)
		for _, c := range []*beaconnats.Consumer{c, d} {
			eventually(t, "it is not well", func() bool { return c.Healthy(t.Context()) != nil })
		}
		server.Start()
		eventually(t, "all came", func() bool { return len(times(r.Events())) == 100*(i+1) })
		for _, c := range []*beaconnats.Consumer{c, d} {
			eventually(t, "it is well", func() bool { return c.Healthy(t.Context()) == nil && c.Stats().Lag == 0 })
		}
		if err := stopLate(); err != nil {
			t.Error(err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// What Consume cannot go on without ends it, and says what it was.
func TestConsumerDeleted(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		delete func(js jetstream.JetStream) error
		want   error
	}{
		"the stream":   {func(js jetstream.JetStream) error { return js.DeleteStream(context.Background(), "beacon") }, jetstream.ErrStreamNotFound},
		"the consumer": {func(js jetstream.JetStream) error { return js.DeleteConsumer(context.Background(), "beacon", "beacon") }, jetstream.ErrConsumerNotFound},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn := natstest.Connect(t, natstest.Start(t, nil).URL())
			one(t, conn, "beacon")
			fill(t, conn, "beacon", 1, 10)
			var r beacontest.Recorder
			consumer, err := beaconnats.NewConsumer(until(t), beaconnats.ConsumerOptions{Conn: conn})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				if err := consumer.Consume(until(t), &r); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "beacon") {
					t.Error(err)
				}
			})
			eventually(t, "all came", func() bool { return len(r.Events()) == 10 && consumer.Healthy(t.Context()) == nil })
			js, _ := jetstream.New(conn)
			if err := c.delete(js); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is not well", func() bool { return consumer.Healthy(t.Context()) != nil })
		})
	}
}

// The stream is deleted and made anew while a Consumer has messages of the old one. It does
// not acknowledge those that have their places now.
func TestConsumerStreamMadeAnew(t *testing.T) {
	t.Parallel()
	for name, room := range map[string]int{"as what comes shows": 1000, "as the servers say": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := natstest.Connect(t, natstest.Start(t, nil).URL())
			one(t, conn, "beacon")
			fill(t, conn, "beacon", 10, 10)
			o := beaconnats.ConsumerOptions{Conn: conn, AckWait: 2 * time.Second, MaxEvents: room}
			consumer, err := beaconnats.NewConsumer(until(t), o)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				err := consumer.Consume(until(t), beacon.SinkFunc(func(ctx context.Context, _ []beacon.Event) error {
					for ctx.Err() == nil && !errors.Is(consumer.Healthy(ctx), connect.ErrClosed) {
						time.Sleep(time.Millisecond)
					}
					return nil // when Consume drains
				}))
				if err == nil || !strings.Contains(err.Error(), "made anew") {
					t.Error(err)
				}
			})
			eventually(t, "it has all", func() bool { return consumer.Stats().Held == 100 })
			js, _ := jetstream.New(conn)
			if err := js.DeleteStream(until(t), "beacon"); err != nil {
				t.Fatal(err)
			}
			one(t, conn, "beacon")
			after, err := beaconnats.NewConsumer(until(t), o)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, conn, "beacon", 20, 10)
			wg.Wait()
			var r beacontest.Recorder
			ctx, cancel := context.WithCancel(until(t))
			wg.Go(func() {
				if err := after.Consume(ctx, &r); err != nil {
					t.Error(err)
				}
			})
			eventually(t, "all is acknowledged", func() bool { return after.Stats().Lag == 0 })
			cancel()
			wg.Wait()
			if n := len(times(r.Events())); n != 200 {
				t.Errorf("%d of 200 came", n)
			}
		})
	}
}
