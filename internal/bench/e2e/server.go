package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
	"github.com/pagebeacon/beacon/internal/bench/peers"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// Child runs the process that the arguments of the program name, if they name one of
// those that a measurement starts, and tells whether they do.
func Child(args []string) (ran bool, err error) {
	switch {
	case len(args) == 2 && args[0] == "load":
		// It also removes what the servers have on disk, which may be much: the one who
		// started it may be killed, and Ctrl-C is told to all.
		signal.Ignore(os.Interrupt)
		err := load.Serve(os.Stdin, os.Stdout)
		return true, errors.Join(err, os.RemoveAll(args[1]))
	case len(args) == 1 && args[0] == "serve":
		s := &server{}
		err := proc.Answer(os.Stdin, os.Stdout, s.answer)
		return true, errors.Join(err, s.close())
	}
	return false, nil
}

// A question to a server. The first one says what it is, the others what to do.
type question struct {
	Do string // "start", "collect", "memory" or "events"

	Kind kind
	Form form
	Dir  string // for what is kept on disk
	Keep bool   // the last thing that came, for Last
}

type reply struct {
	Addr string

	Mallocs uint64

	Events int    // that were delivered
	Last   string // of them, in a form that is the same for all kinds of server
}

// A server is one of the processes that are measured.
type server struct {
	question
	listener net.Listener
	events   atomic.Int64
	all      func() (int, error) // how many events there are; by default those that were counted
	closers  []func() error

	mu   sync.Mutex
	last string
}

func (s *server) answer(q question) (r reply, err error) {
	switch q.Do {
	case "start":
		s.question = q
		if s.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			return r, err
		}
		r.Addr = s.listener.Addr().String()
		return r, s.start()
	case "collect", "memory":
		var m runtime.MemStats
		if q.Do == "collect" { // a turn does not pay for what another left
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		r.Mallocs = m.Mallocs
		return r, nil
	case "events":
		r.Events = int(s.events.Load())
		if s.all != nil {
			r.Events, err = s.all()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		r.Last = s.last
		return r, err
	}
	return r, fmt.Errorf("asked to %q", q.Do)
}

// close leaves the listener to the end of the process.
func (s *server) close() (err error) {
	for _, c := range s.closers {
		err = errors.Join(err, c())
	}
	return err
}

// start serves until the process ends. The servers of net/http have no time-outs, as the
// floor of the other tables has none: they would make it dearer, and whatever is
// compared with it cheaper.
func (s *server) start() error {
	switch s.Kind {
	case fastFloor, fastForm:
		h := peers.DrainFast
		if s.Kind == fastForm {
			h = peers.FormFast(s.ended)
		}
		go func() { s.failed(peers.ServeFast(s.listener, s.fast(h))) }()
		return nil
	}
	h, err := s.handler()
	if err != nil {
		return err
	}
	go func() { s.failed((&http.Server{Handler: h}).Serve(s.listener)) }()
	return nil
}

// fast counts what the floor on fasthttp drains.
func (s *server) fast(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	if s.Kind != fastFloor {
		return h
	}
	return func(ctx *fasthttp.RequestCtx) {
		s.took(1, func() string { return fmt.Sprint(len(ctx.PostBody()), " bytes") })
		h(ctx)
	}
}

func (s *server) failed(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (s *server) handler() (http.Handler, error) {
	switch s.Kind {
	case floor:
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.took(1, func() string { return fmt.Sprint(r.ContentLength, " bytes") })
			peers.Drain(w, r)
		}), nil
	case noop:
		return s.beacon(s)
	case batch:
		return s.beacon(sink.Batch(beacon.SinkFunc(s.slow), sink.BatchOptions{}))
	case spooled:
		events, err := spool.Open(s.Dir, s, spool.Options{DiskTimeout: patience})
		if err != nil {
			return nil, err
		}
		s.all = func() (int, error) {
			err := events.Flush(context.Background())
			return int(s.events.Load()), err
		}
		s.closers = append(s.closers, func() error { return events.Close(context.Background()) })
		return s.beacon(events)
	case std:
		switch s.Form {
		case aJSON:
			return peers.JSON(s.vitals), nil
		case anEnvelope:
			return peers.JSON(s.envelope), nil
		}
		return peers.Form(s.ended), nil
	case bolt, sqlite:
		open := peers.Bolt
		if s.Kind == sqlite {
			open = peers.SQLite
		}
		store, err := open(s.Dir)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, store.Close)
		s.all = func() (int, error) { return s.stored(store) }
		return peers.Form(func(v *peers.Ended) error {
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return store.Put(text)
		}), nil
	}
	return nil, fmt.Errorf("no server of the kind %q", s.Kind)
}

// patience is for a disk that others use, too: who measures would rather wait for it than be
// refused.
const patience = time.Minute

func (s *server) beacon(to beacon.Sink) (http.Handler, error) {
	return beacon.New(beacon.Config{Sink: to})
}
