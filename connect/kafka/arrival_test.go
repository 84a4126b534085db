package kafka

import (
	"context"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDetach: what is held for long is a copy, so that it does not keep what it was read
// with; what is not, is none.
func TestDetach(t *testing.T) {
	away := beacon.SinkFunc(func(ctx context.Context, _ []beacon.Event) error { <-ctx.Done(); return ctx.Err() })
	relay, err := connect.NewRelay(away, connect.RelayOptions[tag]{
		Done: func([]tag) {}, Dead: func(context.Context, []connect.Letter[tag]) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	defer relay.Close(ended)

	s := &session{relay: relay}
	now := time.Now()
	old, young := newSource(record("old"), now.Add(-longHeld)), newSource(record("young"), now)
	before := old.record.Load()
	for _, of := range []*source{old, young} {
		if err := relay.Add(t.Context(), beacon.Event{ID: "1"}, tag{source: of}); err != nil {
			t.Fatal(err)
		}
	}
	youngest := young.record.Load()
	s.detach(now)
	after := old.record.Load()
	if after == before || unsafe.SliceData(after.Value) == unsafe.SliceData(before.Value) || unsafe.SliceData(after.Headers[0].Value) == unsafe.SliceData(before.Headers[0].Value) {
		t.Error("what is held for long keeps what it was read with")
	}
	if string(after.Value) != "old" || string(after.Key) != "key" || after.Offset != 7 || after.Partition != 3 ||
		!slices.EqualFunc(after.Headers, before.Headers, func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("the copy is another: %+v", after)
	}
	if young.record.Load() != youngest {
		t.Error("what was just read is copied")
	}
	s.detach(now.Add(time.Hour))
	if old.record.Load() != after {
		t.Error("a copy is copied")
	}
}

func record(value string) *kgo.Record {
	return &kgo.Record{
		Topic: "t", Partition: 3, Offset: 7, Key: []byte("key"), Value: []byte(value),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}},
	}
}
