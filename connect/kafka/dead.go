package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kerr"
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

// keep writes dead letters. It returns which of them the dead-letter topic does not have, and why.
func (c *Consumer) keep(ctx context.Context, letters []*kgo.Record) (failed []int, err error) {
	errs := c.produce(ctx, letters)
	if len(letters) > 1 {
		for i := range letters {
			if errors.Is(errs[i], kerr.MessageTooLarge) { // the batch may have been, of letters that are not
				errs[i] = c.produce(ctx, letters[i:i+1])[0]
			}
		}
	}
	for i := range errs {
		if errs[i] != nil {
			failed, err = append(failed, i), fmt.Errorf("dead letters are not kept: %w", explain(c.o.DeadTopic, errs[i]))
		}
	}
	return failed, err
}

// produce writes records, and returns what became of each.
func (c *Consumer) produce(ctx context.Context, letters []*kgo.Record) []error {
	errs := make([]error, len(letters))
	at := make(map[*kgo.Record]int, len(letters))
	sent := make([]*kgo.Record, len(letters))
	for i, l := range letters { // the client writes into what it is given
		sent[i] = &kgo.Record{Topic: l.Topic, Key: l.Key, Value: l.Value, Headers: l.Headers}
		at[sent[i]] = i
	}
	for _, r := range c.cl.ProduceSync(ctx, sent...) {
		errs[at[r.Record]] = r.Err
	}
	return errs
}

// bury is the Dead of the Relay.
func (c *Consumer) bury(ctx context.Context, dead []connect.Letter[tag]) error {
	letters := make([]*kgo.Record, len(dead))
	for i := range dead {
		letters[i] = letterOf(c.o.DeadTopic, dead[i].Tag.source.record.Load(), dead[i].Why)
	}
	failed, err := c.keep(ctx, letters)
	if len(failed) == 0 || len(failed) == len(letters) {
		return err
	}
	return &beacon.PartialError{Failed: failed, Err: err}
}

// A morgue has what cannot be read, on its way to the dead-letter topic. While that does not
// take it others go on, up to a bound.
type morgue struct {
	c    *Consumer
	more chan struct{} // there is something
	left chan struct{} // there is room

	mu      sync.Mutex
	letters []*kgo.Record
	tags    []tag
	bytes   int64
	failure error // of the last attempt
}

// How much that cannot be read may wait; one record always may.
const (
	unreadable      = 1000
	unreadableBytes = 16 << 20
)

func newMorgue(c *Consumer) *morgue {
	return &morgue{c: c, more: make(chan struct{}, 1), left: make(chan struct{}, 1)}
}

// add waits for room. There is one call of it at a time.
func (m *morgue) add(ctx context.Context, t tag, why error) error {
	letter := letterOf(m.c.o.DeadTopic, own(t.source.record.Load()), why)
	size := recordSize(letter)
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.letters) > 0 && (len(m.letters) >= unreadable || m.bytes+size > unreadableBytes) {
		m.mu.Unlock()
		var err error
		select {
		case <-m.left:
		case <-ctx.Done():
			err = ctx.Err()
		}
		m.mu.Lock()
		if err != nil {
			return err
		}
	}
	m.letters, m.tags, m.bytes = append(m.letters, letter), append(m.tags, t), m.bytes+size
	signal(m.more)
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes what comes until ctx ends. It tries again, by itself, what is not taken.
func (m *morgue) run(ctx context.Context) {
	for fails := 0; ; {
		more, retry := m.more, (<-chan time.Time)(nil)
		if fails > 0 {
			more, retry = nil, time.After(min(5*time.Second, 50*time.Millisecond<<min(fails, 7)))
		}
		select {
		case <-more:
		case <-retry:
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		letters := m.letters[:len(m.letters):len(m.letters)]
		m.mu.Unlock()
		if len(letters) == 0 {
			fails = 0
			continue
		}
		failed, err := m.c.keep(ctx, letters)
		if err != nil && ctx.Err() != nil {
			return
		}
		if err != nil {
			m.c.log.Error("kafka: records that are no events cannot be set aside", "topic", m.c.o.DeadTopic, "error", err, "records", len(failed))
			fails++
		} else {
			fails = 0
		}
		m.settle(len(letters), failed, err)
	}
}

// settle lets go of the first n letters but for those that failed.
func (m *morgue) settle(n int, failed []int, why error) {
	var kept []tag
	var letters []*kgo.Record
	var tags []tag
	m.mu.Lock()
	for i := range m.letters {
		if i >= n || len(failed) > 0 && failed[0] == i {
			if i < n {
				failed = failed[1:]
			}
			letters, tags = append(letters, m.letters[i]), append(tags, m.tags[i])
			continue
		}
		kept, m.bytes = append(kept, m.tags[i]), m.bytes-recordSize(m.letters[i])
	}
	m.letters, m.tags, m.failure = letters, tags, why
	m.mu.Unlock()
	signal(m.left)
	m.c.settle(kept)
}

// failing returns why what cannot be read is not set aside, if it is not.
func (m *morgue) failing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}
