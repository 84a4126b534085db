package faults

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// A job says what the program under test does.
type job struct {
	Kind         string // of the speed rows: "floor", "nil", "spool"; "" counts the answers, too
	Dir          string
	Never        bool // spool.Never instead of Always
	SegmentBytes int64
	MaxBytes     int64
	Next         string        // the mode that next starts in, see [store]
	Out          string        // the file that next stores in
	Timeout      time.Duration // of a call of next
	Delay        time.Duration // in front of the spool, cut short when the context ends
	Deadline     time.Duration // of the shutdown on SIGTERM
	Writers      int           // inside the program, beside the server
	Client       int           // number of the first writer
	Poison       int           // one of so many events of a writer is poisoned; 0 is none
}

// smallSegments makes segments roll and go all the time.
const smallSegments = 256 << 10

func (j *job) options() spool.Options {
	o := spool.Options{SegmentBytes: j.SegmentBytes, MaxBytes: j.MaxBytes, Timeout: j.Timeout,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if j.Never {
		o.Sync = spool.Never
	}
	return o
}

// hello is the first line that the program prints.
type hello struct {
	PID           int
	Addr, Control string
}

// A report is what the program says about itself, when asked and at its end.
type report struct {
	Spool      spool.Stats
	Requests   int64         // that reached the handler
	Answers    map[int]int64 // by status
	Goroutines int
	CPU        time.Duration
}

// A program is the server under test, in its own process.
type program struct {
	job      job
	spool    *spool.Spool
	next     *store
	handler  *beacon.Handler
	server   *http.Server
	requests atomic.Int64
	answers  [600]atomic.Int64
}

// runChild is the main function of the program. It does not return.
func runChild(spec string) {
	var p program
	if err := json.Unmarshal([]byte(spec), &p.job); err != nil {
		exit(err)
	}
	go func() { // the other side has ended
		io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	exit(p.run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "program:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (p *program) run() error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)

	handler, err := p.build()
	if err != nil {
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
	p.server = &http.Server{Handler: handler}
	go p.server.Serve(ln)
	go http.Serve(control, p.control())
	if err := json.NewEncoder(os.Stdout).Encode(hello{os.Getpid(), ln.Addr().String(), control.Addr().String()}); err != nil {
		return err
	}
	if p.job.Writers > 0 {
		p.write()
	}

	<-term
	ctx, cancel := context.WithTimeout(context.Background(), p.job.Deadline)
	defer cancel()
	err = errors.Join(p.server.Shutdown(ctx), p.handler.Shutdown(ctx), p.spool.Close(ctx))
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(p.report()))
}

// build returns what serves the beacons.
func (p *program) build() (http.Handler, error) {
	if p.job.Kind == "floor" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNoContent)
		}), nil
	}
	var sink beacon.Sink = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	if p.job.Kind != "nil" {
		p.next = &store{}
		p.next.mode.Store(p.job.Next)
		if p.job.Out != "" {
			var err error
			p.next.file, err = os.OpenFile(p.job.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return nil, err
			}
		}
		var err error
		if p.spool, err = spool.Open(p.job.Dir, p.next, p.job.options()); err != nil {
			return nil, err
		}
		sink = p.spool
	}
	if p.job.Delay > 0 {
		sink = slow{sink, p.job.Delay}
	}
	var err error
	if p.handler, err = beacon.New(beacon.Config{Sink: sink}); err != nil {
		return nil, err
	}
	if p.job.Kind != "" {
		return p.handler, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		a := &answer{ResponseWriter: w, status: http.StatusOK}
		p.handler.ServeHTTP(a, r)
		p.answers[a.status].Add(1)
	}), nil
}

// An answer remembers its status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// slow takes its time in front of a sink, and gives up when the context ends.
type slow struct {
	beacon.Sink
	delay time.Duration
}

func (s slow) Consume(ctx context.Context, events []beacon.Event) error {
	select {
	case <-time.After(s.delay):
		return s.Sink.Consume(ctx, events)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write runs the writers. Each reports an event after it was stored, or refused,
// and before it goes on to the next.
func (p *program) write() {
	reports := os.NewFile(3, "reports")
	for w := range p.job.Writers {
		go func() {
			for seq := 0; ; seq++ {
				x := newID(p.job.Client+w, seq)
				if p.job.Poison > 0 && seq%p.job.Poison == p.job.Poison-1 {
					x |= poison
				}
				now := time.Now().UTC().Round(0)
				err := p.spool.Consume(context.Background(), []beacon.Event{{
					ID: x.String(), Name: "fault", Time: now, Received: now, Body: beacon.Text(payload(x, eventBytes)),
				}})
				word := uint64(x)
				if err != nil {
					word |= refusedBit
				}
				if _, err := reports.Write(binary.LittleEndian.AppendUint64(nil, word)); err != nil {
					exit(err)
				}
				if err != nil {
					time.Sleep(time.Millisecond) // a refusal is quick, and there is nothing to learn from millions
				}
			}
		}()
	}
}

// refusedBit in a report says that the event was refused.
const refusedBit = 1 << 62

func (p *program) report() report {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	r := report{
		Requests: p.requests.Load(), Answers: map[int]int64{}, Goroutines: runtime.NumGoroutine(),
		CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
	}
	for status := range p.answers {
		if n := p.answers[status].Load(); n > 0 {
			r.Answers[status] = n
		}
	}
	if p.spool != nil {
		r.Spool = p.spool.Stats()
	}
	return r
}

// control serves what the tests ask of the program.
func (p *program) control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ready", p.handler.Ready())
	mux.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) { p.next.mode.Store(r.FormValue("mode")) })
	mux.HandleFunc("/report", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(p.report()) })
	mux.HandleFunc("/flush", func(w http.ResponseWriter, r *http.Request) {
		if err := p.spool.Flush(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// A store is what the spool delivers to: it writes a line for each event. Its
// mode is one of
//
//	store      works
//	nil        takes everything and stores nothing
//	down       fails
//	twice      stores and then fails, every other time
//	slow       works, and takes its time
//	hang       does nothing until its context ends
//	stuck      does nothing until the mode is another one, whatever its context says
//	panic      panics
//	exit       ends its goroutine
//	permanent  refuses everything for good
//
// In all that store, it refuses poisoned events for good.
type store struct {
	mode  atomic.Value // string
	file  *os.File
	mu    sync.Mutex
	calls int
	buf   []byte
}

func (s *store) Consume(ctx context.Context, events []beacon.Event) error {
	mode := s.mode.Load().(string)
	switch mode {
	case "nil":
		return nil
	case "down":
		return errors.New("down")
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "stuck":
		for s.mode.Load() == mode {
			time.Sleep(10 * time.Millisecond)
		}
		return errors.New("stuck for long")
	case "panic":
		panic("next panics")
	case "exit":
		runtime.Goexit()
	case "permanent":
		return fmt.Errorf("%w: in the mood", beacon.ErrPermanent)
	case "slow":
		time.Sleep(200 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = append(s.buf[:0], '\n') // ends a line that a crash cut short
	for i := range events {
		x, err := identify(&events[i])
		if err != nil {
			s.buf = append(s.buf, "damaged: "+strconv.Quote(err.Error())+"\n"...)
			continue
		}
		if x&poison != 0 {
			return fmt.Errorf("%w: poisoned", beacon.ErrPermanent)
		}
		s.buf = appendLine(s.buf, x)
	}
	if _, err := s.file.Write(s.buf); err != nil {
		return err
	}
	s.calls++
	if mode == "twice" && s.calls%2 == 0 {
		return errors.New("stored, but that got lost on the way back")
	}
	return nil
}

// A collector is a next inside the tests: what was left in a spool.
type collector struct {
	mu   sync.Mutex
	ids  []id
	errs []error
}

func (c *collector) Consume(_ context.Context, events []beacon.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		x, err := identify(&events[i])
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		c.ids = append(c.ids, x)
	}
	return nil
}

func (c *collector) all() []id {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}
