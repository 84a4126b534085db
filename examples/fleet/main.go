// Fleet is a site of more than one machine, in one process: three receivers, a log of
// three nodes, two consumers and a database, with a day of visits played to it in some
// seconds. In the end it shows that the database has what a single process makes of the
// same visits, to the last column, although every event came by another way, in another
// order, and some of them twice.
//
//	go run . [-chaos]
//
// The path of a beacon, and where to read it:
//
//	browsers.go   → POST to any of the receivers
//	receiver.go   → beacon.Handler → spool, which answers for it → Sink of connect/nats
//	cluster.go    → JetStream: three nodes, each message on the disks of two before it is acknowledged
//	consumer.go   → connect/nats.Consumer → store, which joins, and then the acknowledgement
//	database.go   → PostgreSQL if there is one, or else SQLite
//
// fleet.go starts and ends them, replay.go is the single process, and chaos.go is what
// happens with -chaos: parts go away and come back meanwhile. It needs nothing but Go.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.visits, "visits", 300, "how many `visits` there are")
	flag.DurationVar(&o.load, "load", 6*time.Second, "how `long` it takes to play them, at least")
	flag.BoolVar(&o.chaos, "chaos", false, "let parts of the fleet go away and come back meanwhile")
	flag.StringVar(&o.db, "db", "", "`postgresql`, which DATABASE_URL may name, or sqlite; by default the former if it is there")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the next one ends the program the hard way.
	context.AfterFunc(ctx, stop)
	err := run(ctx, o, os.Stdout)
	if errors.Is(err, context.Canceled) {
		log.Fatal("interrupted, so nothing was compared")
	}
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	visits int
	load   time.Duration
	chaos  bool
	db     string
}

// run returns nil if what the fleet has stored is what it should.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := startFleet(ctx, dir, o.db, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()

	requests := browse(o.visits)
	load := player{receivers: f.urls(), browsers: 24}
	load.pause = o.load * time.Duration(load.browsers) / time.Duration(max(1, len(requests)))
	playing, played := context.WithCancel(ctx)
	disturbed := make(chan error, 1)
	go func() {
		if !o.chaos {
			disturbed <- nil
			return
		}
		disturbed <- f.disturb(playing)
	}()
	err = load.play(ctx, requests)
	played()
	if err = errors.Join(err, <-disturbed); err != nil {
		return err
	}
	f.say("Sent %d requests, all acknowledged; %d were refused for the moment and %d found nobody, and were sent again",
		load.acknowledged.Load(), load.refused.Load(), load.failed.Load())

	if err := f.drain(ctx); err != nil {
		return err
	}
	got, err := stored(ctx, f.consumers[0].stored)
	if err != nil {
		return err
	}
	want, err := replayed(ctx, requests)
	if err != nil {
		return err
	}
	f.say("%16s %17s %17s", "", "the fleet", "a single process")
	f.say("%16s %17d %17d", "events stored", len(got.events), len(want.events))
	f.say("%16s %17d %17d", "page views", got.views, want.views)
	f.say("%16s %17d %17d", "sessions", len(got.sessions), len(want.sessions))
	f.say("%16s %17s %17s", "their hash", got.hash(), want.hash())
	if err := got.differs(want); err != nil {
		return err
	}
	f.say("They are equal")
	return nil
}
