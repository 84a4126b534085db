package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A session is one membership in the group, from joining it to leaving it.
type session struct {
	c      *Consumer
	cl     *kgo.Client
	relay  *connect.Relay[tag]
	morgue *morgue
	drain  time.Duration // how long to wait when partitions go

	// The gate is held while a record is handed on. Who wants it to stop ends adding first.
	gate sync.Mutex

	mu     sync.Mutex
	parts  map[int32]*partition // that are ours
	over   context.Context      // of Consume
	adding context.Context      // of what hands records on
	stop   context.CancelFunc   // ends adding
	joined bool                 // partitions were shared out

	came       chan struct{} // partitions have
	committing sync.Mutex    // one commit at a time, and none when partitions have gone
}

const (
	pollRecords    = 1000
	commitInterval = time.Second
	lagInterval    = 5 * time.Second
)

// session joins the group and delivers until ctx ends. The error is one that only joining
// anew can mend.
func (c *Consumer) session(ctx context.Context, next beacon.Sink) error {
	s := &session{c: c, parts: map[int32]*partition{}, morgue: newMorgue(c), over: ctx, came: make(chan struct{}, 1)}
	s.adding, s.stop = context.WithCancel(ctx)
	var err error
	if s.relay, err = connect.NewRelay(next, c.relayOptions(c.settle)); err != nil {
		return err
	}
	if s.cl, err = newClient(s.choices(), c.o.Client, s.fixed()); err != nil {
		return errors.Join(err, s.relay.Close(context.Background()))
	}
	s.drain = c.o.DrainTimeout
	if t, ok := s.cl.OptValue(kgo.RebalanceTimeout).(time.Duration); ok {
		s.drain = min(s.drain, t/2)
	}
	c.mu.Lock()
	c.current = s
	c.mu.Unlock()

	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.morgue.run(beside) })
	running.Go(func() { s.commits(beside) })
	running.Go(func() { s.lags(beside) })
	err = s.read(ctx)
	s.end()
	stop()
	running.Wait()
	c.mu.Lock()
	c.past = addStats(c.past, s.relay.Stats())
	c.current = nil
	c.mu.Unlock()
	return err
}

// choices are our options, before those of the host.
func (s *session) choices() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(16 << 20),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// Clients reckon what brokers lost by time. What comes twice costs little.
		kgo.ConsumeResetOffset(kgo.RewindOffset(time.Hour)),
	}
	if s.c.o.Logger != nil {
		opts = append(opts, kgo.WithLogger(slogger{s.c.o.Logger}))
	}
	return opts
}

// fixed are the options that are not the host's.
func (s *session) fixed() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(s.c.o.Group), kgo.ConsumeTopics(s.c.o.Topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.assigned), kgo.OnPartitionsRevoked(s.revoked), kgo.OnPartitionsLost(s.lost),
		kgo.OnOffsetsFetched(s.fetched),
	}
}

// read hands on what comes until ctx ends, or there is an error that the client does not get
// over.
func (s *session) read(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches := s.cl.PollRecords(ctx, pollRecords)
		var fatal error
		fetches.EachError(func(topic string, id int32, err error) { fatal = cmp.Or(fatal, s.fetchError(ctx, id, err)) })
		// No partition comes or goes between the poll and AllowRebalance, which is the time to
		// find out whose records these are. To hand them on may take as long as the store is
		// away, and must not keep others from joining the group.
		var tags []tag
		if n := fetches.NumRecords(); n > 0 {
			tags = s.count(fetches, n)
		}
		s.cl.AllowRebalance()
		for part := range slices.Chunk(tags, decodeTogether) {
			for i, a := range decode(part) {
				if err := s.hand(ctx, part[i], a); err != nil {
					return nil // the end of ctx
				}
				part[i] = tag{}
			}
		}
		if fatal != nil {
			return fatal
		}
	}
	return nil
}

// fetchError tells of an error of a fetch. It returns those that the client does not get
// over by itself.
func (s *session) fetchError(ctx context.Context, id int32, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		s.c.log.Error("kafka: consumer: brokers have lost records that were acknowledged", "topic", s.c.o.Topic, "partition", id, "error", loss)
		return nil
	}
	err = explainFetch(s.c.o.Topic, s.c.o.Group, err)
	s.c.fail(err)
	s.c.log.Error("kafka: consumer: not everything can be read", "topic", s.c.o.Topic, "partition", id, "error", err)
	if _, ok := errors.AsType[*kgo.ErrGroupSession](err); ok {
		return nil // it joins again by itself
	}
	return err
}

func explainFetch(topic, group string, err error) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("kafka: topic %s: its ACLs have to allow Read and Describe: %w", topic, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("kafka: group %s: its ACLs have to allow Read: %w", group, err)
	}
	return explain(topic, err)
}

// count notes the records that were read with their partitions.
func (s *session) count(fetches kgo.Fetches, n int) []tag {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.failure = nil
	s.c.stats.Received += uint64(n)
	tags, now := make([]tag, 0, n), time.Now()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		p := s.parts[f.Partition]
		if p == nil { // not told of it; it cannot be, but then it is ours
			p = newPartition(s.c.o.Topic, f.Partition)
			s.parts[f.Partition] = p
		}
		p.reach(f.LastStableOffset)
		for _, r := range f.Records {
			if r.Offset < s.c.seen[f.Partition] {
				s.c.stats.Redelivered++
			} else {
				s.c.seen[f.Partition] = r.Offset + 1
			}
			tags = append(tags, tag{of: p, number: p.add(r), source: newSource(r, now)})
		}
	})
	return tags
}

// hand gives a record to the Relay, or to the dead-letter topic if it is no event. The error
// is that of ctx. A record of a partition that has gone is left out.
func (s *session) hand(ctx context.Context, t tag, a arrival) error {
	if a.unreadable != nil {
		s.c.mu.Lock()
		s.c.stats.Undecodable++
		s.c.mu.Unlock()
	}
	for {
		s.gate.Lock()
		s.mu.Lock()
		adding := s.adding
		s.mu.Unlock()
		if t.of.isClosed() {
			s.gate.Unlock()
			return nil
		}
		var err error
		if a.unreadable != nil {
			err = s.morgue.add(adding, t, a.unreadable)
		} else {
			err = s.relay.Add(adding, a.event, t)
		}
		if err == nil {
			t.of.hand(t.number)
		}
		s.gate.Unlock()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// assigned is told of partitions that are ours from now on.
func (s *session) assigned(_ context.Context, cl *kgo.Client, topics map[string][]int32) {
	s.c.fail(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined = true
	for _, id := range topics[s.c.o.Topic] {
		s.parts[id] = newPartition(s.c.o.Topic, id)
	}
}

// fetched is told where the group was in partitions that came.
func (s *session) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	at := map[int32]int64{}
	for _, g := range resp.Groups { // since version 8
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				at[p.Partition] = p.Offset
			}
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			at[p.Partition] = p.Offset
		}
	}
	for _, p := range s.owned() {
		if offset, ok := at[p.id]; ok {
			p.begin(offset)
		}
	}
	select {
	case s.came <- struct{}{}:
	default:
	}
	return nil
}

// revoked is told of partitions that go to another consumer, or of all when we leave, while
// they are still ours: what is in hand is delivered, and committed, if that does not take
// long.
func (s *session) revoked(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
	parts := s.take(topics)
	if len(parts) == 0 {
		return
	}
	wait, cancel := context.WithTimeout(ctx, s.drain)
	defer cancel()
	s.stopAdding(parts)
	for _, p := range parts {
		select {
		case <-p.quiet():
		case <-wait.Done():
		}
	}
	s.committing.Lock()
	defer s.committing.Unlock()
	commit, cancelCommit := context.WithTimeout(ctx, s.drain)
	defer cancelCommit()
	s.commit(commit, parts)
	s.part(parts)
}

// lost is told of partitions that have gone to another consumer already.
func (s *session) lost(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	parts := s.take(topics)
	if len(parts) == 0 {
		return
	}
	s.stopAdding(parts)
	s.committing.Lock()
	defer s.committing.Unlock()
	s.part(parts)
}

// take takes partitions out of those that are ours.
func (s *session) take(topics map[string][]int32) []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []*partition
	for _, id := range topics[s.c.o.Topic] {
		if p := s.parts[id]; p != nil {
			parts = append(parts, p)
			delete(s.parts, id)
		}
	}
	return parts
}

// stopAdding makes sure that no further record of the partitions is handed on.
func (s *session) stopAdding(parts []*partition) {
	for _, p := range parts {
		p.close()
	}
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.gate.Lock() // what was on its way is there, or was given up
	defer s.gate.Unlock()
	for _, p := range parts {
		p.trim()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adding, s.stop = context.WithCancel(s.over)
}

// part lets go of what is left of partitions that are somebody else's.
func (s *session) part(parts []*partition) {
	left := 0
	for _, p := range parts {
		left += p.leave()
	}
	if left > 0 {
		s.relay.Forget(func(t tag) bool { return t.of.isGone() })
	}
}

// end delivers what is in hand, if that does not take long, commits, and leaves the group.
func (s *session) end() {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	parts := s.owned()
	s.stopAdding(parts)
	if err := s.relay.Flush(ctx); err != nil {
		s.c.log.Warn("kafka: consumer: not all was delivered that had been read; it will come again", "topic", s.c.o.Topic, "group", s.c.o.Group, "error", err)
	}
	for _, p := range parts { // what cannot be read goes another way
		select {
		case <-p.quiet():
		case <-ctx.Done():
		}
	}
	// To commit and to leave takes a few round trips, and saves others to wait for the session
	// timeout: there is time for that, even if there was little for the Sink.
	late, cancelLate := context.WithTimeout(context.Background(), max(s.drain, 5*time.Second))
	defer cancelLate()
	s.committing.Lock()
	s.commit(late, s.owned())
	s.committing.Unlock()
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	_ = s.relay.Close(ctx)                         // said above
	s.relay.Forget(func(tag) bool { return true }) // it is in the log
	for _, p := range s.owned() {
		p.leave()
	}
	s.mu.Lock()
	clear(s.parts)
	s.mu.Unlock()
	if err := closeClient(late, s.cl); err != nil {
		s.c.log.Warn("kafka: consumer: the group was not left; it will miss a member until its session timeout", "group", s.c.o.Group, "error", err)
	}
}

// owned returns the partitions that are ours.
func (s *session) owned() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := make([]*partition, 0, len(s.parts))
	for _, p := range s.parts {
		parts = append(parts, p)
	}
	return parts
}
