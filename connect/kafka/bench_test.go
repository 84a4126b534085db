//go:build unix

package kafka_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sample is a page view as the client of this project sends it.
func sample(i int) beacon.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	view := fmt.Sprintf("0198f0aa-3c1d-7a10-9d5e-%012d", i)
	return beacon.Event{
		ID: view + ".pageview.3", Name: "pageview", Time: at, Received: at, Sent: at,
		Page: "https://www.example.com/articles/how-to-measure", Session: fmt.Sprintf("0198f0aa-3c1d-7a10-9d5e-%012d", i%500), View: view,
		Series: "pageview", Seq: 3, Mode: beacon.ModeReplace,
		Body: beacon.JSON(`{"start":1767323045678,"end":1767323145678,"visible":61234,"engaged":40211,"reason":"hidden"}`),
		Request: beacon.Request{
			ID: view, Method: "POST", Host: "www.example.com", Path: "/b", ContentType: "text/plain;charset=UTF-8", Origin: "https://www.example.com",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", FetchSite: "same-origin", FetchMode: "no-cors", TLS: true,
		},
	}
}

const batch = 1000

// spent is the time that the processors gave to this process: on a machine that others use,
// that is what can be compared.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProduce puts batches of 1,000 events into the log, from 4 callers, in turns with
// the bare client, which gets the same records, encoded or as events. It reports what each
// takes of an event, and how fast the Sink is compared with it.
func BenchmarkProduce(b *testing.B) {
	_, client := cluster(b)
	events := make([]beacon.Event, batch)
	for i := range events {
		events[i] = sample(i)
	}
	sink, plain := newSink(b, client), newSink(b, client, func(o *kafka.SinkOptions) { o.NoHeaders = true })
	bare, err := kgo.NewClient(append(client, kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))...)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	values, headers := make([][]byte, batch), make([][]kgo.RecordHeader, batch)
	for i := range events {
		for _, h := range connect.Headers(&events[i]) {
			headers[i] = append(headers[i], kgo.RecordHeader{Key: "ce_" + h.Name, Value: []byte(h.Value)})
		}
		values[i], _ = events[i].AppendJSON(nil)
	}
	b.Logf("%d bytes of JSON", len(values[0]))
	produce := func(encode bool) error {
		records := make([]*kgo.Record, batch)
		for i := range records {
			value := values[i]
			if encode {
				value, _ = events[i].AppendJSON(make([]byte, 0, 1024))
			}
			records[i] = &kgo.Record{Key: []byte(events[i].Session), Value: value, Headers: headers[i]}
		}
		return bare.ProduceSync(context.Background(), records...).FirstErr()
	}
	consume := func(s *kafka.Sink) func() error {
		return func() error { return s.Consume(context.Background(), append([]beacon.Event(nil), events...)) }
	}
	turns(b, []turn{
		{"bare", func() error { return produce(false) }},
		{"bare+json", func() error { return produce(true) }},
		{"sink", consume(sink)},
		{"sink-noheaders", consume(plain)},
	})
}

type turn struct {
	name string
	f    func() error
}

// turns runs the functions in turns, each 4 times at once, and reports what they take.
func turns(b *testing.B, ts []turn) {
	took, cpu := make([]time.Duration, len(ts)), make([]time.Duration, len(ts))
	n := 0
	for b.Loop() {
		n++
		for i := range ts {
			at := (i + n) % len(ts) // who goes first has the worse of it
			runtime.GC()
			start, startCPU := time.Now(), spent()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 5 {
						if err := ts[at].f(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			took[at] += time.Since(start)
			cpu[at] += spent() - startCPU
		}
	}
	for i, t := range ts {
		b.ReportMetric(float64(took[i])/float64(n*20*batch), t.name+"-ns/event")
		b.ReportMetric(float64(cpu[i])/float64(n*20*batch), t.name+"-cpu-ns/event")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkConsume reads a log of 100,000 events, in turns with the bare client in a group of
// its own, which does with the records nothing, or reads the JSON.
func BenchmarkConsume(b *testing.B) {
	_, client := cluster(b)
	sink := newSink(b, client)
	const n = 100_000
	for i := 0; i < n; i += batch {
		events := make([]beacon.Event, batch)
		for k := range events {
			events[k] = sample(i + k)
		}
		if err := sink.Consume(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	bare := func(decode bool) (began, ended time.Time) {
		cl, err := kgo.NewClient(append(client, kgo.ConsumerGroup(newGroup()), kgo.ConsumeTopics(topic), kgo.FetchMaxBytes(16<<20))...)
		if err != nil {
			b.Fatal(err)
		}
		defer cl.Close()
		for got := 0; got < n; {
			for _, r := range cl.PollFetches(context.Background()).Records() {
				if got++; got == 1 {
					began = time.Now()
				}
				var e beacon.Event
				if decode {
					if err := e.UnmarshalJSON(r.Value); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		return began, time.Now()
	}
	consumer := func() (began, ended time.Time) {
		c, err := kafka.NewConsumer(context.Background(), kafka.ConsumerOptions{Topic: topic, Group: newGroup(), Client: client})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var got atomic.Int64
		var once sync.Once
		if err := c.Consume(ctx, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			once.Do(func() { began = time.Now() })
			if got.Add(int64(len(events))) >= n {
				ended = time.Now()
				cancel()
			}
			return nil
		})); err != nil {
			b.Fatal(err)
		}
		_ = c.Close(context.Background())
		return began, ended
	}
	var took, cpu [3]time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		for i := range took {
			runtime.GC()
			var began, ended time.Time
			startCPU := spent()
			switch at := (i + rounds) % 3; at {
			case 0, 1:
				began, ended = bare(at == 1)
				took[at] += ended.Sub(began)
			default:
				began, ended = consumer()
				took[at] += ended.Sub(began)
			}
			cpu[(i+rounds)%3] += spent() - startCPU
		}
	}
	for i, name := range []string{"bare", "bare+json", "consumer"} {
		b.ReportMetric(float64(took[i])/float64(rounds*n), name+"-ns/event")
		b.ReportMetric(float64(cpu[i])/float64(rounds*n), name+"-cpu-ns/event")
	}
	b.ReportMetric(0, "ns/op")
}
