package sink

import (
	"context"
	"strconv"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// Split returns a sink that hands on, for each event, the ones that split makes of it,
// in order: an SDK's batch becomes its events, for example. None takes and drops it;
// if none are left of a call, next is not called.
//
// The ID is what tells events apart. One that split returns without an ID, or with the
// original's after another one had that, gets that ID with a dot and its index among
// those that split returned, from 0: "a.0", "a.1". So split may return copies of what
// it got, and a request that comes again becomes the same events again. If the
// original has no ID, nor do they.
//
// If next names the events that it did not take, with a [*beacon.PartialError], an event
// of the call was not taken if one of those made of it was not. Sent again, all of them
// go to next again.
//
// split must not change in place what the event points to. It is called concurrently
// for concurrent calls; a panic in it goes through. Split copies what split returns. It
// panics if next or split is nil.
func Split(next beacon.Sink, split func(beacon.Event) []beacon.Event) Sink {
	mustSink("Split", next)
	if split == nil {
		panic("sink: Split: no function to split with")
	}
	return &splitter{front: front{next: next}, split: split}
}

type splitter struct {
	front
	split func(beacon.Event) []beacon.Event
}

func (s *splitter) Consume(ctx context.Context, events []beacon.Event) error {
	if s.closed.Load() {
		return ErrClosed
	}
	all := make([]beacon.Event, 0, len(events))
	from := make([]int, 0, len(events)) // which event each was made of
	for i := range events {
		id, used := events[i].ID, false
		for n, e := range s.split(events[i]) {
			if id != "" && (e.ID == "" || e.ID == id && used) {
				e.ID = id + "." + strconv.Itoa(n)
			}
			used = used || e.ID == id
			all, from = append(all, e), append(from, i)
		}
	}
	if len(all) == 0 {
		return nil
	}
	var tally delivery.Tally
	tally.Add(from, s.next.Consume(ctx, all))
	return tally.Err()
}
