package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that a dead letter has beside those of its record, which it keeps along with
// the key and the value.
const (
	DeadWhy       = "beacon-dead-why"       // the error, cut to 500 bytes
	DeadTopic     = "beacon-dead-topic"     // where it was
	DeadPartition = "beacon-dead-partition" // in decimal
	DeadOffset    = "beacon-dead-offset"    // in decimal
	DeadTime      = "beacon-dead-time"      // when it was given up, in RFC 3339
)

// lettersRoom is more than what these headers take.
const lettersRoom = 1500

// letterOf returns the dead letter of a record.
func letterOf(topic string, r *kgo.Record, why error) *kgo.Record {
	text := strings.ToValidUTF8(why.Error(), "\uFFFD")
	text = strings.ToValidUTF8(text[:min(len(text), 500)], "")
	headers := append(make([]kgo.RecordHeader, 0, len(r.Headers)+5), r.Headers...)
	for _, h := range [...][2]string{
		{DeadWhy, text}, {DeadTopic, r.Topic}, {DeadPartition, strconv.Itoa(int(r.Partition))},
		{DeadOffset, strconv.FormatInt(r.Offset, 10)}, {DeadTime, time.Now().UTC().Format(time.RFC3339Nano)},
	} {
		headers = append(headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: headers}
}

// keep writes dead letters, and returns nil when the dead-letter topic has them all.
func (c *Consumer) keep(ctx context.Context, letters []*kgo.Record) error {
	if err := c.cl.ProduceSync(ctx, letters...).FirstErr(); err != nil {
		return fmt.Errorf("dead letters are not kept: %w", explain(c.o.DeadTopic, err))
	}
	return nil
}

// bury is the Dead of the Relay.
func (c *Consumer) bury(ctx context.Context, dead []connect.Letter[tag]) error {
	letters := make([]*kgo.Record, len(dead))
	for i := range dead {
		letters[i] = letterOf(c.o.DeadTopic, dead[i].Tag.record, dead[i].Why)
	}
	return c.keep(ctx, letters)
}

// A morgue has what cannot be read, on its way to the dead-letter topic. While that does not
// take it others go on, up to a bound.
type morgue struct {
	c    *Consumer
	room chan struct{} // has one for each that waits
	more chan struct{}

	mu      sync.Mutex
	letters []*kgo.Record
	tags    []tag
}

// unreadable is how many records that cannot be read may wait.
const unreadable = 1000

func newMorgue(c *Consumer) *morgue {
	return &morgue{c: c, room: make(chan struct{}, unreadable), more: make(chan struct{}, 1)}
}

// add waits for room.
func (m *morgue) add(ctx context.Context, t tag, why error) error {
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters, m.tags = append(m.letters, letterOf(m.c.o.DeadTopic, t.record, why)), append(m.tags, t)
	select {
	case m.more <- struct{}{}:
	default:
	}
	return nil
}

// run writes what comes until ctx ends.
func (m *morgue) run(ctx context.Context) {
	for fails := 0; ; {
		var retry <-chan time.Time
		if fails > 0 {
			retry = time.After(min(5*time.Second, 50*time.Millisecond<<min(fails, 7)))
		}
		select {
		case <-m.more:
			if retry != nil {
				select {
				case <-retry:
				case <-ctx.Done():
					return
				}
			}
		case <-retry:
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		letters, tags := m.letters, m.tags
		m.mu.Unlock()
		if len(letters) == 0 {
			continue
		}
		again := make([]*kgo.Record, len(letters)) // the client writes into what it is given
		for i, l := range letters {
			again[i] = &kgo.Record{Topic: l.Topic, Key: l.Key, Value: l.Value, Headers: l.Headers}
		}
		if err := m.c.keep(ctx, again); err != nil {
			if ctx.Err() == nil {
				m.c.log.Error("kafka: records that are no events cannot be set aside", "topic", m.c.o.DeadTopic, "error", err, "records", len(letters))
				fails++
			}
			continue
		}
		fails = 0
		m.mu.Lock()
		m.letters, m.tags = m.letters[len(letters):], m.tags[len(tags):]
		m.mu.Unlock()
		m.c.settle(tags)
		for range tags {
			<-m.room
		}
	}
}
