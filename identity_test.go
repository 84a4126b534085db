package beacon_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// TestPositions: a position that no page gets to is noted and not believed; the ID keeps
// it, so that what comes twice is still one.
func TestPositions(t *testing.T) {
	type said struct {
		ID   string
		Seq  uint64
		Mode beacon.Mode
		Note string
	}
	item := `{"v":1,"m":"%s","k":"total","pv":"view","ev":[{"n":%s,"d":1}]}`
	for _, tt := range []struct {
		n    string
		seq  uint64
		note bool
	}{
		{"1", 1, false}, {"1000000", 1_000_000, false}, {"1000001", 0, true}, {"9007199254740991", 0, true},
	} {
		note := ""
		if tt.note {
			note = ": a position that is not believable: \"" + tt.n + "\""
		}
		for name, want := range map[string]struct {
			target string
			body   beacon.Body
			said   said
		}{
			"append":  {"/b", beacon.Text(fmt.Sprintf(item, "append", tt.n)), said{"view:total:" + tt.n, tt.seq, beacon.ModeAppend, "n"}},
			"replace": {"/b", beacon.Text(fmt.Sprintf(item, "replace", tt.n)), said{"view:total:" + tt.n, tt.seq, beacon.ModeReplace, "n"}},
			"_b":      {"/b?_b=total." + tt.n, beacon.Text("x"), said{"total:" + tt.n, tt.seq, beacon.ModeReplace, "_b"}},
		} {
			if want.said.Note = fmt.Sprintf("beacon: field %q%s", want.said.Note, note); note == "" {
				want.said.Note = ""
			}
			var rec beacontest.Recorder
			serve(newHandler(t, beacon.Config{Sink: &rec}), beacontest.NewRequest(want.target, want.body))
			e := rec.Events()[0]
			got := said{e.ID, e.Seq, e.Mode, ""}
			for _, err := range e.Errors {
				got.Note += err.Error()
			}
			if diff := cmp.Diff(want.said, got); diff != "" || e.Series != "total" {
				t.Errorf("%s, %s (-want +got)\n%s", name, tt.n, diff)
			}
		}
	}
}

// TestForgedPositionWinsNothing: neither as it comes, nor read from a store that has it
// from before.
func TestForgedPositionWinsNothing(t *testing.T) {
	report := func(n, seen string) beacon.Event {
		var rec beacontest.Recorder
		serve(newHandler(t, beacon.Config{Sink: &rec}), beacontest.NewRequest("/b", beacon.Text(
			`{"v":1,"m":"replace","k":"s:v","sid":"s","pv":"v","ev":[{"n":`+n+`,"e":"session","d":{"start":1700000000000,"end":1700000005000,"engaged":1,"seen":`+seen+`}}]}`)))
		return rec.Events()[0]
	}
	honest, forged, stored := report("7", "5000"), report("9007199254740991", "1"), report("1", "1")
	stored.Seq = 1<<53 - 1
	messages := beacon.Event{Name: "log", View: "v", Mode: beacon.ModeAppend, Seq: 1 << 60, Body: beacon.JSON(`{}`)}
	var joined beacon.PageView
	for _, e := range []beacon.Event{forged, stored, honest, stored, forged, messages} {
		v, ok := beacon.PageViewOf(e)
		if !ok {
			t.Fatalf("no page view: %+v", e)
		}
		joined = joined.Join(v)
	}
	if joined.Seq != 7 || joined.Visible != 5*time.Second || joined.Logged != 0 {
		t.Errorf("%+v", joined)
	}
}

// TestSeriesOfAnyName: three visitors whose page gives its series the same name are
// three, also behind what lets an ID pass once.
func TestSeriesOfAnyName(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: sink.Dedup(&rec, sink.DedupOptions{})})
	for _, view := range []string{"one", "two", "three", "two"} {
		serve(h, beacontest.NewRequest("/b", beacon.Text(`{"v":1,"m":"append","k":"clicks","sid":"s","pv":"`+view+`","ev":[{"n":1}]}`)))
	}
	var ids []string
	for _, e := range rec.Events() {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff([]string{"one:clicks:1", "two:clicks:1", "three:clicks:1"}, ids); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestMaxAge: however a client backdates an event.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UnixMilli()
		day := (24 * time.Hour).Milliseconds()
		for _, limit := range []time.Duration{0, time.Hour, 300 * 24 * time.Hour} {
			want := limit
			if limit == 0 {
				want = 30 * 24 * time.Hour
			}
			for name, body := range map[string]beacon.Body{
				"a report":     beacon.Report{Type: "crash", Age: 1e6 * time.Hour},
				"two clocks":   beacon.Text(fmt.Sprintf(`{"v":1,"m":"append","k":"k","via":"now","at":%d,"ev":[{"n":1,"t":%d}]}`, now, now-400*day)),
				"the client's": beacon.Text(fmt.Sprintf(`{"v":1,"m":"append","k":"k","via":"rec","at":%d,"ev":[{"n":1,"t":%d}]}`, now, now-400*day)),
			} {
				var rec beacontest.Recorder
				serve(newHandler(t, beacon.Config{Sink: &rec, Limits: beacon.Limits{MaxAge: limit}}), beacontest.NewRequest("/b", body))
				if e := rec.Events()[0]; e.Received.Sub(e.Time) != want {
					t.Errorf("%s, MaxAge %v: %v back", name, limit, e.Received.Sub(e.Time))
				}
			}
		}
		if _, err := beacon.New(beacon.Config{Sink: nowhere, Limits: beacon.Limits{MaxAge: -1}}); err == nil {
			t.Error("a negative MaxAge")
		}
	})
}
