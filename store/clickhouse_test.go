package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/clickhouse"
)

// TestJudgeClickHouse: only what the server says of values is permanent.
func TestJudgeClickHouse(t *testing.T) {
	s := &Store{dialect: ClickHouse}
	s.engine = &clickHouse{Store: s}
	for _, c := range []struct {
		status, code int
		want         verdict
	}{
		{400, 6, never}, {500, 395, never}, {500, 469, never}, {400, 349, never}, {413, 0, never},
		{500, 241, later}, {500, 252, later}, {500, 242, later}, {500, 243, later}, {500, 319, later}, {500, 285, later},
		{404, 60, later}, {404, 115, later}, {403, 516, later}, {500, 33, later}, {500, 32, later}, {500, 999, later},
		{500, 26, later}, {400, 27, later}, {400, 43, later}, {503, 0, later}, {429, 0, later}, {200, 0, later}, {400, 0, later},
	} {
		err := fmt.Errorf("wrapped: %w", &clickhouse.Error{Status: c.status, Code: c.code})
		if got := s.weigh(err); got != c.want {
			t.Errorf("status %d, code %d: %d, want %d", c.status, c.code, got, c.want)
		}
	}
	if s.weigh(errors.New("unexpected EOF")) != later || s.weigh(context.Canceled) != later {
		t.Error("an answer that did not come is permanent")
	}

	s.permanent = func(err error) (permanent, known bool) { // of a host, which has no name for the type
		var coded interface{ ClickHouseCode() int }
		return true, errors.As(err, &coded) && coded.ClickHouseCode() == 43
	}
	if s.weigh(&clickhouse.Error{Status: 400, Code: 43}) != never || s.weigh(&clickhouse.Error{Status: 500, Code: 241}) != later {
		t.Error("what the host says of a code does not count")
	}
}

// TestRetryAfterOfClickHouse: who has too many parts says when to come again, and a proxy
// may.
func TestRetryAfterOfClickHouse(t *testing.T) {
	for _, c := range []struct {
		err  error
		want time.Duration
	}{
		{&clickhouse.Error{Code: 252}, time.Second}, {&clickhouse.Error{Code: 202, After: time.Minute}, time.Minute},
		{&clickhouse.Error{Status: 503, After: 7 * time.Second}, 7 * time.Second}, {&clickhouse.Error{Code: 241}, 0}, {errors.New("x"), 0}, {nil, 0},
	} {
		if got := retryAfter(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	var f failures
	f.add(later, &beacon.RetryAfterError{After: time.Second, Err: &clickhouse.Error{Code: 252}}, 0)
	if after, ok := beacon.RetryAfter(f.err(1)); !ok || after != time.Second {
		t.Errorf("%v, %v", after, ok)
	}
}

// TestInLists: each of a list is in one part, and no part is longer than a statement.
func TestInLists(t *testing.T) {
	var list []any
	for n := range 3_000 {
		list = append(list, fmt.Sprint(n, strings.Repeat("x", n%maxKey)))
	}
	var all []any
	parts := 0
	err := inLists(list, func(part []any) error {
		bytes := 0
		for _, k := range part {
			bytes += len(k.(string))
		}
		if len(part) == 0 || 4*bytes > listBytes {
			t.Errorf("a part has %d keys of %d bytes", len(part), bytes)
		}
		parts++
		all = append(all, part...)
		return nil
	})
	if err != nil || fmt.Sprint(all) != fmt.Sprint(list) || parts < 5 {
		t.Errorf("%d of %d in %d parts, %v", len(all), len(list), parts, err)
	}
	if err := inLists(nil, func([]any) error { return errors.New("called") }); err != nil {
		t.Error(err)
	}
}
