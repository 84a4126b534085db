// Beacon-spool shows what is in the directory of a spool.
//
//	beacon-spool list DIR            the files, with what they hold
//	beacon-spool verify DIR          the damaged places; exits with 1 if there are any
//	beacon-spool print [-state S] DIR   the events, one JSON object a line
//
// It changes nothing and may be used while the spool is open.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

const usage = `usage:
  beacon-spool list DIR
  beacon-spool verify DIR
  beacon-spool print [-state pending|delivered|dead|all] DIR
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0, 1 for damage or failure, 2 for bad usage.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("beacon-spool", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	state := flags.String("state", "pending", "")
	if len(args) == 0 {
		flags.Usage()
		return 2
	}
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return 2
	}
	out := bufio.NewWriter(stdout)
	var ok bool
	var err error
	switch dir := flags.Arg(0); args[0] {
	case "list":
		ok, err = list(out, dir)
	case "verify":
		ok, err = verify(out, dir)
	case "print":
		ok, err = printEvents(out, stderr, dir, spool.State(*state))
	default:
		flags.Usage()
		return 2
	}
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	if err != nil {
		fmt.Fprintln(stderr, "beacon-spool:", err)
		return 1
	}
	if !ok {
		return 1
	}
	return 0
}

// list prints a line for each file.
func list(w io.Writer, dir string) (bool, error) {
	type file struct {
		name        string
		count       map[spool.State]int
		bytes       int64
		first, last time.Time
	}
	var files []*file
	for r, err := range spool.Read(dir) {
		if err != nil {
			return false, err
		}
		if len(files) == 0 || files[len(files)-1].name != r.File {
			files = append(files, &file{name: r.File, count: map[spool.State]int{}})
		}
		f := files[len(files)-1]
		f.count[r.State]++
		f.bytes += r.Bytes
		if at := r.Event.Received; !at.IsZero() {
			if f.first.IsZero() {
				f.first = at
			}
			f.last = at
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "file\tbytes\tpending\tdelivered\tdead\tdamaged\tfirst received\tlast received\t")
	for _, f := range files {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", f.name, f.bytes,
			f.count[spool.StatePending], f.count[spool.StateDelivered], f.count[spool.StateDead], f.count[spool.StateDamaged],
			stamp(f.first), stamp(f.last))
	}
	return true, t.Flush()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// verify prints a line for each place that is not all right.
func verify(w io.Writer, dir string) (ok bool, err error) {
	records, bad := 0, 0
	for r, err := range spool.Read(dir) {
		switch {
		case err != nil:
			bad++
			fmt.Fprintln(w, err)
		case r.Err != nil:
			bad++
			fmt.Fprintf(w, "%s: %d bytes at %d: %v\n", r.File, r.Bytes, r.Offset, r.Err)
		default:
			records++
		}
	}
	fmt.Fprintf(w, "%d records, %d damaged places\n", records, bad)
	return bad == 0, nil
}

// printEvents prints the stored JSON of the events in a state, one a line. A dead
// letter comes with its reason: {"died": …, "why": …, "event": …}.
func printEvents(w, stderr io.Writer, dir string, state spool.State) (ok bool, err error) {
	switch state {
	case spool.StatePending, spool.StateDelivered, spool.StateDead, "all":
	default:
		return false, fmt.Errorf("no state %q", state)
	}
	ok = true
	for r, err := range spool.Read(dir) {
		if err == nil {
			err = r.Err
		}
		if err != nil {
			ok = false
			fmt.Fprintf(stderr, "%s: at %d: %v\n", r.File, r.Offset, err)
		}
		if len(r.JSON) == 0 || state != "all" && r.State != state {
			continue
		}
		line := []byte(r.JSON)
		if r.State == spool.StateDead {
			if line, err = json.Marshal(struct {
				Died  time.Time       `json:"died"`
				Why   string          `json:"why"`
				Event json.RawMessage `json:"event"`
			}{r.Died, strings.ToValidUTF8(r.Why, "\uFFFD"), r.JSON}); err != nil {
				return false, err
			}
		}
		if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
			return false, err
		}
	}
	return ok, nil
}
