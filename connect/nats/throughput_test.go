package nats_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// The connector beside the bare client library, by turns on one server in this process, in
// files, with one replica. Both send and receive the same: the library is given messages
// that it has to make from events, and once more messages that were made before; what it
// receives it makes events of. The medians are compared, of as many rounds as there is time
// for: a machine has its moods.
func TestThroughput(t *testing.T) {
	rounds, n := 1, 2000
	if full {
		rounds, n = 7, 40_000
	}
	server := natstest.Start(t, nil)
	events := load(n)
	rates := map[string][]float64{}
	for i := range rounds {
		conn := natstest.Connect(t, server.URL())
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"ours", "bare", "made"} {
			name := fmt.Sprint(s, i)
			one(t, conn, name)
			switch s {
			case "ours":
				rates["publish"] = append(rates["publish"], publish(t, conn, name, slices.Clone(events)))
				rates["consume"] = append(rates["consume"], receive(t, conn, name, n))
			case "bare":
				rates["publish, bare"] = append(rates["publish, bare"], publishBare(t, conn, name, events, false))
				rates["consume, bare"] = append(rates["consume, bare"], receiveBare(t, conn, name, n))
			case "made":
				rates["publish, bare, made before"] = append(rates["publish, bare, made before"], publishBare(t, conn, name, events, true))
			}
			if err := js.DeleteStream(until(t), name); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
	}
	median := func(what string) float64 {
		slices.Sort(rates[what])
		return rates[what][rounds/2]
	}
	for _, of := range [][2]string{{"publish", "publish, bare"}, {"publish", "publish, bare, made before"}, {"consume", "consume, bare"}} {
		ours, bare := median(of[0]), median(of[1])
		t.Logf("%s: %.0f events/s; %s: %.0f; ratio %.2f", of[0], ours, of[1], bare, ours/bare)
	}
}

const (
	callers = 8    // of Consume, as a spool or several have them
	batch   = 1000 // events of a call
)

// load makes events such as a client of package client sends.
func load(n int) []beacon.Event {
	events := make([]beacon.Event, 0, n)
	for i := 0; len(events) < n; i++ {
		for _, e := range visit(fmt.Sprintf("3f2a9c1e-%08d", i), 0, 10) {
			e.View = e.Session + "-1"
			e.Page = "https://www.example.com/products/shoes"
			e.Request.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
			e.Request.Origin, e.Request.ContentType = "https://www.example.com", "text/plain;charset=UTF-8"
			e.Body = beacon.JSON(`{"visible":12000,"engaged":8000,"scroll":0.73,"start":1767323045000,"end":1767323057000}`)
			events = append(events, e)
		}
	}
	return events[:n]
}

// timed returns how many of n a second f did.
func timed(n int, f func()) float64 {
	began := time.Now()
	f()
	return float64(n) / time.Since(began).Seconds()
}

func publish(t testing.TB, conn *nats.Conn, stream string, events []beacon.Event) float64 {
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Stream: stream, Timeout: patience})
	defer sink.Close(context.Background())
	return timed(len(events), func() {
		batches := make(chan []beacon.Event)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for b := range batches {
					if err := sink.Consume(context.Background(), b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for b := range slices.Chunk(events, batch) {
			batches <- b
		}
		close(batches)
		wg.Wait()
	})
}

func publishBare(t testing.TB, conn *nats.Conn, stream string, events []beacon.Event, before bool) float64 {
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { t.Error(err) }))
	if err != nil {
		t.Fatal(err)
	}
	defer js.CleanupPublisher()
	message := func(i int) *nats.Msg {
		e := &events[i]
		data, err := e.MarshalJSON()
		if err != nil {
			t.Error(err)
		}
		h := nats.Header{"Nats-Msg-Id": {e.ID + "@dtc6hs0wnqp8"}, "Nats-Expected-Stream": {stream}}
		for _, a := range connect.Headers(e) {
			h["ce-"+a.Name] = []string{a.Value}
		}
		return &nats.Msg{Subject: fmt.Sprint(stream, ".", i%16), Header: h, Data: data}
	}
	made := make([]*nats.Msg, len(events))
	for i := range events {
		if before {
			made[i] = message(i)
		}
	}
	return timed(len(events), func() {
		for i := range events {
			m := made[i]
			if m == nil {
				m = message(i)
			}
			if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(patience)); err != nil {
				t.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
	})
}

func receive(t testing.TB, conn *nats.Conn, stream string, n int) float64 {
	var count atomic.Int64
	done := make(chan struct{})
	c, err := beaconnats.NewConsumer(until(t), beaconnats.ConsumerOptions{Conn: conn, Stream: stream, Subject: stream})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	rate := timed(n, func() {
		go func() {
			ended <- c.Consume(context.Background(), beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if count.Add(int64(len(events))) == int64(n) {
					close(done)
				}
				return nil
			}))
		}()
		<-done
	})
	if err := c.Close(until(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return rate
}

func receiveBare(t testing.TB, conn *nats.Conn, stream string, n int) float64 {
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(until(t), stream, jetstream.ConsumerConfig{Durable: "bare", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1 << 17})
	if err != nil {
		t.Fatal(err)
	}
	return timed(n, func() {
		done := make(chan struct{})
		count := 0
		pulling, err := c.Consume(func(m jetstream.Msg) {
			var e beacon.Event
			if err := json.Unmarshal(m.Data(), &e); err != nil {
				t.Error(err)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			if count++; count == n {
				close(done)
			}
		}, jetstream.PullMaxMessages(1000))
		if err != nil {
			t.Fatal(err)
		}
		<-done
		pulling.Stop()
	})
}
