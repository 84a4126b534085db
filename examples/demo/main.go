// Demo is a small web application that logs how long its visitors stay and what
// they do, and shows every beacon as package beacon decoded it.
//
//	go run ./examples/demo
//
// Then open the address it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the next one ends the program the hard way.
	context.AfterFunc(ctx, stop)

	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Listening on http://%s/\n", ln.Addr())
	if err := serve(ctx, ln, log.Default()); err != nil {
		log.Fatal(err)
	}
}

// serve runs the demo on ln until ctx ends, and then lets requests in flight
// finish: they may be the last word of a page that is already gone.
func serve(ctx context.Context, ln net.Listener, logger *log.Logger) error {
	d, err := newDemo(logger)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	srv := &http.Server{
		Handler:           d.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          logger,
	}
	srv.RegisterOnShutdown(d.hub.close) // event streams would never end by themselves

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		// What is left are mostly connections that browsers opened ahead of need
		// and have not used; Shutdown would give each 5 seconds.
		return srv.Close()
	}
	return nil
}
