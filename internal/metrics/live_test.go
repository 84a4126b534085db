package metrics

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/connect"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
	_ "modernc.org/sqlite"
)

// patience is how long a test waits for what has to come. It is long, since a machine may be
// busy with others.
const patience = 2 * time.Minute

// A server is a Prometheus with files of its own.
type server struct{ url string }

// startPrometheus runs one that scrapes what is at target, each second, with the alerts.
func startPrometheus(t *testing.T, target string) server {
	t.Helper()
	dir := t.TempDir()
	alerts, err := filepath.Abs(rulesFile)
	must(t, err)
	config := filepath.Join(dir, "prometheus.yml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: app
    static_configs: [{targets: [%q]}]
`, alerts, target), 0o600))
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	address, said := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		listening := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		said <- all.String()
	}()
	select {
	case a := <-address:
		return server{"http://" + a}
	case all := <-said:
		t.Fatalf("prometheus ended:\n%s", all)
	case <-time.After(patience):
		t.Fatal("prometheus does not listen")
	}
	return server{}
}

// get asks the API, and returns the data of the answer.
func (s server) get(ctx context.Context, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		return err
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(w.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", w.Status, err)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// eventually waits until check is content, and fails with its last complaint if it never is.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Error(err)
}

// A Prometheus that scrapes a site under load has data for each panel of the dashboard,
// evaluates every rule, and raises the alert that there is a reason for.
func TestLive(t *testing.T) {
	registry, load := newSite(t)
	page := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer page.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			load()
			time.Sleep(20 * time.Millisecond) // there are others on the machine
		}
	}()
	defer func() { cancel(); <-done }()
	s := startPrometheus(t, strings.TrimPrefix(page.URL, "http://"))

	for _, q := range queries(t) {
		eventually(t, func() error {
			var data struct {
				Result []struct{ Value [2]any }
			}
			if err := s.get(t.Context(), "/api/v1/query?query="+url.QueryEscape(q.expr), &data); err != nil {
				return fmt.Errorf("panel %s: %w: %s", q.panel, err, q.expr)
			}
			for _, r := range data.Result {
				if r.Value[1] != "NaN" {
					return nil
				}
			}
			return fmt.Errorf("panel %s has no data: %s", q.panel, q.expr)
		})
	}
	eventually(t, func() error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		if err := s.get(t.Context(), "/api/v1/rules", &data); err != nil {
			return err
		}
		n, firing := 0, false
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if n++; r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
				firing = firing || r.Name == "BeaconDeadLetters" && r.State == "firing"
			}
		}
		if n != len(rules(t)) || !firing {
			return fmt.Errorf("%d rules of %d; dead letters are noticed: %v", n, len(rules(t)), firing)
		}
		return nil
	})
	var data struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	must(t, s.get(t.Context(), "/api/v1/targets", &data))
	for _, a := range data.ActiveTargets {
		if a.Health != "up" {
			t.Errorf("the target is %s: %s", a.Health, a.LastError)
		}
	}
}

// newSite makes one of each, wired up as a host does it, and returns what exports it and what
// a moment of its life is: beacons that are taken and others that are not, and a store that
// fails now and then.
func newSite(t *testing.T) (*prometheus.Registry, func()) {
	t.Helper()
	var calls atomic.Int64
	next := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			if e.Body == beacon.Text("poison") {
				return fmt.Errorf("%w: poison", beacon.ErrPermanent)
			}
		}
		if calls.Add(1)%10 == 0 {
			return errors.New("away")
		}
		return nil
	})
	events, err := spool.Open(t.TempDir(), next, spool.Options{})
	must(t, err)
	tracker, err := sessions.NewTracker(sessions.TrackerOptions{})
	must(t, err)
	daily, err := sessions.NewDaily(sessions.DailyOptions{})
	must(t, err)
	limiter, err := limit.New(limit.Options{Events: 20, EventBurst: 40})
	must(t, err)
	queue := sink.VolatileQueue(next, sink.QueueOptions{})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is left is of no interest
		_, _, _ = events.Close(ctx), queue.Close(ctx), tracker.Close(ctx)
	})
	database, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "db"))
	must(t, err)
	t.Cleanup(func() { database.Close() })
	rows, err := store.Open(t.Context(), database, store.SQLite, store.Options{})
	must(t, err)
	log := newMemoryLog(t, next)
	h, err := beacon.New(limiter.Guard(beacon.Config{
		Sink: sink.Tee(sink.Required(events), sink.Required(tracker), sink.Required(queue), sink.Required(rows), sink.Required(log)),
	}))
	must(t, err)
	c, err := beaconprom.New(beaconprom.Options{
		Handlers: map[string]*beacon.Handler{"": h},
		Spools:   map[string]*spool.Spool{"": events},
		Queues:   map[string]*sink.Queue{"": queue},
		Limiters: map[string]*limit.Limiter{"": limiter},
		Trackers: map[string]*sessions.Tracker{"": tracker},
		Dailies:  map[string]*sessions.Daily{"": daily},
		Stores:   map[string]*store.Store{"": rows},

		LogSinks:  map[string]beaconprom.LogSink{"": log},
		Consumers: map[string]beaconprom.Consumer{"": log.consumer()},
	})
	must(t, err)
	registry := prometheus.NewPedanticRegistry()
	must(t, registry.Register(c))

	moment := 0
	return registry, func() {
		moment++
		send := func(network int, r *http.Request) {
			r.RemoteAddr = fmt.Sprintf("203.0.113.%d:1", network)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		for range 3 {
			send(moment%3, beacontest.NewRequest("/", beacon.Text("a beacon"))) // more than a network may send
		}
		switch moment % 10 {
		case 1:
			send(4, httptest.NewRequest("DELETE", "/", nil))
		case 2:
			send(5, beacontest.NewRequest("/", beacon.Text("poison")))
		}
	}
}

// A memoryLog is a log in the memory of this process, with the connectors to it.
type memoryLog struct {
	relay       *connect.Relay[struct{}]
	taken, dead atomic.Uint64
}

func newMemoryLog(t *testing.T, next beacon.Sink) *memoryLog {
	t.Helper()
	l := new(memoryLog)
	var err error
	l.relay, err = connect.NewRelay(next, connect.RelayOptions[struct{}]{
		Done: func([]struct{}) {},
		Dead: func(_ context.Context, letters []connect.Letter[struct{}]) error {
			l.dead.Add(uint64(len(letters)))
			return nil
		},
	})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = l.relay.Close(ctx)
	})
	return l
}

func (l *memoryLog) Consume(ctx context.Context, events []beacon.Event) error {
	for _, e := range events {
		if err := l.relay.Add(ctx, e.Clone(), struct{}{}); err != nil {
			return err
		}
		l.taken.Add(1)
	}
	return nil
}

func (l *memoryLog) Stats() connect.SinkStats { return connect.SinkStats{Events: l.taken.Load()} }

func (l *memoryLog) consumer() beaconprom.Consumer { return memoryConsumer{l} }

type memoryConsumer struct{ l *memoryLog }

func (c memoryConsumer) Stats() connect.ConsumerStats {
	s := connect.ConsumerStats{RelayStats: c.l.relay.Stats(), Received: c.l.taken.Load()}
	s.Lag = int64(s.Held)
	return s
}
