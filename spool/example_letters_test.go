package spool_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// refused fills a spool with an event that its store refuses for good, and closes it.
func refused() (dir string) {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	events, err := spool.Open(dir, beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		return fmt.Errorf("no such column: %w", beacon.ErrPermanent)
	}), spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Consume(ctx, []beacon.Event{{ID: "1", Body: beacon.Text("bye")}}); err != nil {
		log.Fatal(err)
	}
	if err := events.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	if err := events.Close(ctx); err != nil {
		log.Fatal(err)
	}
	return dir
}

// What a spool holds, and why. The command beacon-spool does it from a shell.
func ExampleRead() {
	dir := refused()
	defer os.RemoveAll(dir)
	for r, err := range spool.Read(dir) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.State, r.Event.ID, r.Event.Body, r.Why)
	}
	// Output: dead 1 bye no such column: permanent failure
}

// The store knows the column now: the dead letters of that fault go back into the queue.
func ExampleReplay() {
	dir := refused()
	defer os.RemoveAll(dir)
	done, err := spool.Replay(dir, "", func(r spool.Record) bool { return r.State == spool.StateDead && r.Event.ID == "1" })
	fmt.Println("back:", done.Events, "left:", done.Left, err)

	ctx := context.Background()
	events, err := spool.Open(dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		fmt.Println("stored:", events[0].Body)
		return nil
	}), spool.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := events.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	if err := events.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// back: 1 left: 0 <nil>
	// stored: bye
}

// Dead letters are kept for a time that the host decides.
func ExamplePurge() {
	dir := refused()
	defer os.RemoveAll(dir)
	for _, before := range []time.Time{time.Now().AddDate(0, 0, -30), {}} { // the zero time is all
		gone, err := spool.Purge(dir, before, spool.StateDead, spool.StateDamaged)
		fmt.Println(gone.Files, err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
}

// Where a power cut may cost a tenth of a second, the disk is asked that often. The end of
// the process costs nothing all the same.
func ExampleInterval() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	events, err := spool.Open(dir, store, spool.Options{Sync: spool.Interval(100 * time.Millisecond)})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := events.Consume(ctx, []beacon.Event{{ID: "1", Body: beacon.Text("bye")}}); err != nil {
		log.Fatal(err)
	}
	if err := events.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	s := events.Stats()
	fmt.Println("stored:", s.Stored, "delivered:", s.Delivered, "pending:", s.PendingEvents)
	if err := events.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: stored: 1 delivered: 1 pending: 0
}
