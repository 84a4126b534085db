package beacon_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

func TestPermanentAndRetryAfter(t *testing.T) {
	cases := []struct {
		err       error
		permanent bool
		after     time.Duration
	}{
		{errors.New("x"), false, 0},
		{fmt.Errorf("%w: x", beacon.ErrPermanent), true, 0},
		{&beacon.RetryAfterError{After: time.Second, Err: errors.New("x")}, false, time.Second},
		{fmt.Errorf("x: %w", &beacon.RequestError{Status: 403}), true, 0},
		{&beacon.RequestError{Status: 429, RetryAfter: time.Minute}, false, time.Minute},
		{&beacon.RequestError{Status: 503, Err: beacon.ErrPermanent}, false, 0},
		{&beacon.RequestError{Err: beacon.ErrPermanent}, true, 0},
	}
	for _, c := range cases {
		a, ok := beacon.RetryAfter(c.err)
		if p := beacon.IsPermanent(c.err); ok != (a > 0) || p != c.permanent || a != c.after {
			t.Errorf("%v: permanent %v, after %v", c.err, p, a)
		}
	}
}

func TestJoinErrors(t *testing.T) {
	down := errors.New("down")
	refused := fmt.Errorf("%w: no", beacon.ErrPermanent)
	part := func(err error, failed ...int) error { return &beacon.PartialError{Failed: failed, Err: err} }
	later := func(d time.Duration) error { return &beacon.RetryAfterError{After: d, Err: down} }
	cases := []struct {
		name      string
		errs      []error
		permanent bool
		wait      time.Duration
		failed    []int
		text      string
	}{
		{"none", []error{nil, nil}, false, 0, nil, ""},
		{"one", []error{nil, refused}, true, 0, nil, "permanent failure: no"},
		{"all permanent", []error{refused, refused}, true, 0, nil, "permanent failure: no\npermanent failure: no"},
		{"one temporary", []error{refused, down}, false, 0, nil, "down\nand: permanent failure: no"},
		{"the longest delay", []error{later(1e9), down, later(3e9), refused}, false, 3 * time.Second, nil, ""},
		{"parts", []error{part(refused, 3, 1), part(down, 1, 5)}, false, 0, []int{1, 3, 5}, ""},
		{"parts, all permanent", []error{part(refused, 3), part(refused, 1)}, true, 0, []int{1, 3}, ""},
		{"a part and a whole", []error{part(later(1e9), 3), down}, false, time.Second, nil, ""},
		{"a part and a whole that is more", []error{part(refused, 3), down}, false, 0, nil, ""},
		{"a part without positions", []error{part(refused, 1), part(refused)}, true, 0, nil, ""},
	}
	for _, c := range cases {
		err := beacon.JoinErrors(c.errs...)
		if err == nil {
			if c.name != "none" {
				t.Errorf("%s: nil", c.name)
			}
			continue
		}
		wait, _ := beacon.RetryAfter(err)
		if beacon.IsPermanent(err) != c.permanent || wait != c.wait || c.text != "" && err.Error() != c.text {
			t.Errorf("%s: permanent %v, after %v: %v", c.name, beacon.IsPermanent(err), wait, err)
		}
		var failed []int
		if p, ok := errors.AsType[*beacon.PartialError](err); ok {
			failed = p.Failed
		}
		if !slices.Equal(failed, c.failed) {
			t.Errorf("%s: failed %v, want %v", c.name, failed, c.failed)
		}
	}
}

// A wrapped Sink is found behind a wrapper that knows nothing of what it can do,
// as http.ResponseController finds what a writer can.
func TestCapabilitiesThroughUnwrap(t *testing.T) {
	var calls []string
	inner := &capable{calls: &calls}
	outer := opaque{opaque{inner}}
	ctx := t.Context()
	for name, err := range map[string]error{
		"flush": beacon.Flush(ctx, outer), "close": beacon.Close(ctx, outer), "healthy": beacon.Healthy(ctx, outer),
	} {
		if err == nil || err.Error() != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := &closable{}
	if err := beacon.Close(ctx, opaque{file}); err != errClosing || !file.closed {
		t.Errorf("io.Closer: %v, %v", err, file.closed)
	}
	plain := opaque{beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })}
	if err := errors.Join(beacon.Flush(ctx, plain), beacon.Close(ctx, plain), beacon.Healthy(ctx, plain)); err != nil {
		t.Error(err)
	}
	slices.Sort(calls)
	if d := cmp.Diff([]string{"close", "flush", "healthy"}, calls); d != "" {
		t.Error(d)
	}
}

type opaque struct{ next beacon.Sink }

func (o opaque) Consume(ctx context.Context, events []beacon.Event) error {
	return o.next.Consume(ctx, events)
}
func (o opaque) Unwrap() beacon.Sink { return o.next }

type capable struct {
	beacon.SinkFunc
	calls *[]string
}

func (c *capable) called(name string) error {
	*c.calls = append(*c.calls, name)
	return errors.New(name)
}
func (c *capable) Flush(context.Context) error   { return c.called("flush") }
func (c *capable) Close(context.Context) error   { return c.called("close") }
func (c *capable) Healthy(context.Context) error { return c.called("healthy") }

var errClosing = errors.New("cannot close")

type closable struct {
	beacon.SinkFunc
	closed bool
}

func (c *closable) Close() error { c.closed = true; return errClosing }
