package fleet

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestStoreAway: while the store is away the log keeps what comes, the consumers say how
// much that is, and afterwards it is stored faster than more comes.
func TestStoreAway(t *testing.T) {
	parallel(t)
	rate := pick(100.0, 300)
	away := pick(20*time.Second, 10*time.Minute)
	f := begin(t, plan{log: "jetstream", store: "postgresql", sync: "always", receivers: 3, consumers: 2})
	w := wanted(t, int(rate*(away+30*time.Second).Seconds()))
	ctx, cancel := context.WithTimeout(t.Context(), away+pick(5*time.Minute, time.Hour))
	defer cancel()
	var stored atomic.Int64
	go f.watch(ctx, stored.Store)
	l := f.browsers(w)
	l.rate = rate
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	await(t, "the first events are stored", func() bool { return stored.Load() > 0 })

	if err := f.db.server.Kill(); err != nil {
		t.Fatal(err)
	}
	sleep(ctx, away)
	lag := f.lag(t)
	if err := f.db.server.Start(); err != nil {
		t.Fatal(err)
	}
	back, before := time.Now(), stored.Load()
	behind := l.taken.Load() - before // nearly: what is stored are events
	await(t, "what had gathered is stored", func() bool { return stored.Load() >= before+behind })
	drain := float64(stored.Load()-before) / time.Since(back).Seconds()
	t.Logf("the store was away for %v: %d requests behind, a lag of %d; then %.0f/s while %.0f/s came; answers: %s", away, behind, lag, drain, rate, l.answers())
	if lag < behind/2 {
		t.Errorf("the consumers said that %d messages are not stored, and it was about %d", lag, behind)
	}
	if drain < 2*rate {
		t.Errorf("that is less than twice as fast")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for status := range l.status {
		if n := l.status[status].Load(); n > 0 && status/100 != 2 {
			t.Errorf("%d requests were answered %d", n, status)
		}
	}
	f.settle(ctx, t, w)
}

// lag is what the metrics of the consumers say of it, who are not well.
func (f *fleet) lag(t *testing.T) (lag int64) {
	t.Helper()
	for n, p := range f.consumers.all() {
		var r ConsumerReport
		if err := stats(p, &r); err != nil {
			t.Fatal(err)
		}
		t.Logf("consumer %d: %d held, healthy: %.100q", n, r.Held, r.Healthy)
		if r.Healthy == "" {
			t.Errorf("consumer %d says that all is well", n)
		}
		lag = max(lag, int64(metric(t, p, "beacon_consumer_lag_messages")))
	}
	return lag
}

// metric returns what a process exports to Prometheus.
func metric(t *testing.T, p *process, name string) (value float64) {
	t.Helper()
	resp, err := http.Get(p.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), name+`{name=""} %g`, &value); err == nil {
			return value
		}
	}
	t.Fatalf("%s exports no %s", p.name, name)
	return 0
}
