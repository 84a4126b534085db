package main

import (
	"fmt"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

func purge(c *call) error {
	dead := c.flags.Bool("dead", false, "")
	damaged := c.flags.Bool("damaged", false, "")
	events := c.flags.Bool("events", false, "")
	older := c.flags.Duration("older", 0, "")
	args, err := c.parse(1)
	if err != nil {
		return err
	}
	var states []spool.State
	if *dead {
		states = append(states, spool.StateDead)
	}
	if *damaged {
		states = append(states, spool.StateDamaged)
	}
	if *events {
		states = append(states, spool.StatePending)
	}
	if states == nil {
		return fmt.Errorf("%w: purge what?", errUsage)
	}
	dir := args[0]
	if err := mayWrite(dir); err != nil {
		return err
	}
	var before time.Time
	if *older > 0 {
		before = time.Now().Add(-*older)
	}
	done, err := spool.Purge(dir, before, states...)
	if err == nil || done.Files > 0 {
		fmt.Fprintf(c.stdout, "%d files removed, %d bytes\n", done.Files, done.Bytes)
	}
	return err
}
