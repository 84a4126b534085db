// Beacon-spool looks after the directory of a spool.
//
//	beacon-spool list [-json] DIR        the files, with what they hold
//	beacon-spool verify DIR              the damaged places
//	beacon-spool print [-state S] DIR    the events, one JSON object a line
//	beacon-spool replay [-to DIR] DIR    dead letters back into the queue
//	beacon-spool salvage [-to DIR] DIR   intact records out of damaged files, into the queue
//	beacon-spool drain DIR [COMMAND]     the events that wait, to stdout or to a command
//	beacon-spool purge -dead|… DIR       removes files
//
// List, verify and print change nothing. They and purge, but for events, may be used while
// a program has the spool open; the others say that it is in use.
//
// Print, replay and salvage take filters, of which all have to hold: -id ID, -why TEXT (a
// part of a dead letter's reason), -older D and -newer D, which are about when a letter died
// or an event was received, and are durations such as 90m or 48h. Print with the same
// filters shows what replay ("-state dead") and salvage ("-state aside") would put back.
//
// Drain gives each batch to the command as JSON lines on its stdin; 0 as its exit status
// means that the events are taken. On anything else drain ends, and what was not taken
// waits on. Without a command, what was written to stdout is taken, and synced if that is a
// file. The command's output is that of beacon-spool.
//
// What a visitor sent may fool a terminal. If stdout or stderr is one, what is not printable
// (control characters, those that turn the direction of text, invalid UTF-8) is written to
// it as \u and four digits; -escape always does so everywhere and -escape never nowhere. JSON
// with such escapes means the same.
//
// The exit status is 0, 1 if damage was found, and 2 for wrong usage and for failures.
// Commands that change files have to run as the user whom the directory belongs to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/pagebeacon/beacon/spool"
)

const usage = `usage:
  beacon-spool list    [-json] DIR
  beacon-spool verify  DIR
  beacon-spool print   [-state pending|delivered|dead|aside|all] [FILTERS] DIR
  beacon-spool replay  [-to DIR] [FILTERS] DIR
  beacon-spool salvage [-to DIR] [FILTERS] DIR
  beacon-spool drain   [-batch N] [-timeout D] DIR [COMMAND [ARG...]]
  beacon-spool purge   [-dead] [-damaged] [-events] [-older D] DIR

filters: [-id ID] [-why TEXT] [-older D] [-newer D]
all:     [-escape auto|always|never]
exit status: 0 all right, 1 damage found, 2 wrong usage or failed
`

var commands = map[string]func(*call) error{
	"list": list, "verify": verify, "print": printEvents,
	"replay": replay, "salvage": salvage, "drain": drain, "purge": purge,
}

var (
	errDamage = errors.New("damage found") // which was told
	errUsage  = errors.New("wrong usage")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &call{ctx: ctx, stdout: stdout, stderr: stderr}
	err := errUsage
	if len(args) > 0 && commands[args[0]] != nil {
		c.flags = flag.NewFlagSet(args[0], flag.ContinueOnError)
		c.flags.SetOutput(io.Discard) // the package's own text has another form
		c.args = args[1:]
		err = commands[args[0]](c)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDamage):
		return 1
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case errors.Is(err, errUsage):
		if err != errUsage {
			c.complain(err)
		}
		fmt.Fprint(stderr, usage)
		return 2
	case errors.Is(err, spool.ErrLocked):
		err = errors.New("the directory is in use: stop the program that has it open first")
	}
	c.complain(err)
	return 2
}

// A call is one run of a command.
type call struct {
	ctx            context.Context
	flags          *flag.FlagSet
	args           []string
	stdout, stderr io.Writer
	escape         string
}

// parse returns the arguments that are not flags, at least one and at most n of them.
func (c *call) parse(n int) ([]string, error) {
	c.flags.StringVar(&c.escape, "escape", "auto", "")
	if err := c.flags.Parse(c.args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, c.escape) {
		return nil, fmt.Errorf("%w: -escape %s", errUsage, c.escape)
	}
	if c.flags.NArg() < 1 || c.flags.NArg() > n {
		return nil, errUsage
	}
	c.stdout, c.stderr = c.safe(c.stdout), c.safe(c.stderr)
	return c.flags.Args(), nil
}

func (c *call) complain(err error) {
	fmt.Fprintf(c.stderr, "beacon-spool: %s\n", escape([]byte(oneLine(err.Error()))))
}
