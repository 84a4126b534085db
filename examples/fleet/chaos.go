package main

import (
	"context"
	"errors"
	"time"
)

// disturb lets parts of the fleet go away and come back while ctx lasts, one after the
// other: a node of the log, a receiver, a consumer. It leaves the fleet whole. What it does
// is what a deployment does; what crashes do is tried in internal/fleet.
func (f *fleet) disturb(ctx context.Context) error {
	const apart = time.Second
	for n := 0; ; n++ {
		r, c := n%len(f.receivers), n%len(f.consumers)
		if wait(ctx, apart); ctx.Err() != nil {
			return nil
		}
		node := f.log.leader()
		f.say("node %d of the log goes", node+1)
		f.log.stop(node)
		wait(ctx, apart)
		err := errors.Join(f.restartReceiver(ctx, r), f.restartConsumer(ctx, c))
		wait(ctx, 4*apart) // longer than its absence would go unnoticed
		f.say("node %d comes back", node+1)
		if err = errors.Join(err, f.log.start(node)); err != nil {
			return err
		}
	}
}

// restartReceiver ends a receiver in the middle of its requests, and without time for what
// is in its spool: that is delivered by the next one.
func (f *fleet) restartReceiver(ctx context.Context, n int) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	old := f.receivers[n]
	waiting := old.events.Stats().PendingEvents
	_ = old.stop(over) // of which the error is that the time is over
	f.say("receiver %d goes, with %d events in its spool, and comes back", n+1, waiting)
	wait(ctx, time.Second/2)
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var err error
	f.receivers[n], err = startReceiver(ctx, old.site.address, f.spool(n), f.log.urls())
	return err
}

func (f *fleet) restartConsumer(ctx context.Context, n int) error {
	ctx = context.WithoutCancel(ctx)
	f.say("consumer %d goes, and comes back", n+1)
	err := f.consumers[n].stop(ctx)
	if err == nil {
		f.consumers[n], err = startConsumer(ctx, f.db, f.log.urls())
	}
	return err
}
