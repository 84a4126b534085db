package sink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// into splits an event whose Name is "x y" into events with the ids x and y; "." stands
// for none, and "=" for the original's.
func into(e beacon.Event) []beacon.Event {
	var out []beacon.Event
	for id := range strings.FieldsSeq(e.Name) {
		next := e
		switch id {
		case ".":
			next.ID = ""
		case "=":
		default:
			next.ID = id
		}
		out = append(out, next)
	}
	return out
}

func TestSplit(t *testing.T) {
	cases := []struct {
		name   string
		events []string // "id:into"
		answer func(context.Context, int, []string) error
		says   string
		got    []string
	}{
		{"into several", []string{"a:x y", "b:z"}, nil, "", []string{"x", "y", "z"}},
		{"into none", []string{"a:", "b:x", "c:"}, nil, "", []string{"x"}},
		{"all into none", []string{"a:", "b:"}, nil, "", nil},
		{"without ids", []string{"a:. . .", "b:."}, nil, "", []string{"a.0", "a.1", "a.2", "b.0"}},
		{"copies", []string{"a:= = =", "b:="}, nil, "", []string{"a", "a.1", "a.2", "b"}},
		{"some of each", []string{"a:x . = y = ."}, nil, "", []string{"x", "a.1", "a", "y", "a.4", "a.5"}},
		{"an original without one", []string{":. = x"}, nil, "", []string{"", "", "x"}},
		{"a failure", []string{"a:x y"}, func(context.Context, int, []string) error { return errRefused },
			"permanent: permanent failure: no", []string{"x", "y"}},
		{"a part of it", []string{"a:x y", "b:", "c:z", "d:v1 w1", "e:u"}, naming(errRefused),
			"permanent 3: permanent failure: no", []string{"x", "y", "z", "v1", "w1", "u"}},
		{"a part of each", []string{"a:x y1", "b:z1"}, naming(errDown), "temporary 0 1: down", []string{"x", "y1", "z1"}},
	}
	for _, c := range cases {
		next := &script{answer: c.answer}
		events := make([]beacon.Event, len(c.events))
		for i, e := range c.events {
			events[i].ID, events[i].Name, _ = strings.Cut(e, ":")
		}
		if d := cmp.Diff(c.says, says(sink.Split(next, into).Consume(t.Context(), events))); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		var got []string
		if calls := next.got(); len(calls) > 0 {
			got = calls[0]
		}
		if d := cmp.Diff(c.got, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// What split returns stays its own: it may hand out the same slice for ever.
func TestSplitCopies(t *testing.T) {
	mine := counted("", "")
	s := sink.Split(beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for i := range events {
			events[i].Name = "changed by its owner"
		}
		return nil
	}), func(beacon.Event) []beacon.Event { return mine })
	if err := s.Consume(t.Context(), counted("a", "b")); err != nil {
		t.Error(err)
	}
	for _, e := range mine {
		if e.ID != "" || e.Name != "" {
			t.Errorf("changed: %q, %q", e.ID, e.Name)
		}
	}
}

// An SDK sends its events as {"batch": [...]}, and another one as a bare array.
func ExampleSplit() {
	items := func(e beacon.Event) []beacon.Event {
		body, ok := e.Body.(beacon.JSON)
		if !ok {
			return []beacon.Event{e}
		}
		var list []json.RawMessage
		var batch struct{ Batch []json.RawMessage }
		if json.Unmarshal(body, &list) != nil {
			if json.Unmarshal(body, &batch) != nil || batch.Batch == nil {
				return []beacon.Event{e}
			}
			list = batch.Batch
		}
		events := make([]beacon.Event, len(list))
		for i, item := range list {
			events[i] = e
			events[i].ID, events[i].Body = "", beacon.JSON(item)
		}
		return events
	}
	store := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			fmt.Printf("%s %s\n", e.ID, e.Body)
		}
		return nil
	})
	s := sink.Split(store, items)
	err := s.Consume(context.Background(), []beacon.Event{
		{ID: "a", Body: beacon.JSON(`{"batch":[{"event":"open"},{"event":"close"}]}`)},
		{ID: "b", Body: beacon.JSON(`[1,2]`)},
		{ID: "c", Body: beacon.JSON(`{"event":"alone"}`)},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// a.0 {"event":"open"}
	// a.1 {"event":"close"}
	// b.0 1
	// b.1 2
	// c {"event":"alone"}
}
