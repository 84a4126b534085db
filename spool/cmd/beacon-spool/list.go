package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

// A listed is what list says of a file.
type listed struct {
	File      string    `json:"file"`
	Bytes     int64     `json:"bytes"` // of records and damage
	Pending   int       `json:"pending"`
	Delivered int       `json:"delivered"`
	Dead      int       `json:"dead"`
	Aside     int       `json:"aside"`
	Damaged   int       `json:"damaged"`
	First     time.Time `json:"first,omitzero"` // received
	Last      time.Time `json:"last,omitzero"`
}

func (f *listed) add(r spool.Record) {
	switch r.State {
	case spool.StatePending:
		f.Pending++
	case spool.StateDelivered:
		f.Delivered++
	case spool.StateDead:
		f.Dead++
	case spool.StateAside:
		f.Aside++
	case spool.StateDamaged:
		f.Damaged++
	}
	f.Bytes += r.Bytes
	if at := r.Event.Received; !at.IsZero() {
		if f.First.IsZero() {
			f.First = at
		}
		f.Last = at
	}
}

// list prints a line for each file.
func list(c *call) error {
	asJSON := c.flags.Bool("json", false, "")
	args, err := c.parse(1)
	if err != nil {
		return err
	}
	var files []*listed
	for r, err := range spool.Read(args[0]) {
		if err != nil {
			return err
		}
		if len(files) == 0 || files[len(files)-1].File != r.File {
			files = append(files, &listed{File: r.File})
		}
		files[len(files)-1].add(r)
	}
	if *asJSON {
		out := json.NewEncoder(c.stdout)
		for _, f := range files {
			if err := out.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "file\tbytes\tpending\tdelivered\tdead\taside\tdamaged\tfirst received\tlast received\t")
	for _, f := range files {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", f.File, f.Bytes,
			f.Pending, f.Delivered, f.Dead, f.Aside, f.Damaged, stamp(f.First), stamp(f.Last))
	}
	return t.Flush()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
