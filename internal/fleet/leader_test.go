package fleet

import (
	"context"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/connect"
	"github.com/pagebeacon/beacon/spool"
)

// A receiverReport is what a receiver's process tells of itself.
type receiverReport struct {
	Spool spool.Stats
	Sink  connect.SinkStats
}

// inLog returns how many events the log has taken of the receivers, and how many bytes are
// still in their spools.
func (f *fleet) inLog() (events uint64, pending int64, err error) {
	for _, p := range f.receivers.all() {
		var r receiverReport
		if err := stats(p, &r); err != nil {
			return 0, 0, err
		}
		events += r.Sink.Events
		pending += r.Spool.Pending
	}
	return events, pending, nil
}

// TestLeaderKill: while the servers of JetStream elect another leader nothing gets into the
// log, and no browser notices.
func TestLeaderKill(t *testing.T) {
	parallel(t)
	f := begin(t, plan{log: "jetstream", store: "sqlite", sync: "always", receivers: 3, consumers: 2})
	js := f.log.(*jetStream)
	w := wanted(t, pick(4_000, 100_000))
	ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, time.Hour))
	defer cancel()
	l := f.browsers(w)
	l.rate = pick(400.0, 1000)
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	await(t, "the first events in the log", func() bool { n, _, err := f.inLog(); return err == nil && n > 0 })

	kills, longest := 0, time.Duration(0)
	for sending := true; sending; {
		leader := js.leader(ctx, streamName)
		if leader < 0 {
			t.Fatal("nobody leads the stream")
		}
		js.get(leader).kill()
		kills++
		before, _, err := f.inLog()
		if err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		await(t, "the log takes events again", func() bool {
			n, _, err := f.inLog()
			return err == nil && n > before+500 // not only what was on its way
		})
		longest = max(longest, time.Since(killed))
		if err := js.start(leader); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			sending = false
		case <-time.After(pick(time.Hour, 20*time.Second)):
		}
	}
	t.Logf("%d leaders were killed, the log paused for %v at most; answers: %s", kills, longest.Round(10*time.Millisecond), l.answers())
	for status := range l.status {
		if n := l.status[status].Load(); n > 0 && status/100 != 2 {
			t.Errorf("%d requests were answered %d", n, status)
		}
	}
	if n := l.broken.Load(); n > 0 {
		t.Errorf("%d requests had no answer", n)
	}
	f.settle(ctx, t, w)
}

// await polls, since what it waits for happens in another process.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
