package curves

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// A server is a process that is measured. The zero value is a Handler with its defaults
// before a Sink that takes everything.
type server struct {
	Bare    bool   // net/http alone: drains bodies and answers 204
	Spool   string // the directory of one before the Sink; "" is none
	Tracker bool   // is the Sink
	Queue   bool   // a VolatileQueue stands before the Sink
}

// perConnection is what design and docs say that a connection of net/http takes: two
// buffers of 4 KB, the goroutine, and the request that is being read.
const perConnection = 22_000

// bound is what the resident memory of the server may be by config.go: what it takes
// when idle, its connections, and twice what is counted.
func (s server) bound(base int64, connections int) int64 {
	counted := int64(64 << 20) // Config.MaxInFlight, by default
	if s.Queue {
		counted += 64 << 20 // sink.QueueOptions.MaxBytes, by default
	}
	return base + perConnection*int64(connections) + 2*counted
}

// An ask is what the process of a server is asked for: to start one first.
type ask struct {
	Start   *server `json:",omitempty"`
	Collect bool    // garbage first
	Settle  bool    // give back to the system what is free first
	Wait    bool    // from now on the Sink returns when its context ends, and no earlier
}

// A state is how a server is.
type state struct {
	Addr    string
	Handler beacon.Stats
	Heap    int64  // bytes of objects, of which some are garbage without Collect
	Events  uint64 // that the Sink has taken
}

// A program is the process of a server.
type program struct {
	addr  string
	dir   string // of its spool
	stats func() beacon.Stats
	last  counter
}

func (p *program) answer(a ask) (state, error) {
	if a.Start != nil {
		if err := p.start(*a.Start); err != nil {
			return state{}, err
		}
	}
	if a.Collect {
		runtime.GC()
	}
	if a.Settle {
		debug.FreeOSMemory()
	}
	if a.Wait {
		p.last.waits.Store(true)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return state{Addr: p.addr, Handler: p.stats(), Heap: int64(m.HeapAlloc), Events: p.last.events.Load()}, nil
}

func (p *program) start(s server) error {
	p.dir = s.Spool
	handler, stats, err := s.handler(&p.last)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.addr, p.stats = l.Addr().String(), stats
	h := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() {
		panic(h.Serve(l)) // nobody shuts it down
	}()
	return nil
}

// handler builds what answers, and what counts the requests.
func (s server) handler(last *counter) (http.Handler, func() beacon.Stats, error) {
	if s.Bare {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			last.events.Add(1)
			w.WriteHeader(http.StatusNoContent)
		}), func() beacon.Stats { return beacon.Stats{} }, nil
	}
	var next beacon.Sink = last
	if s.Tracker {
		t, err := sessions.NewTracker(sessions.TrackerOptions{OnRevision: func(context.Context, sessions.Revision) {}})
		if err != nil {
			return nil, nil, err
		}
		last.next = t
	}
	if s.Spool != "" {
		sp, err := spool.Open(s.Spool, next, spool.Options{DiskTimeout: time.Minute}) // others may use the disk
		if err != nil {
			return nil, nil, err
		}
		next = sp
	}
	if s.Queue {
		next = sink.VolatileQueue(next, sink.QueueOptions{})
	}
	h, err := beacon.New(beacon.Config{Sink: next, SinkTimeout: time.Minute})
	if err != nil {
		return nil, nil, err
	}
	return h, h.Stats, nil
}

// A counter is the last sink, and counts what it has taken.
type counter struct {
	events atomic.Uint64
	next   beacon.Sink
	waits  atomic.Bool
}

var errWaited = errors.New("the sink that waits takes nothing")

func (c *counter) Consume(ctx context.Context, events []beacon.Event) error {
	if c.waits.Load() {
		<-ctx.Done()
		runtime.KeepAlive(events) // which a sink that works would still need
		return errWaited
	}
	if c.next != nil {
		if err := c.next.Consume(ctx, events); err != nil {
			return err
		}
	}
	c.events.Add(uint64(len(events)))
	return nil
}
