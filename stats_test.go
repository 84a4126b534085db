package beacon_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// buckets returns the buckets with something in them, by their bounds; that above all is
// at 0.
func buckets(h beacon.Histogram) map[float64]uint64 {
	m := map[float64]uint64{}
	for i, n := range h.Counts {
		if n > 0 {
			m[append(h.Bounds, 0)[i]] = n
		}
	}
	return m
}

// Bodies are counted by what came over the wire, and calls of the Sink by what they took,
// whatever became of the request afterwards.
func TestStatsHistograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h, err := beacon.New(beacon.Config{MaxBody: 1000, Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
			switch calls++; calls {
			case 1:
				time.Sleep(3 * time.Millisecond)
			case 2:
				time.Sleep(time.Second)
				return errors.New("away")
			case 3:
				time.Sleep(time.Minute)
				panic("no")
			}
			return nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 200, 1000, 1001, 1 << 20} {
			h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text(strings.Repeat("x", n))))
		}
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/?pixel=1", nil)) // no body
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", "/", strings.NewReader("not read")))

		st := h.Stats()
		if d := cmp.Diff(map[float64]uint64{64: 1, 256: 1, 1024: 1}, buckets(st.BodyBytes)); d != "" || st.BodyBytes.Sum != 1201 {
			t.Error(d, st.BodyBytes.Sum)
		}
		if d := cmp.Diff(map[float64]uint64{.0001: 1, .005: 1, 1: 1, 0: 1}, buckets(st.SinkSeconds)); d != "" || st.SinkSeconds.Sum != 61.003 {
			t.Error(d, st.SinkSeconds.Sum)
		}
	})
}

// Histograms are in the JSON of the statistics as lists of their own.
func TestStatsHistogramsAsJSON(t *testing.T) {
	h, err := beacon.New(beacon.Config{Sink: new(beacontest.Recorder)})
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("bye")))
	b, err := json.Marshal(h.Stats())
	if err != nil {
		t.Fatal(err)
	}
	var got beacon.Stats
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h.Stats(), got); d != "" || len(got.BodyBytes.Counts) != len(got.BodyBytes.Bounds)+1 || got.BodyBytes.Sum != 3 {
		t.Error(d, string(b))
	}
}
