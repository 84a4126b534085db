package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"time"
)

type options struct {
	visits int
	load   time.Duration
	chaos  bool
	db     string
}

// flags are the options of the command line.
func flags() (o options) {
	flag.IntVar(&o.visits, "visits", 300, "how many `visits` there are")
	flag.DurationVar(&o.load, "load", 6*time.Second, "how `long` it takes to play them, at least")
	flag.BoolVar(&o.chaos, "chaos", false, "let parts of the fleet go away and come back meanwhile")
	flag.StringVar(&o.db, "db", "", "`postgresql`, which DATABASE_URL may name, or sqlite; by default the former if it is there")
	flag.Parse()
	return o
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
