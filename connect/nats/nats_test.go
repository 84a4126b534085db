package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// patience is for what takes a moment, on a machine that has other things to do.
const patience = time.Minute

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not: %s", what)
		}
	}
}

func until(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// one makes a stream on a single server.
func one(t testing.TB, conn *nats.Conn, name string) {
	t.Helper()
	if err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{Name: name, Subject: name, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
}

func newSink(t testing.TB, o beaconnats.SinkOptions) *beaconnats.Sink {
	t.Helper()
	if o.Stream != "" && o.Subject == "" {
		o.Subject = o.Stream
	}
	s, err := beaconnats.NewSink(until(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// consume runs a Consumer, and returns it with a function that ends it and returns the
// error of Consume.
func consume(t testing.TB, o beaconnats.ConsumerOptions, next beacon.Sink) (*beaconnats.Consumer, func() error) {
	t.Helper()
	if o.Stream != "" && o.Subject == "" {
		o.Subject = o.Stream
	}
	c, err := beaconnats.NewConsumer(until(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Consume(ctx, next) }()
	stop := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("Consume does not return")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return c, stop
}

// stored returns all events of a stream.
func stored(t testing.TB, conn *nats.Conn, stream string) (events []beacon.Event) {
	t.Helper()
	for _, m := range messages(t, conn, stream) {
		var e beacon.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func messages(t testing.TB, conn *nats.Conn, stream string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(until(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(until(t), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// visit makes events of a session, numbered from first on.
func visit(session string, first, n int) (events []beacon.Event) {
	for i := range n {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(first+i) * time.Millisecond)
		events = append(events, beacon.Event{
			ID: fmt.Sprintf("%s:%d", session, first+i), Session: session, Name: "click", Seq: uint64(first + i + 1), Time: at, Received: at,
			Body: beacon.JSON(fmt.Sprintf(`{"n":%d}`, first+i)), Request: beacon.Request{Method: "POST", Host: "example.com", Path: "/beacon"},
		})
	}
	return events
}

func TestSinkKeepsTheContract(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	conn := natstest.Connect(t, server.URL())
	n := 0
	err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
		n++
		name := fmt.Sprint("rule", n)
		one(t, conn, name)
		return newSink(t, beaconnats.SinkOptions{Conn: conn, Stream: name}), func() []beacon.Event { return stored(t, conn, name) }
	})
	if err != nil {
		t.Error(err)
	}
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	conn := natstest.Connect(t, server.URL())
	one(t, conn, "beacon")
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
	var r beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: conn}, &r)
	for i := range 20 {
		for s := range 10 {
			if err := sink.Consume(t.Context(), visit(fmt.Sprint("s", s), 10*i, 10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all 2,000 came", func() bool { return len(r.Events()) == 2000 })
	next := map[string]uint64{}
	for _, e := range r.Events() {
		if e.Seq != next[e.Session]+1 {
			t.Fatalf("%s: %d after %d", e.Session, e.Seq, next[e.Session])
		}
		next[e.Session] = e.Seq
	}
	eventually(t, "all is acknowledged", func() bool { return c.Stats().Lag == 0 })
	if err := c.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Received != 2000 || s.Delivered != 2000 || s.Redelivered != 0 || s.Held != 0 {
		t.Errorf("%+v", s)
	}
}

// noLeaks checks that f, called again, leaves no goroutine behind. The first time the
// server may start some that stay.
func noLeaks(t *testing.T, f func()) {
	t.Helper()
	f()
	before := runtime.NumGoroutine()
	for range 3 {
		f()
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before+2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
