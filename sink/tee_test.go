package sink_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

func failing(err error) beacon.Sink {
	return beacon.SinkFunc(func(context.Context, []beacon.Event) error { return err })
}

func TestTee(t *testing.T) {
	var order []string
	member := func(name string, err error) beacon.Sink {
		return beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			order = append(order, fmt.Sprint(name, ids(events)))
			for i := range events {
				events[i].ID = "changed by its owner"
			}
			return err
		})
	}
	panicking := beacon.SinkFunc(func(context.Context, []beacon.Event) error { panic("boom") })
	var told []string
	tell := func(err error) { told = append(told, err.Error()[:4]); panic("which is ignored") }
	down := errors.New("down")

	cases := []struct {
		name    string
		members []sink.Member
		order   []string
		err     string
		told    []string
	}{
		{"required first", []sink.Member{
			sink.BestEffort(member("c", nil), tell), sink.Required(member("a", nil)), sink.Required(member("b", nil)),
		}, []string{"a[1 2]", "b[1 2]", "c[1 2]"}, "", nil},
		{"all required ones, and then no more", []sink.Member{
			sink.Required(member("a", down)), sink.Required(panicking), sink.Required(member("b", down)), sink.BestEffort(member("c", nil), tell),
		}, []string{"a[1 2]", "b[1 2]"}, "down", nil},
		{"best effort", []sink.Member{
			sink.Required(member("a", nil)), sink.BestEffort(member("b", down), tell), sink.BestEffort(panicking, tell),
			sink.BestEffort(member("c", down), nil), sink.BestEffort(member("d", nil), nil),
		}, []string{"a[1 2]", "b[1 2]", "c[1 2]", "d[1 2]"}, "", []string{"down", "beac"}},
	}
	for _, c := range cases {
		order, told = nil, nil
		err := sink.Tee(c.members...).Consume(t.Context(), counted("1", "2"))
		if (err == nil) != (c.err == "") || err != nil && err.Error()[:4] != c.err {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.order, order); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if d := cmp.Diff(c.told, told); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// What a handler finds in the error has to be right for all members.
func TestTeeErrors(t *testing.T) {
	down, panicking := errors.New("down"), beacon.SinkFunc(func(context.Context, []beacon.Event) error { panic("boom") })
	later := func(d time.Duration) beacon.Sink { return failing(&beacon.RetryAfterError{After: d, Err: down}) }
	status := func(code int, d time.Duration) beacon.Sink {
		return failing(&beacon.RequestError{Status: code, Reason: "own", RetryAfter: d})
	}
	refused := failing(fmt.Errorf("%w: no", beacon.ErrPermanent))
	cases := []struct {
		name    string
		members []beacon.Sink
		answer  string // of a Handler
	}{
		{"all permanent", []beacon.Sink{refused, refused}, "422 "},
		{"one temporary", []beacon.Sink{refused, failing(down)}, "503 5"},
		{"one temporary, with a status that is not", []beacon.Sink{status(403, 0), failing(down)}, "503 5"},
		{"permanent, with a status", []beacon.Sink{status(403, 0), refused}, "403 "},
		{"the longest delay", []beacon.Sink{later(time.Second), later(time.Minute), later(2 * time.Second)}, "503 60"},
		{"the longest delay, and not a status", []beacon.Sink{status(429, time.Second), later(time.Minute)}, "503 60"},
		{"the longest delay, with a status", []beacon.Sink{later(time.Second), status(429, time.Minute)}, "429 60"},
		{"panic", []beacon.Sink{panicking}, "500 "},
		{"panic and a delay", []beacon.Sink{panicking, refused, later(time.Minute)}, "503 60"},
	}
	for _, c := range cases {
		var members []sink.Member
		for _, m := range c.members {
			members = append(members, sink.Required(m))
		}
		s := sink.Tee(members...)
		if got := answer(t, s); got != c.answer {
			t.Errorf("%s: answered %q, want %q", c.name, got, c.answer)
		}
	}
	err := sink.Tee(sink.Required(refused), sink.Required(failing(down))).Consume(t.Context(), counted("a"))
	if errors.Is(err, beacon.ErrPermanent) || !errors.Is(err, down) || err.Error() != "down\nand: permanent failure: no" {
		t.Error(err)
	}
}

func TestTeeReachesAllMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick, full, stuck := errors.New("sick"), errors.New("full"), errors.New("stuck")
		a, b, c := &script{flushErr: full}, &script{health: sick}, &script{flushErr: full, closeErr: stuck, health: sick}
		var told []error
		s := sink.Tee(sink.Required(a), sink.Required(b), sink.BestEffort(c, func(err error) { told = append(told, err) }),
			sink.Required(beacon.SinkFunc(a.Consume)), sink.Required(slowClose{}))
		if err := s.Flush(t.Context()); !errors.Is(err, full) {
			t.Error(err)
		}
		if err := s.Healthy(t.Context()); !errors.Is(err, sick) {
			t.Error(err)
		}
		if b.health = nil; s.Healthy(t.Context()) != nil {
			t.Error("best effort counts")
		}
		start := time.Now()
		if err := s.Close(t.Context()); err == nil || err.Error() != "slow" || a.closed != 1 || b.closed != 1 || c.closed != 1 {
			t.Error(err, a.closed, b.closed, c.closed)
		}
		if time.Since(start) != time.Minute {
			t.Error(time.Since(start))
		}
		if d := cmp.Diff([]string{"full", "stuck"}, []string{told[0].Error(), told[1].Error()}); d != "" || len(told) != 2 {
			t.Error(d, told)
		}
	})
}

// Tee copies its members.
func TestTeeCopiesMembers(t *testing.T) {
	var a, b beacontest.Recorder
	members := []sink.Member{sink.Required(&a)}
	s := sink.Tee(members...)
	members[0] = sink.Required(&b)
	if err := s.Consume(t.Context(), counted("x")); err != nil || len(a.Events()) != 1 {
		t.Error(err, a.Events())
	}
}
