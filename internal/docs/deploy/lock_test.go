package deploy

import (
	"context"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/spool"
)

// restart opens the spool as the process that comes next does, and gives it an event.
func restart(ctx context.Context, dir string, store beacon.Sink) error {
	events, err := spool.Open(dir, store, spool.Options{LockWait: time.Minute})
	if err != nil {
		return err
	}
	if err := events.Consume(ctx, []beacon.Event{{ID: "a", Body: beacon.Empty{}}}); err != nil {
		return err
	}
	return events.Close(ctx)
}

// TestTwoPods: the second one has the volume when the first one is done.
func TestTwoPods(t *testing.T) {
	dir, store := t.TempDir(), new(beacontest.Recorder)
	first, err := spool.Open(dir, store, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(context.Background())
	second := make(chan error, 1)
	go func() { second <- restart(t.Context(), dir, store) }()
	select {
	case err := <-second:
		t.Fatalf("while another has it: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil || len(store.Events()) != 1 {
		t.Errorf("%v, %d events", err, len(store.Events()))
	}
}
