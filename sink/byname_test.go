package sink_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

func TestByName(t *testing.T) {
	panicking := func(context.Context, int, []string) error { panic("boom") }
	plain := func(err error) func(context.Context, int, []string) error {
		return func(context.Context, int, []string) error { return err }
	}
	cases := []struct {
		name  string
		a, b  func(context.Context, int, []string) error // of the sinks for the names a and b, and for A and for others
		other bool                                       // whether there is one for others
		ids   string                                     // the first letter is the name
		says  string
		got   string // by a, by b and by the one for others
	}{
		{"each its own, in order", nil, nil, true, "b1 a1 x1 a2 b2 A1 a3", "", "[[a1 a2 A1 a3]] [[b1 b2]] [[x1]]"},
		{"others are dropped", nil, nil, false, "x1 a1 y1", "", "[[a1]] [] []"},
		{"only others", nil, nil, false, "x1 y1", "", "[] [] []"},
		{"no events", nil, nil, true, "", "", "[] [] []"},
		{"all are tried", plain(errDown), nil, true, "a1 b1 x1", "temporary 0: down", "[[a1]] [[b1]] [[x1]]"},
		{"a panic", panicking, nil, true, "b1 a1 x1", "temporary 1: beacon: refused: panic: sink: panic: boom", "[[a1]] [[b1]] [[x1]]"},
		{"parts", naming(errDown), naming(errDown), true, "a0 b1 a1 b0 x0", "temporary 1 2: down\ndown", "[[a0 a1]] [[b1 b0]] [[x0]]"},
		{"refused, all of them", naming(errRefused), naming(errRefused), true, "a1 b1 x0", "permanent 0 1: permanent failure: no\npermanent failure: no", "[[a1]] [[b1]] [[x0]]"},
		{"refused, one of them", naming(errRefused), naming(errDown), true, "a1 b1", "temporary 0 1: down\nand: permanent failure: no", "[[a1]] [[b1]] []"},
		{"refused by the only one", plain(errRefused), nil, false, "a1 x1 a2", "permanent: permanent failure: no", "[[a1 a2]] [] []"},
		{"refused together", plain(errRefused), nil, false, "a1 b1 a2", "temporary 0 2: refused together: permanent failure: no", "[[a1 a2]] [[b1]] []"},
		{"refused alone", plain(errRefused), nil, false, "b1 a1 b2", "permanent 1: permanent failure: no", "[[a1]] [[b1 b2]] []"},
		{"the longest delay", plain(&beacon.RetryAfterError{After: time.Second, Err: errDown}),
			plain(&beacon.RetryAfterError{After: time.Minute, Err: errDown}), false, "a1 b1", "temporary: retry after 1m0s: down\nretry after 1s: down", "[[a1]] [[b1]] []"},
	}
	for _, c := range cases {
		a, b, other := &script{answer: c.a}, &script{answer: c.b}, &script{}
		routes := map[string]beacon.Sink{"a": a, "b": b, "A": a}
		otherwise := beacon.Sink(other)
		if !c.other {
			otherwise = nil
		}
		s := sink.ByName(routes, otherwise)
		clear(routes) // it has a copy
		ids := strings.Fields(c.ids)
		events := counted(ids...)
		for i, id := range ids {
			events[i].Name = id[:1]
		}
		got, _, _ := strings.Cut(says(s.Consume(t.Context(), events)), "\ngoroutine")
		if d := cmp.Diff(c.says, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if d := cmp.Diff(c.got, fmt.Sprint(a.got(), b.got(), other.got())); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// A value sink is a sink that is no pointer, and cannot be compared if v cannot.
type valueSink struct {
	*script
	v any
}

// However many names a sink has, it is flushed, asked and closed once.
func TestByNameReachesEachSinkOnce(t *testing.T) {
	full, sick, stuck := errors.New("full"), errors.New("sick"), errors.New("stuck")
	var inner [3]script
	a := &inner[0]
	b := valueSink{&inner[1], "comparable"}
	c := valueSink{&inner[2], []string{"not comparable"}}
	s := sink.ByName(map[string]beacon.Sink{
		"1": a, "2": a, "3": b, "4": b, "5": c,
		"6": beacon.SinkFunc(a.Consume), "7": beacon.SinkFunc(a.Consume),
	}, a)
	inner[1].flushErr, inner[2].health = full, sick
	if err := s.Flush(t.Context()); !errors.Is(err, full) {
		t.Error(err)
	}
	if err := s.Healthy(t.Context()); !errors.Is(err, sick) || err.Error() != "sick" {
		t.Error(err)
	}
	inner[0].closeErr = stuck
	for range 2 {
		if err := s.Close(t.Context()); !errors.Is(err, stuck) || err.Error() != "stuck" {
			t.Error(err)
		}
	}
	for i := range inner {
		if inner[i].closed != 1 {
			t.Errorf("sink %d was closed %d times", i, inner[i].closed)
		}
	}
	for _, err := range []error{s.Consume(t.Context(), counted("x")), s.Healthy(t.Context())} {
		if err != sink.ErrClosed {
			t.Error(err)
		}
	}
}

// Events of several kinds have a type each, and a function that takes it.
func ExampleByName() {
	type signup struct{ Plan string }
	type vital struct {
		Metric string
		Value  float64
	}
	s := sink.ByName(map[string]beacon.Sink{
		"signup": beacon.On(func(_ context.Context, e beacon.Event, v signup) error {
			fmt.Println("signed up for", v.Plan)
			return nil
		}),
		"vitals": beacon.On(func(_ context.Context, e beacon.Event, v vital) error {
			fmt.Println(v.Metric, "is", v.Value)
			return nil
		}),
	}, nil)
	err := s.Consume(context.Background(), []beacon.Event{
		{Name: "vitals", Body: beacon.JSON(`{"metric":"LCP","value":1.25}`)},
		{Name: "signup", Body: beacon.JSON(`{"plan":"free"}`)},
		{Name: "vitals", Body: beacon.JSON(`{"metric":"CLS","value":0.5}`)},
		{Name: "unknown"},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// signed up for free
	// LCP is 1.25
	// CLS is 0.5
}
