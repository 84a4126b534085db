// Fleet is a site of more than one machine, in one process: a day of visits is played to it
// in some seconds, and what it has stored is what a single process makes of the same visits.
//
//	go run . [-chaos]
//
// The path of a beacon, and where to read it:
//
//	browsers.go   → POST to any of three receivers
//	receiver.go   → beacon.Handler → spool, which answers for it → Sink of connect/nats
//	cluster.go    → JetStream: three nodes, each message on the disks of two before it is acknowledged
//	consumer.go   → connect/nats.Consumer, two of them → store, which joins, and then the acknowledgement
//	database.go   → PostgreSQL if there is one, or else SQLite
//
// fleet.go starts and ends them, compare.go is the run, replay.go the single process, and
// chaos.go what goes away meanwhile with -chaos. It needs nothing but Go.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the next one ends the program the hard way.
	context.AfterFunc(ctx, stop)
	err := run(ctx, flags(), os.Stdout)
	if errors.Is(err, context.Canceled) {
		log.Fatal("interrupted, so nothing was compared")
	}
	if err != nil {
		log.Fatal(err)
	}
}
