// Package e2e measures servers in processes of their own, over loopback: beacon with
// what stands behind it, net/http that does nothing, and what a host would take
// instead.
//
// The servers share one processor, on which one of them works at a time, and the load
// has another. Each has a turn of a few hundredths of a second directly before or after one of
// the floor, again and again, so that a neighbour who comes or goes meets both, and what
// counts is the CPU time of the server's process for each request. Each process counts
// what it delivered, which has to be what was answered with 2xx; an answer that is not
// fails the measurement.
package e2e

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// Options say how long to measure.
type Options struct {
	Rounds int  // in how many each server has a turn; default 25, or 9 if it is quick
	Quick  bool // few servers, and short turns

	// A turn is over when the server has had Slice of CPU time, by default 60 ms or, if
	// it is quick, 30, and after Window at the latest, by default a second or 250 ms.
	Slice, Window time.Duration

	// Reach is told the parts of the floor that other tables show: the median of
	// all pairs, and that of the minima.
	Reach func(key string, median, least float64)
}

// connections are those of the tables.
var connections = []int{32, 256}

// Tables measures, and writes what it found as Markdown. It takes about seven minutes,
// or twenty seconds if it is quick, and needs two processors, and without Quick
// npm. What is stored lies in /var/tmp, which is a disk.
func Tables(w io.Writer, o Options) error {
	rows := subjects()
	if o.Quick {
		o.Rounds, o.Slice, o.Window = cmp.Or(o.Rounds, 9), cmp.Or(o.Slice, 30*time.Millisecond), cmp.Or(o.Window, 250*time.Millisecond)
		rows = quick(rows)
	}
	o.Rounds, o.Slice, o.Window = cmp.Or(o.Rounds, 25), cmp.Or(o.Slice, 60*time.Millisecond), cmp.Or(o.Window, time.Second)
	b, err := newBench(rows, false)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.warm(); err != nil {
		return err
	}
	for _, conns := range connections {
		if err := b.measure(o, conns); err != nil {
			return fmt.Errorf("%d connections: %w", conns, err)
		}
		if err := write(w, conns, rows); err != nil {
			return err
		}
		for _, r := range rows {
			if r.goal != "" && o.Reach != nil {
				o.Reach(fmt.Sprint(r.goal, "/", conns), r.ratio(), r.least())
			}
		}
	}
	return nil
}

// A bench is where rows are measured.
type bench struct {
	rows []*row
	dir  string
	load *proc.Process
}

// newBench starts all processes. The servers keep the last thing that comes, if they
// are told to.
func newBench(rows []*row, keep bool) (_ *bench, err error) {
	cpus, err := processors()
	if err != nil {
		return nil, err
	}
	b := &bench{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("/var/tmp", "beacon-bench-"); err != nil {
		return nil, err
	}
	if b.load, err = proc.Start(cpus[1], []string{"GOMAXPROCS=1"}, os.Args[0], "load", b.dir); err != nil {
		return nil, err
	}
	for i, r := range rows {
		dir := filepath.Join(b.dir, strconv.Itoa(i))
		if r.kind == express {
			dir = filepath.Join(b.dir, "express") // one for all: what is to be installed is much
		}
		if err := r.start(cpus[0], dir, keep); err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
		b.rows = append(b.rows, r)
	}
	return b, nil
}

func (b *bench) close() {
	for _, r := range b.rows {
		_ = r.process.Stop()
	}
	if b.load != nil {
		_ = b.load.Stop()
	}
	_ = os.RemoveAll(b.dir)
}

// warm has every server answer some thousand requests, after which node has compiled
// what it is going to compile.
func (b *bench) warm() error {
	for _, r := range b.rows {
		if err := r.turn(b.load, load.Options{Conns: 32, Requests: 5000}); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

// measure gives each row its turns, each beside one of its floor.
func (b *bench) measure(o Options, conns int) (err error) {
	floors := map[form]*row{}
	var others []*row
	for _, r := range b.rows {
		r.turns = nil
		if r.kind == floor {
			floors[r.form] = r
		} else {
			others = append(others, r)
		}
	}
	turn := load.Options{Conns: conns, Keep: true, Warm: 20 * time.Millisecond, Enough: o.Slice, Window: o.Window}
	for round := range o.Rounds {
		for i := range others { // who comes after whom changes
			r := others[(i+round)%len(others)]
			pair := []*row{floors[r.form], r}
			if (i+round)%2 == 1 {
				slices.Reverse(pair)
			}
			for _, one := range pair {
				if err := one.turn(b.load, turn); err != nil {
					return fmt.Errorf("%s: %w", one, err)
				}
			}
			r.turns[len(r.turns)-1].floor = cpu(floors[r.form].turns[len(floors[r.form].turns)-1])
		}
	}
	for _, r := range b.rows {
		if _, err := r.delivered(); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		if r.rss, err = r.process.PeakRSS(); err != nil {
			return err
		}
	}
	return nil
}

// processors returns those of the servers and of the load.
func processors() (cpus [2]int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cpus, err
	}
	n := 0
	for cpu := range 1024 {
		if set.IsSet(cpu) && n < len(cpus) {
			cpus[n] = cpu
			n++
		}
	}
	if n < len(cpus) {
		return cpus, fmt.Errorf("the servers and the load need a processor each, and there is %d", n)
	}
	return cpus, nil
}
