package deploy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

func openSpool(ctx context.Context, dir string, store beacon.Sink) (*spool.Spool, error) {
	for {
		events, err := spool.Open(dir, store, spool.Options{})
		if !errors.Is(err, spool.ErrLocked) {
			return events, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestWaitForTheLock: who waits has the spool when the one before it is done, and not
// earlier.
func TestWaitForTheLock(t *testing.T) {
	dir := t.TempDir()
	store := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	before, err := openSpool(t.Context(), dir, store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := openSpool(ctx, dir, store); !errors.Is(err, spool.ErrLocked) || ctx.Err() == nil {
		t.Errorf("while another has it: %v", err)
	}
	opened := make(chan error)
	go func() {
		after, err := openSpool(t.Context(), dir, store)
		if err == nil {
			err = after.Close(t.Context())
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Errorf("while another has it: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := before.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the spool is free, and nobody has it")
	}
}
