package beacontest_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

func TestRecorderIsASink(t *testing.T) {
	err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
		var r beacontest.Recorder
		return &r, r.Events
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBrokenSinks checks that each rule finds the sink that breaks it.
func TestBrokenSinks(t *testing.T) {
	broken := map[string]func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error{
		"every body: event body-6 is not stored": func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error {
			return r.Consume(ctx, events[:max(0, len(events)-1)])
		},
		"was changed": func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error {
			for i := range events {
				events[i].Attrs = nil
			}
			return r.Consume(ctx, events)
		},
		"shared values": func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error {
			for _, e := range events {
				e.Query[0].Value = "redacted"
			}
			return r.Consume(ctx, events)
		},
		"no events": func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error {
			if len(events) == 0 {
				return errors.New("nothing to do")
			}
			return r.Consume(ctx, events)
		},
		"ended context": func(r *beacontest.Recorder, ctx context.Context, events []beacon.Event) error {
			if ctx.Err() != nil {
				return nil
			}
			return r.Consume(ctx, events)
		},
	}
	for want, consume := range broken {
		err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) {
			var r beacontest.Recorder
			return beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error { return consume(&r, ctx, events) }), r.Events
		})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rule: ") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestNewRequest sends what it builds through a Handler.
func TestNewRequest(t *testing.T) {
	bodies := []beacon.Body{
		beacon.Empty{}, beacon.Text("x"), beacon.JSON(`{"a":1}`), beacon.Form{},
		beacon.Form{{Name: `quo"te`, Value: "l1\r\nl2"}, {Name: "f", File: &beacon.File{Name: "C:\\x", Type: "text/plain", Data: []byte("\x00")}}},
		beacon.Binary{Type: "image/png", Data: []byte{1}}, beacon.Ping{From: "https://a.example/#x", To: "https://b.example/"},
		beacon.Report{Type: "crash", URL: "https://a.example/", UserAgent: "UA", Age: 5e9, Body: []byte(`{"reason":"oom"}`)},
	}
	for _, b := range bodies {
		var rec beacontest.Recorder
		h, err := beacon.New(beacon.Config{Sink: &rec})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, beacontest.NewRequest("/b", b))
		if w.Code != 204 {
			t.Fatalf("%T: %d %s", b, w.Code, w.Body)
		}
		if diff := cmp.Diff(b, rec.Events()[0].Body); diff != "" {
			t.Errorf("%T (-sent +got)\n%s", b, diff)
		}
	}
}

func TestURLEncoded(t *testing.T) {
	got := beacontest.URLEncoded(beacon.Form{{Name: "p+q", Value: "a b&c=d;\xe9~*"}, {Name: "f", File: &beacon.File{Name: "x.txt"}}, {}})
	if want := "p%2Bq=a+b%26c%3Dd%3B%E9%7E*&f=x.txt&="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRecorderFailsAndForgets(t *testing.T) {
	var r beacontest.Recorder
	down := errors.New("down")
	r.Fail(down)
	if err := r.Consume(t.Context(), make([]beacon.Event, 1)); err != down || len(r.Events()) != 0 {
		t.Errorf("%v, %d events", err, len(r.Events()))
	}
	r.Fail(nil)
	if err := r.Consume(t.Context(), make([]beacon.Event, 2)); err != nil || len(r.Events()) != 2 {
		t.Errorf("%v, %d events", err, len(r.Events()))
	}
	if r.Reset(); len(r.Events()) != 0 {
		t.Error("did not forget")
	}
}
