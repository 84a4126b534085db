package beacon_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

func TestShutdownWaitsForRequestsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec beacontest.Recorder
		const slow = time.Second
		h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			time.Sleep(slow)
			return rec.Consume(ctx, events)
		})})
		answers := make(chan int, 3)
		for i := range 3 {
			go func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				answers <- send(h, beacontest.NewRequest("/", beacon.Text("x")))
			}()
		}
		time.Sleep(250 * time.Millisecond)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := h.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with requests in progress: %v", err)
		}
		begun := time.Now()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if waited, want := time.Since(begun), slow-150*time.Millisecond; waited != want {
			t.Errorf("waited %v, want %v", waited, want)
		}
		if n := len(rec.Events()); n != 3 {
			t.Errorf("%d events when Shutdown returned", n)
		}
		for range 3 {
			if code := <-answers; code != 204 {
				t.Error(code)
			}
		}

		w := httptest.NewRecorder()
		r := beacontest.NewRequest("/", beacon.Text("late"))
		h.ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Beacon-Refused") != beacon.ReasonShuttingDown {
			t.Error(w.Code, w.Header())
		}
		if st := h.Stats(); st.Failed != 1 || st.Delivered != 3 || st.Received != 4 {
			t.Errorf("%+v", st)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error("again:", err)
		}
	})
}

// A moody sink says how it is.
type moody struct {
	beacontest.Recorder
	err error
}

func (m *moody) Healthy(context.Context) error {
	if m.err != nil && m.err.Error() == "panic" {
		panic("how should I know")
	}
	return m.err
}

func TestReady(t *testing.T) {
	var sink moody
	h := newHandler(t, beacon.Config{Sink: &sink})
	probe := func() int { return send(h.Ready(), httptest.NewRequest("GET", "/ready", nil)) }
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 200}, {errors.New("full"), 503}, {errors.New("panic"), 503}, {nil, 200}} {
		sink.err = c.err
		if code := probe(); code != c.want {
			t.Errorf("sink says %v: %d, want %d", c.err, code, c.want)
		}
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := probe(); code != 503 {
		t.Errorf("after Shutdown: %d", code)
	}
	if st := h.Stats(); st.Received != 0 {
		t.Errorf("probes are counted: %+v", st)
	}
	plain := newHandler(t, beacon.Config{Sink: &beacontest.Recorder{}})
	if code := send(plain.Ready(), httptest.NewRequest("GET", "/ready", nil)); code != 200 {
		t.Errorf("a sink that cannot tell: %d", code)
	}
}
