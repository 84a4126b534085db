package kafka

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/twmb/franz-go/pkg/kgo"
)

// An arrival is what a record turns out to be: an event, or unreadable.
type arrival struct {
	event      beacon.Event
	unreadable error
}

// decodeTogether is how many records are made events of at a time, which are in memory twice
// then, and decodeShare how few are worth a goroutine.
const (
	decodeTogether = 256
	decodeShare    = 32
)

// decode makes events of records, on several processors: nothing else that a consumer does
// takes as long.
func decode(tags []tag) []arrival {
	arrivals := make([]arrival, len(tags))
	share := max(decodeShare, (len(tags)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var running sync.WaitGroup
	for from := 0; from < len(tags); from += share {
		some := func() {
			for i := from; i < min(from+share, len(tags)); i++ {
				arrivals[i].unreadable = arrivals[i].event.UnmarshalJSON(tags[i].source.record.Load().Value)
			}
		}
		if from+share >= len(tags) {
			some() // the last is ours
		} else {
			running.Go(some)
		}
	}
	running.Wait()
	return arrivals
}

// A source is the record that an event came from, kept for a dead letter's sake. What the
// client returns keeps all of its batch in memory, and one record in a thousand may be all
// that is held: so one that is held for long is copied. Most are not.
type source struct {
	record atomic.Pointer[kgo.Record]
	read   time.Time // zero once the record is a copy
}

func newSource(r *kgo.Record, read time.Time) *source {
	s := &source{read: read}
	s.record.Store(r)
	return s
}

// longHeld is when a record is copied.
const longHeld = time.Second

// detach copies the records that have been held for long. There is one call of it at a time.
func (s *session) detach(now time.Time) {
	for t := range s.relay.Held() {
		if of := t.source; !of.read.IsZero() && now.Sub(of.read) >= longHeld {
			of.record.Store(own(of.record.Load()))
			of.read = time.Time{}
		}
	}
}

// own returns a copy of a record.
func own(r *kgo.Record) *kgo.Record {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Value)
	}
	b := make([]byte, 0, n)
	cut := func(from []byte) []byte {
		if from == nil {
			return nil
		}
		at := len(b)
		b = append(b, from...)
		return b[at:len(b):len(b)]
	}
	c := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: cut(r.Key), Value: cut(r.Value)}
	if len(r.Headers) > 0 {
		c.Headers = make([]kgo.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			c.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: cut(h.Value)}
		}
	}
	return c
}
