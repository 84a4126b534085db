package kafka_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noise is text that does not compress.
func noise(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + r.IntN(90))
	}
	return string(bytes.ReplaceAll(bytes.ReplaceAll(b, []byte(`\`), []byte("-")), []byte(`"`), []byte("-")))
}

// A letter that the dead-letter topic does not take stands in the way of no other, which is
// written once; and it is said.
func TestLetterTooLarge(t *testing.T) {
	for name, refused := range map[string]bool{"refused": true, "unreadable": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl, client := cluster(t)
			if err := cl.CreateTopic("little", 1, map[string]string{"max.message.bytes": "4000"}); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			raw, err := kgo.NewClient(client...)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			var in []*kgo.Record
			for i := range 21 {
				e := event("s", i)
				e.Body = beacon.Text(noise(r, 500))
				if i == 7 {
					e.Body = beacon.Text(noise(r, 9000))
				}
				value := "no event" + noise(r, 100*i)
				if i == 7 {
					value = noise(r, 9000)
				}
				if refused {
					form, _ := e.MarshalJSON()
					value = string(form)
				}
				in = append(in, &kgo.Record{Topic: topic, Key: []byte("s"), Value: []byte(value)})
			}
			good := event("s", 100)
			form, _ := good.MarshalJSON()
			in = append(in, &kgo.Record{Topic: topic, Key: []byte("s"), Value: form})
			if err := raw.ProduceSync(t.Context(), in...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			s := &store{fail: func(events []beacon.Event) error {
				if slices.ContainsFunc(events, func(e beacon.Event) bool { return e.ID != good.ID }) {
					return beacon.ErrPermanent
				}
				return nil
			}}
			tries := cl.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "little", Observe: true, Count: -1})
			c := newConsumer(t, client, func(o *kafka.ConsumerOptions) { o.DeadTopic, o.DrainTimeout = "little", 1 })
			stop := consume(t, c, s)
			waitFor(t, "the good one is stored", func() bool { return s.has(good.ID) })
			first := records(t, client, "little", 20)
			hits := tries.Hits()
			waitFor(t, "the last one was tried again", func() bool { return tries.Hits() > hits+4 })
			err = c.Healthy(t.Context())
			if err == nil || !strings.Contains(err.Error(), "max.message.bytes") {
				t.Errorf("healthy: %v", err)
			}
			stop()
			var got int64
			for _, p := range cl.PartitionInfos("little") {
				got += p.HighWatermark
			}
			if got != 20 || len(first) != 20 {
				t.Errorf("%d letters, want 20", got)
			}
			if lag := groupLag(t, cl, "store"); lag != 22-7 {
				t.Errorf("the group has %d to go, want what is not kept and all behind it", lag)
			}
		})
	}
}
