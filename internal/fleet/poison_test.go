package fleet

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect/kafka"
	"github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/internal/visits"
)

// TestPoisonInLog: what is no event, what the store refuses and what it fails with hold up
// nothing else, and are in the dead-letter topic as they were, with the reason.
func TestPoisonInLog(t *testing.T) {
	parallel(t)
	for _, log := range []string{"jetstream", "kafka"} {
		t.Run(log, func(t *testing.T) {
			parallel(t)
			f := begin(t, plan{log: log, store: "sqlite", sync: "always", receivers: 1, consumers: 1, refuses: "refused", fails: "failed", maxTries: 3})
			ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, time.Hour))
			defer cancel()
			w := wanted(t, pick(2_000, 50_000))
			const garbage = "this \x00 is \xff no event"
			f.write(ctx, t, garbage)
			f.post(t, "poison1", "refused")
			f.post(t, "poison2", "failed")
			l := f.browsers(w)
			ended := make(chan error, 1)
			go func() { ended <- l.run(ctx) }()

			// Of some that come while there is poison one passes within a second, on a machine
			// that may have more to do.
			fastest := time.Hour
			for n := 0; fastest > time.Second && n < 100; n++ {
				id := fmt.Sprintf("marker%d", n)
				sent := time.Now()
				f.post(t, id, "marker")
				await(t, "the marker is stored", func() bool { return f.has(ctx, id) })
				fastest = min(fastest, time.Since(sent))
			}
			t.Logf("an event passes the poison in %v", fastest.Round(time.Millisecond))
			if fastest > time.Second {
				t.Error("which is more than a second")
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			var letters []letter
			n := 0
			await(t, "three dead letters", func() bool {
				n++ // who fails alone, while others go through, is poison; a store that takes nothing is away
				f.post(t, fmt.Sprintf("more%d", n), "marker")
				letters = f.dead(ctx, t)
				return len(letters) >= 3
			})
			if len(letters) != 3 {
				t.Errorf("there are %d dead letters", len(letters))
			}
			for _, want := range []struct{ data, why string }{
				{garbage, ""}, {`"name":"refused"`, "refused"}, {`"name":"failed"`, "failed"},
			} {
				i := slices.IndexFunc(letters, func(l letter) bool { return strings.Contains(l.data, want.data) })
				if i < 0 {
					t.Errorf("%q is no dead letter", want.data)
					continue
				}
				t.Logf("%.60q is dead: %s", letters[i].data, letters[i].why)
				if letters[i].why == "" || !strings.Contains(letters[i].why, want.why) {
					t.Errorf("of %q it says %q", want.data, letters[i].why)
				}
				var e beacon.Event
				if err := e.UnmarshalJSON([]byte(letters[i].data)); (err == nil) != (want.data != garbage) {
					t.Errorf("%q was changed: %v", letters[i].data, err)
				}
			}
			await(t, "all others are stored", func() bool { n, err := f.db.stored(ctx); return err == nil && n >= int64(len(w.of)) })
			for _, wrong := range f.stop() {
				t.Error(wrong)
			}
		})
	}
}

// post sends an event.
func (f *fleet) post(t *testing.T, id, name string) {
	t.Helper()
	q := visits.Request{
		Method: "POST", Target: "/_pb", Type: "text/plain", ID: id, Received: base,
		Body: fmt.Appendf(nil, `{"v":1,"m":"append","k":%q,"sid":%q,"via":"now","at":1,"ev":[{"n":1,"t":1,"e":%q}]}`, id, id, name),
	}
	l := load{}
	if status := l.post(t.Context(), http.DefaultClient, f.receivers.get(0).addr, q); status/100 != 2 {
		t.Fatalf("%s: %d", q.Body, status)
	}
}

// has says whether an event of a session is stored.
func (f *fleet) has(ctx context.Context, session string) bool {
	var n int
	err := f.db.count.QueryRowContext(ctx, "SELECT count(*) FROM beacon_events WHERE session = '"+session+"'").Scan(&n)
	return err == nil && n > 0
}

// write puts into the log what no Sink would.
func (f *fleet) write(ctx context.Context, t *testing.T, data string) {
	t.Helper()
	s := f.log.spec()
	if s.Kind == "kafka" {
		c, err := kgo.NewClient(append(s.client(), kgo.DefaultProduceTopic(topicName))...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.ProduceSync(ctx, kgo.StringRecord(data)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return
	}
	js, err := jetstream.New(f.log.(*jetStream).watcher)
	if err == nil {
		_, err = js.Publish(ctx, subject+".0", []byte(data))
	}
	if err != nil {
		t.Fatal(err)
	}
}

type letter struct{ data, why string }

// dead returns the dead letters.
func (f *fleet) dead(ctx context.Context, t *testing.T) (all []letter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s := f.log.spec()
	if s.Kind == "kafka" {
		c, err := kgo.NewClient(append(s.client(), kgo.ConsumeTopics(topicName+".dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == kafka.DeadWhy })
				l := letter{data: string(r.Value)}
				if i >= 0 {
					l.why = string(r.Headers[i].Value)
				}
				all = append(all, l)
			})
		}
		return all
	}
	js, err := jetstream.New(f.log.(*jetStream).watcher)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, streamName+"_dead")
	if err != nil {
		return nil
	}
	for n := uint64(1); n <= stream.CachedInfo().State.LastSeq; n++ {
		m, err := stream.GetMsg(ctx, n)
		if err != nil {
			return all
		}
		all = append(all, letter{string(m.Data), m.Header.Get(nats.DeadWhy)})
	}
	return all
}
