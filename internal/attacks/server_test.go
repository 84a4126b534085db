package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// A setup says how the server under attack is built. The zero value is a Handler with
// its defaults in front of a store that takes everything.
type setup struct {
	Bare  bool   // net/http alone: drains bodies and answers 204, with a spool after a sync
	Peer  bool   // no proxy is named: who connects is who it is, on this machine all the same
	Sink  string // in front of the store: "spool", "queue", "batch"; "" is nothing
	Dir   string // of the spool
	Store string // a mode of [store]

	MaxInFlight int64
	MaxQuery    int
	Limit       *share // of a network, with package limit; nil is none
}

// A share is what a network may send: events in a second, and at once.
type share struct{ Events, Burst int }

// queues is what may be in memory besides MaxInFlight, as configured by default.
func (s setup) queues() int64 {
	switch s.Sink {
	case "spool":
		return 8 << 20
	case "queue", "batch":
		return 64 << 20
	}
	return 0
}

// maxInFlight is the default of the Handler, which the bound goes by also where a row
// without protection has turned it off.
const maxInFlight = 64 << 20

// A report is what the server says about itself.
type report struct {
	Handler    beacon.Stats
	Spool      spool.Stats
	Goroutines int
	Heap       int64 // live, after a collection
	Stored     arrivals
}

func serve(s setup) error {
	var p program
	if err := p.build(s); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(control, http.HandlerFunc(p.control)) }()
	server := &http.Server{
		Handler: p.mux, Protocols: new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if err := say(hello{ln.Addr().String(), control.Addr().String()}); err != nil {
		return err
	}
	return server.Serve(ln)
}

// A program is the server under attack.
type program struct {
	mux     *http.ServeMux
	store   store
	spool   *spool.Spool
	handler *beacon.Handler
}

func (p *program) build(s setup) (err error) {
	p.mux = http.NewServeMux()
	if s.Bare {
		return p.buildBare(s)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p.store.mode = s.Store
	var next beacon.Sink = &p.store
	switch s.Sink {
	case "":
	case "spool":
		if p.spool, err = spool.Open(s.Dir, next, spool.Options{Logger: logger}); err != nil {
			return err
		}
		next = p.spool
	case "queue":
		next = sink.VolatileQueue(next, sink.QueueOptions{})
	case "batch":
		next = sink.Batch(next, sink.BatchOptions{})
	default:
		return fmt.Errorf("no sink %q", s.Sink)
	}
	c := beacon.Config{Sink: next, Logger: logger, MaxInFlight: s.MaxInFlight, Limits: beacon.Limits{MaxQuery: s.MaxQuery}}
	if !s.Peer {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}
	if s.Limit != nil {
		l, err := limit.New(limit.Options{Events: s.Limit.Events, EventBurst: s.Limit.Burst})
		if err != nil {
			return err
		}
		c = l.Guard(c)
	}
	if p.handler, err = beacon.New(c); err != nil {
		return err
	}
	p.mux.Handle("/b", p.handler)
	p.mux.Handle("/ready", p.handler.Ready())
	return nil
}

// buildBare builds what a Handler is compared with.
func (p *program) buildBare(s setup) error {
	store := func(io.Reader) error { return nil }
	if s.Sink == "spool" {
		f, err := os.Create(filepath.Join(s.Dir, "bare"))
		if err != nil {
			return err
		}
		var mu sync.Mutex
		store = func(body io.Reader) error {
			mu.Lock()
			defer mu.Unlock()
			if _, err := io.Copy(f, body); err != nil {
				return err
			}
			return syscall.Fdatasync(int(f.Fd()))
		}
	}
	p.mux.HandleFunc("/b", func(w http.ResponseWriter, r *http.Request) {
		if err := store(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	return nil
}

// control answers what the tests ask of the program.
func (p *program) control(w http.ResponseWriter, r *http.Request) {
	out := report{Goroutines: runtime.NumGoroutine(), Stored: p.store.arrivals()}
	if p.handler != nil {
		out.Handler = p.handler.Stats()
	}
	if p.spool != nil {
		out.Spool = p.spool.Stats()
	}
	if r.URL.Path == "/settle" { // gives back to the system what is free
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out.Heap = int64(m.HeapAlloc)
	_ = json.NewEncoder(w).Encode(out)
}
