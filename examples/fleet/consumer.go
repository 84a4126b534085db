package main

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/store"
)

// A consumer brings what is in the log to the store, and acknowledges it afterwards. Any
// number of them may share the work, in whatever order that brings the events to the
// store: it joins what is told of a page view.
type consumer struct {
	stored *store.Store
	log    *beaconnats.Consumer
	conn   *nats.Conn
	end    context.CancelFunc
	ended  chan error
}

func startConsumer(ctx context.Context, db *database, urls string) (*consumer, error) {
	stored, err := store.Open(ctx, db.DB, db.dialect, store.Options{})
	if err != nil {
		return nil, err
	}
	conn, err := dial(urls)
	if err != nil {
		return nil, err
	}
	log, err := beaconnats.NewConsumer(ctx, beaconnats.ConsumerOptions{Conn: conn, Logger: logger})
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &consumer{stored: stored, log: log, conn: conn, ended: make(chan error, 1)}
	// It is ended by stop, which comes behind that of the receivers, whatever ends them.
	ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	go func() { c.ended <- log.Consume(ctx, stored) }()
	return c, nil
}

// stop lets it finish what it has. The rest goes to another consumer.
func (c *consumer) stop(ctx context.Context) error {
	c.end()
	err := <-c.ended
	err = errors.Join(err, c.log.Close(ctx))
	c.conn.Close()
	return err
}
