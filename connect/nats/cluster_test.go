package nats_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// full says that there is time for the long forms.
var full = os.Getenv("BEACON_FAULTS") == "full"

// The leader of a stream of three replicas dies under load, and comes back. Calls fail for
// now, in bounded time, and go on; every event that was acknowledged comes to the Sink of a
// consumer, in the order of its session but for what was tried again.
func TestClusterLeaderDies(t *testing.T) {
	t.Parallel()
	const (
		publishers = 8
		timeout    = 2 * time.Second
	)
	kills := 1
	if full {
		kills = 12
	}
	cluster := natstest.StartCluster(t)
	conn := natstest.Connect(t, cluster.URL(), nats.RetryOnFailedConnect(true))
	if err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{Replicas: 5}); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("5 replicas of 3: %v", err)
	}
	var r beacontest.Recorder
	c, stop := consume(t, beaconnats.ConsumerOptions{Conn: natstest.Connect(t, cluster.URL()), AckWait: 5 * time.Second}, &r)
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Timeout: timeout})

	// Several have the same events at the same time. Servers that store a message together
	// refuse another one of its ID meanwhile, which is no reason to fail.
	patient := newSink(t, beaconnats.SinkOptions{Conn: conn, Timeout: patience})
	var twins sync.WaitGroup
	for range 4 {
		twins.Go(func() {
			if err := patient.Consume(t.Context(), visit("twin", 0, 200)); err != nil {
				t.Error(err)
			}
		})
	}
	twins.Wait()

	ctx, cancel := context.WithCancel(t.Context())
	var acked, refusals atomic.Int64
	var slowest [publishers]time.Duration
	var sent [publishers]int
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i += 10 {
				for { // as a spool does
					began := time.Now()
					err := sink.Consume(context.Background(), visit(fmt.Sprint("s", p), i, 10))
					slowest[p] = max(slowest[p], time.Since(began))
					if err == nil {
						break
					}
					if beacon.IsPermanent(err) {
						t.Error(err)
						return
					}
					refusals.Add(1)
					time.Sleep(50 * time.Millisecond)
				}
				acked.Add(10)
				sent[p] += 10
				time.Sleep(time.Millisecond) // the servers share this machine
			}
		})
	}
	for range kills {
		from := acked.Load()
		eventually(t, "it goes well", func() bool { return acked.Load() > from+500 })
		dead := cluster.KillLeader(conn, "beacon")
		from = acked.Load()
		eventually(t, "it goes on", func() bool { return acked.Load() > from+500 })
		cluster.Start(dead)
		cluster.Current(conn, "beacon")
	}
	cancel()
	wg.Wait()
	total := int(acked.Load())
	eventually(t, "all that was acknowledged came", func() bool { return len(times(r.Events())) >= total && c.Stats().Lag == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	got := times(r.Events())
	for p := range publishers {
		for i := range sent[p] {
			if got[fmt.Sprintf("s%d:%d", p, i)] == 0 {
				t.Errorf("s%d:%d was acknowledged, and did not come", p, i)
			}
		}
		if slowest[p] > timeout+5*time.Second { // and what a busy machine adds
			t.Errorf("a call took %v", slowest[p])
		}
	}
	t.Logf("%d acknowledged, %d calls refused, slowest %v, %d came twice", total, refusals.Load(), slowest, len(r.Events())-len(got))
}

// A Consumer whose Sink is slower than the log asks for no more than it has room for. So
// nothing gets lost between the servers of a cluster when it stops to ask, to come again
// after AckWait only, behind what was after it.
func TestClusterSlowSink(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	conn := natstest.Connect(t, cluster.URL(), nats.RetryOnFailedConnect(true))
	if err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	fill(t, conn, "beacon", 50, 200)
	o := beaconnats.ConsumerOptions{Conn: conn, MaxEvents: 400, AckWait: 10 * time.Second}
	if _, err := beaconnats.NewConsumer(until(t), o); err != nil {
		t.Fatal(err)
	}
	js, _ := jetstream.New(conn)
	durable, err := js.Consumer(until(t), "beacon", "beacon")
	if err != nil {
		t.Fatal(err)
	}
	o.Conn = natstest.Connect(t, cluster.Without(durable.CachedInfo().Cluster.Leader))
	var r beacontest.Recorder
	c, stop := consume(t, o, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		time.Sleep(20 * time.Millisecond)
		return r.Consume(ctx, events)
	}))
	eventually(t, "all came", func() bool { return len(times(r.Events())) == 10000 })
	s := c.Stats()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s.Redelivered > 200 {
		t.Errorf("%d came again", s.Redelivered)
	}
}
