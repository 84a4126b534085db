// Analytics is a small site that knows how long its visitors were here, and on which
// pages: from a script tag in its pages to the answer, with everything in one file.
//
//	go run .
//	go run . -dsn postgres://localhost/site
//
// Then open the address it prints, look around, and see /stats. What a host needs of it is
// in analytics.go; run.go opens and ends it, site.go has the pages, stats.go the answer.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	data := flag.String("data", "data", "`directory` of the database, a file, and of what waits to be stored there")
	dsn := flag.String("dsn", "", "`URL` of a PostgreSQL database, to be used instead of a file")
	password := flag.String("password", "", "`password` for /live/; without, one is made and printed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the next one ends the program the hard way.
	context.AfterFunc(ctx, stop)

	if err := run(ctx, *addr, *data, *dsn, *password); err != nil {
		log.Fatal(err)
	}
}
