package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

// verify prints a line for each place that is not all right.
func verify(c *call) error {
	args, err := c.parse(1)
	if err != nil {
		return err
	}
	records, bad := 0, 0
	for r, err := range spool.Read(args[0]) {
		switch {
		case err != nil && r.File == "":
			return err // the directory itself
		case err != nil:
			bad++
			fmt.Fprintln(c.stdout, oneLine(err.Error()))
		case r.State == spool.StateDamaged:
			bad++
			tell(c.stdout, r, r.Err)
		case r.Err != nil: // intact: perhaps of a later version
			records++
			tell(c.stdout, r, r.Err)
		default:
			records++
		}
	}
	fmt.Fprintf(c.stdout, "%d records, %d damaged places\n", records, bad)
	if bad > 0 {
		return errDamage
	}
	return nil
}

func tell(w io.Writer, r spool.Record, err error) {
	fmt.Fprintf(w, "%s: %d bytes at %d: %s\n", r.File, r.Bytes, r.Offset, oneLine(err.Error()))
}

// printEvents prints the stored JSON of the events in a state, one a line. A dead
// letter comes with its reason: {"died": …, "why": …, "event": …}.
func printEvents(c *call) error {
	state := c.flags.String("state", "pending", "")
	which := filters(c.flags)
	args, err := c.parse(1)
	if err != nil {
		return err
	}
	switch spool.State(*state) {
	case spool.StatePending, spool.StateDelivered, spool.StateDead, spool.StateAside, "all":
	default:
		return fmt.Errorf("%w: no state %q", errUsage, *state)
	}
	out := bufio.NewWriter(c.stdout)
	damaged := false
	for r, err := range spool.Read(args[0]) {
		if err != nil && r.File == "" {
			return err
		}
		damaged = damaged || err != nil || r.State == spool.StateDamaged
		if err = errors.Join(err, r.Err); err != nil {
			tell(c.stderr, r, err)
		}
		if len(r.JSON) == 0 || *state != "all" && string(r.State) != *state || !which(r) {
			continue
		}
		line, err := printed(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if damaged {
		return errDamage
	}
	return nil
}

func printed(r spool.Record) ([]byte, error) {
	if r.State != spool.StateDead {
		return r.JSON, nil
	}
	return json.Marshal(struct {
		Died  time.Time       `json:"died"`
		Why   string          `json:"why"`
		Event json.RawMessage `json:"event"`
	}{r.Died, strings.ToValidUTF8(r.Why, "\uFFFD"), r.JSON})
}

// filters adds the flags that choose records. The function is for when they were read.
func filters(flags *flag.FlagSet) (which func(spool.Record) bool) {
	id := flags.String("id", "", "")
	why := flags.String("why", "", "")
	older := flags.Duration("older", 0, "")
	newer := flags.Duration("newer", 0, "")
	now := time.Now()
	return func(r spool.Record) bool {
		at := r.Died
		if at.IsZero() {
			at = r.Event.Received
		}
		return (*id == "" || r.Event.ID == *id) &&
			strings.Contains(r.Why, *why) &&
			(*older == 0 || now.Sub(at) > *older) &&
			(*newer == 0 || now.Sub(at) < *newer)
	}
}
