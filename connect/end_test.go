package connect_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// What a deaf call leaves behind, of next or of Dead, does no harm when it returns after Close:
// nothing is told, and the owner can let go of it.
func TestRelayLetsGoAfterClose(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("refused=%v", refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				deaf := make(chan struct{})
				w := newWorld(t, connect.RelayOptions[int]{}, func([]string) error {
					if refused {
						return beacon.ErrPermanent
					}
					<-deaf
					return nil
				})
				w.dead = func([]connect.Letter[int]) error {
					<-deaf
					return nil
				}
				w.add(t, "a.1", 1)
				if err := w.close(t, time.Second); err == nil {
					t.Error("Close does not say what is left")
				}
				close(deaf)
				synctest.Wait()
				w.relay.Forget(func(int) bool { return true })
				w.check(t)
				if s := w.relay.Stats(); s.Forgotten != 1 || s.Held != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A log that has gone quiet after its last event was refused is not stuck.
func TestRelayIsWellWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{}, func([]string) error { return beacon.ErrPermanent })
		w.add(t, "a.1poison", 1)
		if err := w.relay.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := w.relay.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
		if s := w.relay.Stats(); s.Stuck != "" || !s.StuckSince.IsZero() {
			t.Errorf("%+v", s)
		}
		_ = w.close(t, time.Second)
	})
}

// Dead letters that could not be kept are somebody else's trouble when their part of the log is.
func TestRelayIsWellWhenLettersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{}, func(ids []string) error {
			if poison(ids[0]) {
				return beacon.ErrPermanent
			}
			return errDown
		})
		w.dead = func([]connect.Letter[int]) error {
			time.Sleep(time.Millisecond)
			return errDown
		}
		w.add(t, "a.1poison", 1)
		time.Sleep(time.Minute)
		if err := w.relay.Healthy(t.Context()); err == nil {
			t.Error("well, although letters are not kept")
		}
		w.add(t, "b.2", 2)
		time.Sleep(time.Minute)
		w.relay.Forget(func(int) bool { return true })
		time.Sleep(time.Minute)
		if err := w.relay.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.close(t, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// A second Close that is not waited for says so.
func TestRelayCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, connect.RelayOptions[int]{}, func([]string) error { return errDown })
		w.add(t, "a.1", 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		go func() { _ = w.relay.Close(ctx) }()
		synctest.Wait()
		over, end := context.WithTimeout(context.Background(), time.Second)
		defer end()
		if err := w.relay.Close(over); err == nil {
			t.Error("nil, and the first one is not through")
		}
		if err := w.relay.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
