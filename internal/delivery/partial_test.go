package delivery_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

var errDown = errors.New("down")

func part(err error, failed ...int) error { return &beacon.PartialError{Failed: failed, Err: err} }

func TestFailed(t *testing.T) {
	all := []int{0, 1, 2}
	refused := fmt.Errorf("%w: no", beacon.ErrPermanent)
	later := &beacon.RetryAfterError{After: time.Minute, Err: errDown}
	cases := []struct {
		name      string
		err       error
		failed    []int
		named     bool
		permanent bool
		wait      time.Duration
		text      string
	}{
		{"nil", nil, nil, false, false, 0, "<nil>"},
		{"plain", errDown, all, false, false, 0, "down"},
		{"some", part(refused, 2, 0, 2), []int{0, 2}, true, true, 0, "permanent failure: no"},
		{"each", part(later, 0, 1, 2), all, true, false, time.Minute, "retry after 1m0s: down"},
		{"none", part(refused), all, false, true, 0, "permanent failure: no"},
		{"one that there is not", part(errDown, 1, 3), all, false, false, 0, "down"},
		{"one before the first", part(errDown, -1, 1), all, false, false, 0, "down"},
		{"wrapped", fmt.Errorf("table: %w", part(later, 1)), []int{1}, true, false, time.Minute, "table: 1 events not taken: retry after 1m0s: down"},
		{"wrapped as permanent", fmt.Errorf("%w: %w", refused, part(errDown, 1)), []int{1}, true, true, 0, "permanent failure: no: 1 events not taken: down"},
		{"in another", part(part(refused, 0), 1), []int{1}, true, true, 0, "1 events not taken: 1 events not taken: permanent failure: no"},
		{"without a reason", part(nil, 1), []int{1}, true, false, 0, "1 events not taken: <nil>"},
	}
	for _, c := range cases {
		failed, why, named := delivery.Failed(c.err, 3)
		wait, _ := beacon.RetryAfter(why)
		if d := cmp.Diff(c.failed, failed); d != "" || named != c.named || beacon.IsPermanent(why) != c.permanent || wait != c.wait || fmt.Sprint(why) != c.text {
			t.Errorf("%s: %v, named %v, permanent %v, after %v: %v", c.name, failed, named, beacon.IsPermanent(why), wait, why)
		}
		if _, found := errors.AsType[*beacon.PartialError](why); found {
			t.Errorf("%s: a part is found in %v", c.name, why)
		}
	}
	if mine := []int{2, 1}; delivery.Whole(part(errDown, mine...), 3) == nil || mine[0] != 2 {
		t.Error("the sink's own list was changed:", mine)
	}
}

func TestTally(t *testing.T) {
	refused, never := fmt.Errorf("%w: no", beacon.ErrPermanent), fmt.Errorf("%w: never", beacon.ErrPermanent)
	type piece struct {
		at  []int
		err error
	}
	cases := []struct {
		name      string
		pieces    []piece
		failed    []int // nil without a PartialError
		permanent bool
		text      string
	}{
		{"none", nil, nil, false, "<nil>"},
		{"all taken", []piece{{[]int{0, 1}, nil}, {[]int{2}, nil}}, nil, false, "<nil>"},
		{"a whole", []piece{{[]int{0, 2, 3}, refused}}, nil, true, "permanent failure: no"},
		{"a whole with a part of another call", []piece{{[]int{0, 2}, part(refused, 5)}}, nil, true, "permanent failure: no"},
		{"nothing, refused", []piece{{nil, refused}}, nil, true, "permanent failure: no"},
		{"a part", []piece{{[]int{0, 2, 3}, part(refused, 2, 1)}}, []int{2, 3}, true, "2 events not taken: permanent failure: no"},
		{"all, named", []piece{{[]int{0, 2}, part(refused, 1, 0)}}, []int{0, 2}, true, "2 events not taken: permanent failure: no"},
		{"one of one", []piece{{[]int{0, 2}, nil}, {[]int{1}, refused}}, []int{1}, true, "1 events not taken: permanent failure: no"},
		{"several in doubt", []piece{{[]int{0, 2}, refused}, {[]int{1}, nil}}, []int{0, 2}, false, "2 events not taken: refused together: permanent failure: no"},
		{"all in doubt", []piece{{[]int{0, 2}, refused}, {[]int{1}, part(never, 0)}}, nil, true, "permanent failure: no\npermanent failure: never"},
		{"kinds", []piece{{[]int{0}, refused}, {[]int{1, 2}, part(errDown, 1)}}, []int{0, 2}, false, "2 events not taken: down\nand: permanent failure: no"},
		{"twice the same", []piece{{[]int{0, 0, 1}, part(errDown, 0, 1)}}, []int{0}, false, "1 events not taken: down"},
	}
	for _, c := range cases {
		var tally delivery.Tally
		for _, p := range c.pieces {
			tally.Add(p.at, p.err)
		}
		err := tally.Err()
		var failed []int
		if p, ok := errors.AsType[*beacon.PartialError](err); ok {
			failed = p.Failed
		}
		if d := cmp.Diff(c.failed, failed); d != "" || beacon.IsPermanent(err) != c.permanent || fmt.Sprint(err) != c.text {
			t.Errorf("%s: %v, permanent %v: %v", c.name, failed, beacon.IsPermanent(err), err)
		}
	}
}
