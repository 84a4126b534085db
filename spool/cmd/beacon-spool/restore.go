package main

import (
	"fmt"

	"github.com/pagebeacon/beacon/spool"
)

func replay(c *call) error  { return restore(c, spool.Replay) }
func salvage(c *call) error { return restore(c, spool.Salvage) }

func restore(c *call, do func(dir, to string, which func(spool.Record) bool) (spool.Restored, error)) error {
	to := c.flags.String("to", "", "")
	which := filters(c.flags)
	args, err := c.parse(1)
	if err != nil {
		return err
	}
	dir := args[0]
	for _, d := range []string{dir, *to} {
		if d != "" {
			if err := mayWrite(d); err != nil {
				return err
			}
		}
	}
	done, err := do(dir, *to, which)
	if err == nil || done.Events > 0 {
		fmt.Fprintf(c.stdout, "%d events put back, %d records left\n", done.Events, done.Left)
	}
	return err
}
