package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits commits what is settled, now and then, until ctx ends.
func (s *session) commits(ctx context.Context) {
	t := time.NewTicker(commitInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		s.detach(time.Now())
		s.committing.Lock()
		one, cancel := context.WithTimeout(ctx, 5*commitInterval)
		s.commit(one, s.owned())
		cancel()
		s.committing.Unlock()
	}
}

// commit commits what is settled of partitions that are ours. What fails is committed the
// next time. The caller holds committing: else a commit might be on its way while the
// partition goes, and take the next one's commits back.
func (s *session) commit(ctx context.Context, parts []*partition) {
	offsets := map[int32]kgo.EpochOffset{}
	byID := map[int32]*partition{}
	for _, p := range parts {
		if offset, ok := p.uncommitted(); ok {
			offsets[p.id], byID[p.id] = offset, p
		}
	}
	if len(offsets) == 0 {
		return
	}
	var failure error
	s.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.c.o.Topic: offsets}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failure = err
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failure = err
				} else if of := byID[p.Partition]; of != nil {
					of.wasCommitted(offsets[p.Partition].Offset)
				}
			}
		}
	})
	if failure != nil && ctx.Err() == nil {
		s.c.log.Warn("kafka: consumer: offsets are not committed; it is tried again", "topic", s.c.o.Topic, "group", s.c.o.Group, "error", failure)
	}
}

// lags asks how long the log is, now and then, until ctx ends: what is not read, as while a
// store is away, does not tell.
func (s *session) lags(ctx context.Context) {
	t := time.NewTicker(lagInterval)
	defer t.Stop()
	for {
		one, cancel := context.WithTimeout(ctx, lagInterval)
		s.measure(one)
		cancel()
		select {
		case <-t.C:
		case <-s.came:
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) measure(ctx context.Context) {
	parts := map[int32]*partition{}
	var unread []int32
	for _, p := range s.owned() {
		parts[p.id] = p
		if p.isFresh() {
			unread = append(unread, p.id)
		}
	}
	if len(parts) == 0 {
		return
	}
	for id, end := range s.offsets(ctx, slices.Collect(maps.Keys(parts)), latest) {
		parts[id].reach(end)
	}
	if len(unread) > 0 {
		for id, start := range s.offsets(ctx, unread, earliest) {
			parts[id].begin(start)
		}
	}
}

// What ListOffsets takes for a time.
const (
	latest   = -1
	earliest = -2
)

func (s *session) offsets(ctx context.Context, ids []int32, at int64) map[int32]int64 {
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = s.c.o.Topic
	for _, id := range ids {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = id, at
		t.Partitions = append(t.Partitions, p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1 // read committed: what is read
	req.Topics = append(req.Topics, t)
	found := map[int32]int64{}
	resp, err := s.c.cl.Request(ctx, req)
	if err != nil {
		return found // the next time
	}
	for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 && p.Offset >= 0 {
				found[p.Partition] = p.Offset
			}
		}
	}
	return found
}

// Healthy returns nil if the group's events get through: the topic can be read, and the Sink
// takes them, see [connect.Relay.Healthy]; and there is a dead-letter topic. It waits for 2 seconds at most. While Consume does
// not run it is an error.
func (c *Consumer) Healthy(ctx context.Context) error {
	c.mu.Lock()
	closed, current, failure := c.closed, c.current, c.failure
	c.mu.Unlock()
	switch {
	case closed:
		return connect.ErrClosed
	case failure != nil:
		return failure
	case current == nil:
		return errIdle
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := healthyTopic(ctx, c.cl, c.o.Topic); err != nil {
		return err
	}
	if err := current.morgue.failing(); err != nil {
		return err
	}
	if err := healthyTopic(ctx, c.cl, c.o.DeadTopic); err != nil {
		return fmt.Errorf("dead letters could not be kept: %w", err)
	}
	return current.relay.Healthy(ctx)
}

// Stats returns counts since the Consumer was made. Lag is that of the partitions which are
// this consumer's: the sum over all consumers of a group is the group's. Transactions of
// others and compaction leave offsets that are no record, so there it is an upper bound.
func (c *Consumer) Stats() connect.ConsumerStats {
	c.mu.Lock()
	stats, current := c.stats, c.current
	stats.RelayStats, stats.Lag = c.past, -1
	stats.SinkSeconds.Counts = slices.Clone(stats.SinkSeconds.Counts)
	c.mu.Unlock()
	if current == nil {
		return stats
	}
	stats.RelayStats = addStats(stats.RelayStats, current.relay.Stats())
	current.mu.Lock()
	joined := current.joined
	current.mu.Unlock()
	if !joined {
		return stats
	}
	stats.Lag = 0
	for _, p := range current.owned() {
		lag, ok := p.lag()
		if !ok {
			stats.Lag = -1
			break
		}
		stats.Lag += lag
	}
	return stats
}

var errIdle = errors.New("kafka: Consume is not running")

// addStats adds the counts of Relays that are over to those of the one that is the last.
func addStats(past, last connect.RelayStats) connect.RelayStats {
	last.Added += past.Added
	last.Delivered += past.Delivered
	last.Dead += past.Dead
	last.Forgotten += past.Forgotten
	last.SinkErrors += past.SinkErrors
	last.DeadErrors += past.DeadErrors
	if last.LastDelivery.IsZero() {
		last.LastDelivery = past.LastDelivery
	}
	last.SinkSeconds.Counts = slices.Clone(last.SinkSeconds.Counts)
	for i, n := range past.SinkSeconds.Counts {
		last.SinkSeconds.Counts[i] += n
	}
	last.SinkSeconds.Sum += past.SinkSeconds.Sum
	return last
}
