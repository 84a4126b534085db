package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	beaconnats "github.com/pagebeacon/beacon/connect/nats"
)

// A fleet is what a site of several machines runs, all of it in this process.
type fleet struct {
	dir string
	out io.Writer

	receivers [3]*receiver
	log       *cluster
	consumers [2]*consumer
	db        *database
}

// startFleet starts all of it, from the back to the front.
func startFleet(ctx context.Context, dir, db string, out io.Writer) (*fleet, error) {
	f := &fleet{dir: dir, out: out}
	if err := f.start(ctx, db); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context, db string) (err error) {
	if f.db, err = openDatabase(ctx, db, f.dir); err != nil {
		return err
	}
	f.say("Database: %s", f.db.name)
	if f.log, err = startCluster(filepath.Join(f.dir, "log")); err != nil {
		return err
	}
	if err = makeStream(ctx, f.log.urls(), beaconnats.StreamOptions{}); err != nil {
		return err
	}
	f.say("Log: %d JetStream nodes, which acknowledge what two of them have on disk", len(f.log.nodes))
	for n := range f.consumers {
		if f.consumers[n], err = startConsumer(ctx, f.db, f.log.urls()); err != nil {
			return err
		}
	}
	var ports [len(f.receivers)]int
	if err = choose(ports[:]); err != nil {
		return err
	}
	for n := range f.receivers {
		if f.receivers[n], err = startReceiver(ctx, fmt.Sprintf("127.0.0.1:%d", ports[n]), f.spool(n), f.log.urls()); err != nil {
			return err
		}
		f.say("Receiver %d: %s", n+1, f.receivers[n].site.url())
	}
	return nil
}

// makeStream makes the log's stream, as soon as the nodes have found each other.
func makeStream(ctx context.Context, urls string, o beaconnats.StreamOptions) error {
	conn, err := dial(urls)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return beaconnats.EnsureStream(ctx, conn, o)
}

// dial connects to the log. A client of several nodes goes on at another one when its own
// is gone, and these do so for as long as it takes.
func dial(urls string) (*nats.Conn, error) {
	return nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond), nats.RetryOnFailedConnect(true))
}

// drain waits until what was acknowledged is in the database.
func (f *fleet) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, r := range f.receivers {
		if err := r.events.Flush(ctx); err != nil {
			return fmt.Errorf("a spool does not get empty: %w", err)
		}
	}
	conn, err := dial(f.log.urls())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	// Once is not enough: a server that has just become the leader may not know all yet.
	for seen := 0; seen < 2; {
		left, err := unread(ctx, js)
		if seen++; err != nil || left > 0 {
			seen = 0
		}
		if wait(ctx, 300*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("the log does not get empty, %d events are left: %w", left, errors.Join(err, ctx.Err()))
		}
	}
	return nil
}

// unread is how many events in the log no consumer has acknowledged. Stats of the consumers
// say so too, as it was some seconds ago; and a leader that is new may say that nothing
// waits, but not that something was acknowledged which was not.
func unread(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // nobody answers while there is no leader
	defer cancel()
	stream, err := js.Stream(ctx, "beacon")
	if err != nil {
		return 0, err
	}
	durable, err := stream.Consumer(ctx, "beacon")
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq - durable.CachedInfo().AckFloor.Stream, nil
}

// stop stops what has started, in the direction in which a beacon goes: so that each has
// where to put what it still holds.
func (f *fleet) stop() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, r := range f.receivers {
		if r != nil {
			err = errors.Join(err, r.stop(ctx))
		}
	}
	for _, c := range f.consumers {
		if c != nil {
			err = errors.Join(err, c.stop(ctx))
		}
	}
	if f.log != nil {
		f.log.close()
	}
	if f.db != nil {
		err = errors.Join(err, f.db.end())
	}
	return err
}

// urls are the addresses of the receivers.
func (f *fleet) urls() (urls []string) {
	for _, r := range f.receivers {
		urls = append(urls, r.site.url())
	}
	return urls
}

func (f *fleet) spool(n int) string { return filepath.Join(f.dir, fmt.Sprint("spool-", n+1)) }

func (f *fleet) say(format string, a ...any) { fmt.Fprintf(f.out, format+"\n", a...) }

// logger is that of all parts. A site would want to hear more.
var logger = slog.New(slog.DiscardHandler)
