package fleet

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pagebeacon/beacon"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// A Role says what a process is.
type Role struct {
	Kind, Name string
	Dir        string // of its files
	Log        LogSpec
	Store      StoreSpec
	Ports      []int // of brokers

	// Unsure is how many of a hundred events are given to the store again though it took them.
	Unsure int

	// Refuses are the names of events that a consumer's store never takes, as it says at
	// once, and Fails of those that it never takes either, and never says so.
	Refuses, Fails string
	MaxTries       int

	// Mistake is what a host may do wrong, and what the tests have to see: "volatile" is a
	// queue in memory instead of a spool, "early" an answer before the store has it, and
	// "nameless" events with another ID each time.
	Mistake string

	// Sink is where a receiver's spool delivers: "log" or, without one, "store" or "nothing".
	Sink string
}

// Main runs the role that the process was started in, and does not return then.
func Main() {
	spec := os.Getenv(roleEnv)
	if spec == "" {
		return
	}
	var r Role
	err := json.Unmarshal([]byte(spec), &r)
	if err == nil {
		switch r.Kind {
		case "receiver":
			err = runReceiver(r)
		case "consumer":
			err = runConsumer(r)
		case "kafka":
			err = runKafka(r)
		default:
			err = fmt.Errorf("no role: %s", r.Kind)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", r.Name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (r Role) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// terminated ends when somebody asks the process to end.
func terminated() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM)
}

// serve says where the process listens, and does so until it is asked to end.
func (r Role) serve(h http.Handler) error {
	ctx, cancel := terminated()
	defer cancel()
	ln, err := listen()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(ln)
	fmt.Printf("http://%s\n", ln.Addr())
	<-ctx.Done()
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Shutdown(ctx)
}

// statsOf answers with what f returns.
func statsOf(f func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(f()) }
}

// runReceiver is the main function of a receiver: a Handler, a spool, and a log.
func runReceiver(r Role) error {
	logger := r.logger()
	var next beacon.Sink
	var stats func() any
	var err error
	switch r.Sink {
	case "store":
		next, err = r.Store.open(context.Background(), nil)
	case "nothing":
		next = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	default:
		next, stats, err = r.Log.sink(logger)
	}
	if err != nil {
		return err
	}
	if r.Mistake == "nameless" {
		next = nameless(next)
	}
	var front beacon.Sink
	spoolStats := func() (s spool.Stats) { return s }
	if r.Mistake == "volatile" {
		front = sink.VolatileQueue(next, sink.QueueOptions{})
	} else {
		s, err := spool.Open(r.Dir, next, spool.Options{
			SegmentBytes: 8 << 20, MaxBytes: 2 << 30, Logger: logger,
			DiskTimeout: 20 * time.Second, // a disk that is shared by all of this
		})
		if err != nil {
			return err
		}
		front, spoolStats = s, s.Stats
	}
	h, err := beacon.New(beacon.Config{Sink: front, Enrich: visits.Played, Logger: logger})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/_pb", h)
	mux.HandleFunc("/stats", statsOf(func() any {
		all := map[string]any{"handler": h.Stats(), "spool": spoolStats()}
		if stats != nil {
			all["sink"] = stats()
		}
		return all
	}))
	if err := r.serve(mux); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(h.Shutdown(ctx), beacon.Close(ctx, front))
}

// nameless gives events another ID each time that they are delivered.
func nameless(next beacon.Sink) beacon.Sink {
	return beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		for i := range events {
			events[i].ID = fmt.Sprintf("%016x", rand.Uint64())
		}
		return next.Consume(ctx, events)
	})
}

// runConsumer is the main function of a consumer: a log and a store.
func runConsumer(r Role) error {
	logger := r.logger()
	ctx, cancel := terminated()
	defer cancel()
	given, err := newCounter(filepath.Join(r.Dir, fmt.Sprintf("given-%s-%d", r.Name, os.Getpid())))
	if err != nil {
		return err
	}
	c := &consumer{log: r.Log, maxTries: r.MaxTries}
	ended := make(chan struct{})
	go func() { // the store may be away
		defer close(ended)
		var next beacon.Sink = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
		if r.Store.Kind != "" {
			s, err := r.Store.open(ctx, logger)
			if err != nil {
				return
			}
			next = s
		}
		c.consume(ctx, r.careless(counted(next, given)), logger)
	}()
	metrics, err := beaconprom.New(beaconprom.Options{Consumers: map[string]beaconprom.Consumer{"": c}})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	mux := http.NewServeMux()
	mux.HandleFunc("/stats", statsOf(c.report))
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	err = r.serve(mux)
	<-ended
	return err
}

// careless does with what the store answers what r says.
func (r Role) careless(next beacon.Sink) beacon.Sink {
	var took, again atomic.Int64 // events
	return beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		if r.Mistake == "early" {
			go func() {
				time.Sleep(time.Minute)
				_ = next.Consume(context.Background(), events)
			}()
			return nil
		}
		if err := r.refusal(events); err != nil {
			return err
		}
		if err := next.Consume(ctx, events); err != nil {
			return err
		}
		n := int64(len(events))
		if all := took.Add(n); 100*again.Load() < int64(r.Unsure)*all { // not by luck, which may be good for a whole test
			again.Add(n)
			return errUnsure
		}
		return nil
	})
}

// refusal is why the store does not take these events, as stores that cannot name one.
func (r Role) refusal(events []beacon.Event) error {
	for i := range events {
		switch name := events[i].Name; {
		case name == "":
		case name == r.Refuses:
			return fmt.Errorf("%w: refused", beacon.ErrPermanent)
		case name == r.Fails:
			return errors.New("failed")
		}
	}
	return nil
}

var errUnsure = errors.New("the store has it, and nobody heard of that")

// A counter is a number in a file, which says what it was when the process was killed.
type counter struct {
	n atomic.Int64
	f *os.File
}

func newCounter(path string) (*counter, error) {
	f, err := os.Create(path)
	return &counter{f: f}, err
}

func (c *counter) add(n int) {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.n.Add(int64(n))))
	c.f.WriteAt(b, 0) // two that are at it may change places, by one call's worth
}

// counted counts the events that next has taken.
func counted(next beacon.Sink, c *counter) beacon.Sink {
	return beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		n := len(events)
		err := next.Consume(ctx, events)
		if err == nil {
			c.add(n)
		}
		return err
	})
}

// sumOf adds what all counters of a directory say.
func sumOf(dir string) (sum int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "given-*"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && len(b) == 8 {
			sum += int64(binary.BigEndian.Uint64(b))
		}
	}
	return sum
}
