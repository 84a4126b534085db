// Command bench prints how fast beacon is beside net/http, which it cannot outrun, and
// beside what a host would write without it.
//
//	go run .                         all tables but the curves, in a quarter of an hour
//	go run . -quick                  a coarse version of those that CI prints
//	go run . -table handler          one of them; all are within five minutes but e2e
//	go run . -table curves -o DIR    more connections, cores and memory, as pictures, too
//	go run . -table curves -o DIR -draw   the same, of what was measured before
//
// All of it is CPU time, see package pair, but for the curves. It needs Linux.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/curves"
	"github.com/pagebeacon/beacon/internal/bench/e2e"
	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// When a table is printed that is not asked for by its name.
const (
	never = iota
	full
	always // with -quick, too
)

// tables in the order in which they are printed.
var tables = []struct {
	name  string
	when  int
	goals bool // has figures that there are targets for
	print func(*report) error
}{
	{"handler", always, true, handlers},
	{"requests", full, false, requests},
	{"refused", full, false, refusing},
	{"decode", always, true, decode},
	{"slopes", full, true, gradients},
	{"events", always, true, forms},
	{"handoff", always, true, handoffs},
	{"attacks", full, false, attacks},
	{"linear", full, false, linear},
	{"e2e", always, true, endToEnd},
	{"curves", never, false, func(r *report) error { return curves.Tables(r, r.curves) }},
	{"targets", always, false, goals},
	{"readme", full, false, numbers},
}

// A report is what a run of the command prints.
type report struct {
	io.Writer
	pair.Options
	quick   bool
	results map[string]reached
	curves  curves.Options
}

func main() {
	for _, child := range []func([]string) (bool, error){e2e.Child, curves.Child} {
		if ran, err := child(os.Args[1:]); ran {
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			return
		}
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	r := report{Writer: w}
	var names []string
	for _, t := range tables {
		names = append(names, t.name)
	}
	name := flags.String("table", "", "print only this one: "+strings.Join(names, ", "))
	flags.BoolVar(&r.quick, "quick", false, "few bodies, few rounds")
	flags.IntVar(&r.Rounds, "rounds", 0, "how often each subject runs (default 15, with -quick 9)")
	flags.DurationVar(&r.Slice, "slice", 0, "how much CPU time each run takes (default 40ms, with -quick 20ms)")
	flags.StringVar(&r.curves.Dir, "o", "", "where the curves are drawn")
	flags.BoolVar(&r.curves.Draw, "draw", false, "draw the curves of what was measured before")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r.curves.Quick, r.curves.Rounds, r.curves.Processor = r.quick, r.Rounds, processor()
	if r.quick {
		r.Rounds, r.Slice = cmp.Or(r.Rounds, 9), cmp.Or(r.Slice, 20*time.Millisecond)
	}
	fmt.Fprintf(w, "%s, %d of its CPUs; %s; %s.\n\n", processor(), runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	runtime.GOMAXPROCS(1) // so that the collector's work is that of the subject that made the garbage
	printed := false
	for _, t := range tables {
		if t.goals && (*name == "targets" || *name == "readme") {
			r.Writer = io.Discard
			if err := t.print(&r); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
			r.Writer = w
		}
		if t.name == *name || *name == "" && (t.when == always || t.when == full && !r.quick) {
			printed = true
			if err := r.shared(t.print); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
		}
	}
	if !printed {
		return fmt.Errorf("no table %q: there are %s", *name, strings.Join(names, ", "))
	}
	return nil
}

// shared prints a table and, if the work was this process's and others had much of the
// processor, how much it had: what they run in between empties the caches, which whoever has
// more code has to make up for more.
func (r *report) shared(print func(*report) error) error {
	start := time.Now()
	before, err := pair.CPU()
	if err != nil {
		return err
	}
	if err := print(r); err != nil {
		return err
	}
	after, err := pair.CPU()
	if err != nil {
		return err
	}
	if had := float64(after-before) / float64(time.Since(start)); had > 0.05 && had < 0.9 {
		fmt.Fprintf(r, "It had %.0f %% of a processor: believe the medians less than the minima, and both less than those of a machine with nothing else to do.\n\n", 100*had)
	}
	return nil
}

// processor is the name of the machine's.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
