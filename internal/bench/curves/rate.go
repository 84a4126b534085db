package curves

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// A Rate is a curve: how a server does, by how many connections there are to it, or by
// how many cores it has.
type Rate struct {
	Server string
	Points []Load
}

// Load is a point of such a curve: what was measured in each round.
type Load struct {
	N      int
	Rounds []Round
}

// A Round is one short measurement, in turn with those of the other servers.
type Round struct {
	PerSecond float64
	P50, P99  time.Duration
	CPU       time.Duration // of the server, for a request
	Others    float64       // the part of the machine that others had
}

// A subject is a server with its name in the pictures, and its process while there is one.
type subject struct {
	name  string
	spool bool
	server
	process *proc.Process
	addr    string
	sent    int // requests that were answered 2xx
}

// subjects are what the pictures of rates have lines for.
func subjects() []*subject {
	return []*subject{
		{name: "net/http alone", server: server{Bare: true}},
		{name: "beacon"},
		{name: "beacon, tracker", server: server{Tracker: true}},
		{name: "spool", spool: true},
		{name: "spool, tracker", spool: true, server: server{Tracker: true}},
	}
}

// reports is what connections send, in all runs of a load: each the reports of a page view
// of its own, in which the numbers go up, so that a tracker has what it has in a site.
func reports() func(conn, n int) []byte {
	const (
		session = "000000"
		seq     = "1000000"       // of a report
		now     = "1700000030000" // when it is sent, and how far the page view has come
	)
	first := bodies.Body{Type: bodies.TextType, Data: []byte(`{"v":1,"m":"replace","k":"s","b":"b","r":2,"sid":"` + session + `","pv":"p",` +
		`"page":"https://example.com/dir/page","via":"now","at":` + now + `,"ev":[{"n":` + seq + `,"t":` + now + `,"e":"session",` +
		`"d":{"start":1700000000000,"end":` + now + `,"engaged":12340,"seen":30000}}]}`)}.Post()
	requests := map[int][]byte{}
	return func(conn, _ int) []byte {
		r := requests[conn] // the one before, which was answered
		if r == nil {
			r = bytes.Replace(first, []byte(session), fmt.Appendf(nil, "%0*d", len(session), conn), 1)
			requests[conn] = r
			return r
		}
		countUp(r, []byte(`"n":`), len(seq))
		for _, before := range []string{`"at":`, `"t":`, `"end":`} {
			countUp(r, []byte(before), len(now))
		}
		return r
	}
}

// countUp adds one to the number of so many digits behind a text.
func countUp(r, before []byte, digits int) {
	at := bytes.Index(r, before) + len(before)
	for i := at + digits - 1; i >= at; i-- {
		if r[i]++; r[i] <= '9' {
			return
		}
		r[i] = '0'
	}
}

// byConnections measures each server on a core of its own, with the load on another one
// where there is one.
func (p plan) byConnections() ([]Rate, error) {
	return p.rates(p.conns, func(s *subject, _ int) (cpu, maxprocs int) {
		// While a spool waits for the disk, the only one of Go's processors would wait, too.
		if s.spool {
			return 0, 2
		}
		return 0, 1
	}, func(n int) int { return n })
}

// byCores measures how much CPU time a request takes if the server may use more cores.
func (p plan) byCores(conns int) ([]Rate, error) {
	return p.rates(p.cores, func(_ *subject, n int) (cpu, maxprocs int) { return -1, n }, func(int) int { return conns })
}

// rates measures all subjects at each n, in turn, so that all have the same share of what
// else the machine does.
func (p plan) rates(ns []int, place func(*subject, int) (cpu, maxprocs int), conns func(int) int) ([]Rate, error) {
	rates := make([]Rate, len(p.subjects))
	for i, s := range p.subjects {
		rates[i].Server = s.name
	}
	for _, n := range ns {
		points, err := p.point(n, place, conns(n))
		if err != nil {
			return nil, fmt.Errorf("at %d: %w", n, err)
		}
		for i := range rates {
			rates[i].Points = append(rates[i].Points, points[i])
		}
	}
	return rates, nil
}

// point measures all subjects once, with processes that nothing has been measured with.
func (p plan) point(n int, place func(*subject, int) (cpu, maxprocs int), conns int) (points []Load, err error) {
	loader, err := p.loader(place(p.subjects[0], n))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, loader.Stop()) }()
	for _, s := range p.subjects {
		cpu, maxprocs := place(s, n)
		if err := s.start(p.dir, cpu, maxprocs); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
	}
	points = make([]Load, len(p.subjects))
	for round := range p.rounds {
		for i := range p.subjects {
			i = (i + round) % len(p.subjects)
			s := p.subjects[i]
			r, err := s.measure(loader, load.Options{Conns: conns, Warm: p.warm, Window: p.window})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			points[i].N, points[i].Rounds = n, append(points[i].Rounds, r)
		}
	}
	for _, s := range p.subjects {
		if err := s.delivered(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return points, nil
}

// loader starts the load beside a server on the processor cpu.
func (plan) loader(cpu, _ int) (*proc.Process, error) {
	beside := -1
	if cpu >= 0 && runtime.NumCPU() > 1 {
		beside = cpu + 1
	}
	return start(loading, beside, 0)
}

func (s *subject) start(dir string, cpu, maxprocs int) (err error) {
	if s.spool {
		if s.Spool, err = os.MkdirTemp(dir, "curves"); err != nil {
			return err
		}
	}
	s.sent = 0
	s.process, s.addr, err = serve(s.server, cpu, maxprocs)
	return err
}

func (s *subject) stop() error {
	err := s.process.Stop()
	if s.spool {
		err = errors.Join(err, os.RemoveAll(s.Spool))
	}
	return err
}

// measure is one round.
func (s *subject) measure(loader *proc.Process, o load.Options) (Round, error) {
	o.Addr, o.PID = s.addr, s.process.PID
	w, err := watchOthers(o.PID, loader.PID)
	if err != nil {
		return Round{}, err
	}
	var r load.Result
	if err := loader.Ask(o, &r); err != nil {
		return Round{}, err
	}
	others, err := w.share()
	s.sent += r.Total
	if r.Refused > 0 || r.Answers == 0 {
		return Round{}, fmt.Errorf("%d answers, and %d that are not 2xx, the last with %d", r.Answers, r.Refused, r.Status)
	}
	return Round{PerSecond: math.Round(r.Rate()), P50: r.P50, P99: r.P99, CPU: r.CPUEach(), Others: math.Round(others*1e3) / 1e3}, err
}

// delivered waits until the Sink has what was answered: rates of what is lost on the way
// are none.
func (s *subject) delivered() error {
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var now state
		if err := s.process.Ask(ask{}, &now); err != nil {
			return err
		}
		switch {
		case now.Events == uint64(s.sent):
			return nil
		case now.Events > uint64(s.sent) || time.Since(begun) > time.Minute:
			return fmt.Errorf("%d events came out of %d requests", now.Events, s.sent)
		}
	}
}
