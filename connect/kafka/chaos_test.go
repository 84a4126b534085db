package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// full says whether the long forms of the tests are wanted.
var full = os.Getenv("BEACON_FAULTS") == "full"

// A network is that of one process. It can be cut, and for good, as if the process had died:
// then it commits nothing more and does not leave its group.
type network struct {
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		_ = c.Close()
		return nil, errors.New("the process is dead")
	}
	n.conns = append(n.conns, c)
	return c, nil
}

func (n *network) cut(forGood bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = n.dead || forGood
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func (n *network) client(opts []kgo.Opt) []kgo.Opt {
	return append(slices.Clone(opts), kgo.Dialer(n.dial))
}

// disturb does something to the cluster that happens to clusters.
func disturb(r *rand.Rand, c *kfake.Cluster, nets ...*network) {
	fault := func(err *kerr.Error, keys ...kmsg.Key) {
		c.Fault(kfake.Fault{Keys: keys, Err: err, Count: 1 + r.IntN(3)})
	}
	switch r.IntN(9) {
	case 0:
		c.ShufflePartitionLeaders()
	case 1:
		c.RehashCoordinators()
	case 2:
		fault(kerr.NotLeaderForPartition, kmsg.Produce, kmsg.Fetch)
	case 3:
		fault(kerr.RequestTimedOut, kmsg.Produce) // after it was written
	case 4:
		fault(kerr.NotEnoughReplicasAfterAppend, kmsg.Produce)
	case 5:
		fault(kerr.OutOfOrderSequenceNumber, kmsg.Produce)
	case 6:
		fault(kerr.CoordinatorLoadInProgress, kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.Heartbeat)
	case 7:
		fault(kerr.UnknownTopicOrPartition, kmsg.Fetch, kmsg.ListOffsets)
	default:
		if len(nets) > 0 {
			nets[r.IntN(len(nets))].cut(false)
		}
	}
}

// Whatever happens to the brokers: an event for which Consume returned nil is in the log, and
// those of a session are there in order.
func TestSinkUnderFaults(t *testing.T) {
	t.Parallel()
	c, client := cluster(t)
	long := 4 * time.Second
	if full {
		long = 3 * time.Minute
	}
	var net network
	sink := newSink(t, net.client(client))
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for r := rand.New(rand.NewPCG(1, 2)); ; {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(r.IntN(200)) * time.Millisecond):
				disturb(r, c, &net)
			}
		}
	})
	const spools, sessions = 4, 10 // as many receivers, each with sessions of its own
	var delivering sync.WaitGroup
	var rounds atomic.Int64
	end := time.Now().Add(long)
	for spool := range spools {
		delivering.Go(func() {
			for n := 0; n < 5 || time.Now().Before(end); n++ {
				rounds.Add(1)
				events := make([]beacon.Event, 0, sessions*3)
				for s := range sessions {
					for k := range 3 {
						events = append(events, event(fmt.Sprint("s", spool, ".", s), 3*n+k+1))
					}
				}
				for len(events) > 0 {
					err := sink.Consume(t.Context(), slices.Clone(events))
					if err == nil {
						break
					}
					if beacon.IsPermanent(err) {
						t.Errorf("permanent: %v", err)
						return
					}
					if part, ok := errors.AsType[*beacon.PartialError](err); ok {
						var failed []beacon.Event
						for _, i := range part.Failed {
							failed = append(failed, events[i])
						}
						events = failed
					}
				}
			}
		})
	}
	delivering.Wait()
	close(stop)
	running.Wait()
	want := sessions * 3 * int(rounds.Load())
	t.Logf("%d events", want)
	first := map[string]int{}
	last := map[string]uint64{}
	for _, r := range logged(t, c, client) {
		var e beacon.Event
		if err := e.UnmarshalJSON(r.Value); err != nil {
			t.Fatal(err)
		}
		if first[e.ID]++; first[e.ID] > 1 {
			continue
		}
		if e.Seq != last[e.Session]+1 {
			t.Fatalf("session %s: event %d comes after %d", e.Session, e.Seq, last[e.Session])
		}
		last[e.Session] = e.Seq
	}
	if len(first) != want {
		t.Errorf("%d events are in the log, want %d", len(first), want)
	}
}

// logged returns what is in the topic, each partition in order.
func logged(t testing.TB, c *kfake.Cluster, client []kgo.Opt) []*kgo.Record {
	t.Helper()
	n := int64(0)
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	rs := records(t, client, topic, int(n))
	slices.SortStableFunc(rs, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return rs
}

// Consumers join, leave and die, the cluster has its troubles, and the store its own: nothing
// is ever committed that is not stored, all is stored in the end, and what is stored of a
// session is stored in order.
func TestConsumersUnderFaults(t *testing.T) {
	t.Parallel()
	c, client := cluster(t)
	sessions, per, waves := 30, 60, 1
	if full {
		sessions, per, waves = 300, 200, 10
	}
	sink := newSink(t, client)
	ids := fill(t, sink, sessions, per)
	at := map[int32][]string{}
	for _, r := range logged(t, c, client) {
		if int64(len(at[r.Partition])) != r.Offset {
			t.Fatalf("partition %d has a gap before %d", r.Partition, r.Offset)
		}
		at[r.Partition] = append(at[r.Partition], header(r, "ce_id"))
	}

	calls := 0
	s := &store{fail: func(events []beacon.Event) error {
		if calls++; calls%7 == 0 {
			return errors.New("the store is away for a moment")
		}
		return nil
	}}
	var commits atomic.Int64
	// Each commit is looked at when the broker gets it, before it is acted upon.
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range topic.Partitions {
				commits.Add(1)
				for _, id := range at[p.Partition][:p.Offset] {
					if !s.has(id) {
						t.Errorf("partition %d is committed up to %d, and event %s is not stored", p.Partition, p.Offset, id)
					}
				}
			}
		}
		return false
	}})

	type member struct {
		net  *network
		stop func()
	}
	join := func() member {
		net := new(network)
		m := newConsumer(t, net.client(client), func(o *kafka.ConsumerOptions) {
			o.DrainTimeout, o.BatchEvents, o.MaxEvents = 500*time.Millisecond, 20, 500
			o.Client = append(o.Client, kgo.SessionTimeout(time.Second), kgo.RebalanceTimeout(2*time.Second))
		})
		return member{net, consume(t, m, beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			time.Sleep(time.Duration(len(events)) * 8 * time.Millisecond) // that more than one has something to do
			return s.Consume(ctx, events)
		}))}
	}
	r := rand.New(rand.NewPCG(3, 4))
	members := []member{join(), join()}
	died, left := 0, 0
	for range waves {
		for range 12 {
			time.Sleep(time.Duration(500+r.IntN(500)) * time.Millisecond)
			disturb(r, c, members[0].net)
			switch n := len(members); {
			case n < 2 || n < 4 && r.IntN(3) == 0:
				members = append(members, join())
			case r.IntN(2) == 0:
				members[0].net.cut(true)
				go members[0].stop()
				members = members[1:]
				died++
			default:
				go members[0].stop()
				members = members[1:]
				left++
			}
		}
		// This broker waits for those that have died while they joined from anew whenever
		// another joins: without a rest no rebalance would ever have to end.
		had := s.len()
		waitFor(t, "those that are left go on", func() bool { return s.len() > had || s.len() == len(ids) })
	}
	waitFor(t, "all is stored", func() bool { return s.len() == len(ids) })
	for _, m := range members {
		m.stop()
	}
	t.Logf("%d consumers died, %d left; %d commits", died, left, commits.Load())
	if died == 0 || left == 0 || commits.Load() == 0 {
		t.Error("nobody died, or left, or committed")
	}
	for id := range ids {
		if !s.has(id) {
			t.Errorf("event %s is lost", id)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for session, order := range s.order {
		if !slices.IsSorted(order) {
			t.Errorf("session %s was stored in the order %v", session, order)
		}
	}
}
