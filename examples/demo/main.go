// Demo is a small web application that logs how long its visitors stay and what
// they do, and has the page of package live beside its own: every beacon as it was
// decoded, and the sessions they make. Beside each button is the JavaScript that it runs,
// and beside each event the Go that got it, which is got.go.
//
//	go run ./examples/demo
//
// Then open the address it prints. Events go through a spool into a file, so they are
// there again when the program was killed and is started anew.
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
	"path/filepath"
	"syscall"
	"time"

	"github.com/pagebeacon/beacon/spool"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	data := flag.String("data", dataDir(), "`directory` to keep events in")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the next one ends the program the hard way.
	context.AfterFunc(ctx, stop)

	d, err := newDemo(log.Default(), *data)
	if errors.Is(err, spool.ErrLocked) {
		log.Fatalf("Another demo keeps its events in %s: give this one a directory with -data", *data)
	}
	if err != nil {
		log.Fatal(err)
	}
	d.name, _, _ = net.SplitHostPort(*addr) // Listen says what is wrong with it
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Listening on http://%s/\nEvents are kept in %s\n", ln.Addr(), *data)
	if err := d.serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// dataDir is where events are kept unless told otherwise.
func dataDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "beacon-demo")
}

// serve runs the demo on ln until ctx ends, and then lets requests in flight
// finish: they may be the last word of a page that is already gone.
func (d *demo) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           d.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          d.log,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return errors.Join(err, d.close(context.Background()))
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		// What is left are mostly connections that browsers opened ahead of need
		// and have not used; Shutdown would give each 5 seconds.
		_ = srv.Close()
	}
	ctx, cancel = context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return errors.Join(d.beacons.Shutdown(ctx), d.close(ctx))
}

// close comes after the last request.
func (d *demo) close(ctx context.Context) error {
	return errors.Join(d.events.Close(ctx), d.view.Load().close(ctx))
}
