package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pagebeacon/beacon"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/spool"
)

// A receiver takes beacons, and answers 204 when its own disk has them. It keeps nothing
// else, so there may be any number, and a browser may send to another one each time.
type receiver struct {
	site    *site
	beacons *beacon.Handler
	events  *spool.Spool
	conn    *nats.Conn
}

// startReceiver starts a receiver, whose spool is in dir: what an earlier one has left
// there is delivered, too.
func startReceiver(ctx context.Context, address, dir, urls string) (*receiver, error) {
	r := &receiver{}
	if err := r.start(ctx, address, dir, urls); err != nil {
		return nil, errors.Join(err, r.stop(ctx))
	}
	return r, nil
}

func (r *receiver) start(ctx context.Context, address, dir, urls string) (err error) {
	if r.conn, err = dial(urls); err != nil {
		return err
	}
	log, err := beaconnats.NewSink(ctx, beaconnats.SinkOptions{Conn: r.conn, Logger: logger})
	if err != nil {
		return err
	}
	// While the log is away, or elects a leader, it is the spool that has the events. The
	// receiver before this one may still be at its end, and have the directory.
	if r.events, err = spool.Open(dir, log, spool.Options{MaxBytes: 256 << 20, LockWait: time.Minute, Logger: logger}); err != nil {
		return err
	}
	if r.beacons, err = newHandler(r.events); err != nil {
		return err
	}
	r.site, err = serve(address, r.beacons)
	return err
}

// stop ends a receiver that has started, or tried to. What its spool cannot deliver before
// ctx ends is left to the next one in its directory.
func (r *receiver) stop(ctx context.Context) error {
	var errs []error
	if r.site != nil {
		r.site.stop(ctx)
	}
	if r.beacons != nil {
		errs = append(errs, r.beacons.Shutdown(ctx))
	}
	if r.events != nil {
		errs = append(errs, r.events.Close(ctx))
	}
	if r.conn != nil {
		r.conn.Close()
	}
	return errors.Join(errs...)
}

// newHandler makes the handler of a receiver.
func newHandler(next beacon.Sink) (*beacon.Handler, error) {
	return beacon.New(beacon.Config{
		Sink:   next,
		Logger: logger,
		// The visits of a day are played within seconds: when a request was received is in
		// a header of the player's. Nothing of the kind belongs into a receiver of yours.
		Enrich: visits.Played,
	})
}

// A site is an HTTP server for beacons.
type site struct {
	address string
	server  *http.Server
}

func serve(address string, h http.Handler) (*site, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &site{address: ln.Addr().String(), server: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}}
	go func() {
		if err := s.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("a receiver does not serve", "error", err)
		}
	}()
	return s, nil
}

func (s *site) url() string { return "http://" + s.address }

// stop lets requests come to their end while ctx lasts, and then cuts them off.
func (s *site) stop(ctx context.Context) {
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
}
