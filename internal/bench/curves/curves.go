// Package curves measures how a server does with more connections, cores, bodies and
// events, beside net/http alone and beside the bound that is promised of its memory, and
// draws it.
package curves

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options say what [Tables] does.
type Options struct {
	Dir    string // of pictures and results; "" writes none
	Draw   bool   // the results that are there, and measures nothing
	Quick  bool   // few points, for a moment each
	Rounds int    // of each rate; 0 is 7, or 2 if it is to be quick

	Processor string // the name of the machine's, which is shown
}

// Results are what was measured.
type Results struct {
	Machine     string
	Cores       int
	Connections []Rate // by open connections
	CPU         []Rate // by cores
	CPUConns    int    // the connections of these
	Idle        []Memory
	Bodies      []Memory
	Events      []Memory
}

// file is where results are kept, beside their pictures.
const file = "speed.json"

// Tables measures, or reads what was measured, and writes tables, and pictures where they
// are wanted. Memory above its bound is an error, after that.
func Tables(w io.Writer, o Options) error {
	var r Results
	name := filepath.Join(o.Dir, file)
	if o.Draw {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	} else {
		var err error
		if r, err = newPlan(o).measure(); err != nil {
			return err
		}
	}
	if err := r.tables(w); err != nil {
		return err
	}
	if o.Dir == "" {
		return r.exceeded()
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	if !o.Draw {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(r.draw(o.Dir), r.exceeded())
}

// A plan says what is measured, and for how long.
type plan struct {
	conns, cores         []int
	idle, bodies, events []int // what is kept

	rounds       int
	warm, window time.Duration // of each
	settle       time.Duration // until who finds no room was told so, at least

	subjects []*subject
	dir      string // on a disk, for spools
	machine  string // what it is measured on
}

func newPlan(o Options) plan {
	p := plan{
		conns:  []int{1, 4, 16, 64, 256, 1024, 4096},
		idle:   []int{0, 512, 1024, 2048, 3072, 4096},
		bodies: []int{0, 128, 256, 384, 512, 1024, 1536},
		events: []int{0, 32_000, 64_000, 96_000, 128_000, 192_000, 256_000},
		rounds: 7, warm: 200 * time.Millisecond, window: 400 * time.Millisecond,
		settle:   2 * time.Second,
		subjects: subjects(), dir: "/var/tmp", // where /tmp may be memory
		machine: fmt.Sprintf("%s, %s, %s", o.Processor, runtime.GOOS, strings.Replace(runtime.Version(), "go", "Go ", 1)),
	}
	for n := 1; n <= runtime.NumCPU(); n *= 2 {
		p.cores = append(p.cores, n)
	}
	if o.Quick {
		p.conns, p.cores = []int{1, 64}, []int{1, 2}
		p.idle, p.bodies, p.events = []int{0, 256}, []int{0, 64}, []int{0, 16_000}
		p.rounds, p.warm, p.window, p.settle = 2, 50*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond
	}
	if o.Rounds > 0 {
		p.rounds = o.Rounds
	}
	return p
}

// coresAt is with how many connections cores are measured: enough to keep them busy.
const coresAt = 64

// measure takes about five minutes, or seconds if it is to be quick.
func (p plan) measure() (r Results, err error) {
	if n := runtime.NumCPU(); runtime.GOMAXPROCS(0) < n {
		// The tables before may have wanted one processor; those who hold connections do not.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	}
	if err := files(max(slices.Max(p.conns), slices.Max(p.idle))); err != nil {
		return r, err
	}
	r = Results{Machine: p.machine, Cores: runtime.NumCPU(), CPUConns: coresAt}
	bare, queue := idleConnections, waitingEvents
	bare.server.Bare, queue.server.Queue = true, true
	for _, m := range []struct {
		to     *[]Memory
		server string
		weight weight
		ns     []int
	}{
		{&r.Idle, "beacon", idleConnections, p.idle},
		{&r.Idle, "net/http alone", bare, p.idle},
		{&r.Bodies, "beacon", slowBodies, p.bodies},
		{&r.Events, "beacon", waitingEvents, p.events},
		{&r.Events, "beacon and a queue", queue, p.events},
	} {
		curve := Memory{Server: m.server}
		for _, n := range m.ns {
			point, err := m.weight.measure(n, p.settle)
			if err != nil {
				return r, fmt.Errorf("memory of %s with %d: %w", m.server, n, err)
			}
			curve.Points = append(curve.Points, point)
		}
		*m.to = append(*m.to, curve)
	}
	if r.Connections, err = p.byConnections(); err != nil {
		return r, fmt.Errorf("connections: %w", err)
	}
	if r.CPU, err = p.byCores(coresAt); err != nil {
		return r, fmt.Errorf("cores: %w", err)
	}
	return r, nil
}

// exceeded is an error if any server took more memory than is promised.
func (r Results) exceeded() error {
	var errs []error
	for what, curves := range map[string][]Memory{"connections": r.Idle, "bodies": r.Bodies, "events": r.Events} {
		for _, c := range curves {
			for _, p := range c.Points {
				if p.Peak > p.Bound {
					errs = append(errs, fmt.Errorf("%s with %d %s takes %s, and the bound is %s", c.Server, p.N, what, megabytes(p.Peak), megabytes(p.Bound)))
				}
			}
		}
	}
	return errors.Join(errs...)
}
