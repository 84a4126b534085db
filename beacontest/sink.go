package beacontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// TestSink checks that a Sink keeps the contract of [beacon.Sink], and those of
// [beacon.Flusher], [beacon.Closer] and [beacon.HealthChecker] if it has them. For
// each of the rules, newSink makes a fresh Sink and a function that returns the
// events it has stored, in any order, once everything it took responsibility for is
// there. It has to work after Close too, which ends each rule. [TestWrapper] is for
// a Sink that stands in front of another.
//
// It returns nil, or everything it found wrong, joined, each with the rule that
// was broken:
//
//	func TestMySink(t *testing.T) {
//		if err := beacontest.TestSink(func() (beacon.Sink, func() []beacon.Event) { … }); err != nil {
//			t.Error(err)
//		}
//	}
func TestSink(newSink func() (sink beacon.Sink, stored func() []beacon.Event)) error {
	var errs []error
	for _, rule := range sinkRules {
		sink, stored := newSink()
		if err := rule.check(sink, stored); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w (rule: %s)", rule.name, err, rule.rule))
		}
		_ = closeSink(sink) // there is a rule for what it does
	}
	return errors.Join(errs...)
}

var sinkRules = []struct {
	name, rule string
	check      func(sink beacon.Sink, stored func() []beacon.Event) error
}{
	{"every body", "nil means that the sink takes responsibility for every event, whatever it carries", checkBodies},
	{"concurrency", "Consume is called concurrently for concurrent requests", checkConcurrency},
	{"shared values", "what events point to may be shared and must not be changed in place", checkShared},
	{"no events", "an empty batch is taken without harm", checkNone},
	{"ended context", "a sink that gives up because its context ended says so", checkContext},
	{"context values", "the values of a context are the host's, and make no difference", checkValues},
	{"flush", "after Flush everything taken before is stored", checkFlush},
	{"close", "Close may be called twice, and Consume after it does not return nil for what is not stored", checkClose},
	{"health", "Healthy is nil while events are taken", checkHealth},
}

// sample returns one event of each kind of body, with the bytes that stores tend
// to stumble over.
func sample(id string) []beacon.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC)
	bodies := []beacon.Body{
		beacon.Empty{},
		beacon.Text("caf\xe9 \x00 '; DROP TABLE events; -- \U0001F600"),
		beacon.JSON(`{"a": [1, null, "<&>"]}`),
		beacon.Form{{Name: "a", Value: "1"}, {Name: "a", Value: ""}, {Name: "f", File: &beacon.File{Name: "../x", Type: "text/plain", Data: []byte{0, 255}}}},
		beacon.Binary{Type: "application/octet-stream", Data: []byte{0, 1, 255}},
		beacon.Ping{From: "https://example.com/#a", To: "https://example.net/"},
		beacon.Report{Type: "crash", URL: "https://example.com/", Age: time.Second, Body: json.RawMessage(`{"reason":"oom"}`)},
	}
	events := make([]beacon.Event, len(bodies))
	for i, b := range bodies {
		events[i] = beacon.Event{
			ID: fmt.Sprintf("%s-%d", id, i), Time: at, Received: at, Body: b,
			Query: beacon.Form{{Name: "q", Value: "\xff"}}, Attrs: map[string]string{"user": "7"},
		}
	}
	return events
}

// forms returns the JSON form of events by their IDs: it is lossless, so two
// events are the same if theirs are.
func forms(events []beacon.Event) (map[string]string, error) {
	m := map[string]string{}
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		m[e.ID] = string(b)
	}
	return m, nil
}

// compare reports the events of want that stored lacks or has changed.
func compare(want map[string]string, stored []beacon.Event) error {
	got, err := forms(stored)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		form := want[id]
		if g, ok := got[id]; !ok {
			return fmt.Errorf("event %s is not stored", id)
		} else if g != form {
			return fmt.Errorf("event %s was changed:\n got %s\nwant %s", id, g, form)
		}
	}
	return nil
}

func checkBodies(sink beacon.Sink, stored func() []beacon.Event) error {
	events := sample("body")
	want, err := forms(events)
	if err != nil {
		return err
	}
	if err := sink.Consume(context.Background(), events); err != nil {
		return err
	}
	return compare(want, stored())
}

func checkConcurrency(sink beacon.Sink, stored func() []beacon.Event) error {
	const requests = 64
	want := map[string]string{}
	errs := make([]error, requests)
	var wg sync.WaitGroup
	for i := range requests {
		events := sample(fmt.Sprint("request", i))
		w, err := forms(events)
		if err != nil {
			return err
		}
		maps.Copy(want, w)
		wg.Go(func() { errs[i] = sink.Consume(context.Background(), events) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return compare(want, stored())
}

func checkShared(sink beacon.Sink, stored func() []beacon.Event) error {
	events := sample("shared")
	twins := append([]beacon.Event(nil), events...) // another sink's copy of the slice
	want, err := forms(twins)
	if err != nil {
		return err
	}
	if err := sink.Consume(context.Background(), events); err != nil {
		return err
	}
	stored()
	return compare(want, twins)
}

func checkNone(sink beacon.Sink, _ func() []beacon.Event) error {
	return sink.Consume(context.Background(), nil)
}

func checkContext(sink beacon.Sink, stored func() []beacon.Event) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	events := sample("context")
	want, err := forms(events)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- sink.Consume(ctx, events) }()
	select {
	case err = <-done:
	case <-time.After(10 * time.Second):
		return errors.New("still at it 10 s after its context ended")
	}
	if err != nil {
		return nil // it said so
	}
	return compare(want, stored())
}

// A hostContext has a value for every key.
type hostContext struct{ context.Context }

func (hostContext) Value(any) any { return "a value of the host" }

func checkValues(sink beacon.Sink, stored func() []beacon.Event) error {
	events := sample("values")
	want, err := forms(events)
	if err != nil {
		return err
	}
	if err := sink.Consume(hostContext{context.Background()}, events); err != nil {
		return err
	}
	return compare(want, stored())
}

func checkFlush(sink beacon.Sink, stored func() []beacon.Event) error {
	for round := range 2 { // it is not the end
		events := sample(fmt.Sprint("flush", round))
		want, err := forms(events)
		if err != nil {
			return err
		}
		if err := sink.Consume(context.Background(), events); err != nil {
			return err
		}
		if err := flush(sink); err != nil {
			return err
		}
		if err := compare(want, stored()); err != nil {
			return err
		}
	}
	return nil
}

func checkClose(sink beacon.Sink, stored func() []beacon.Event) error {
	if _, ok := sink.(beacon.Closer); !ok {
		return nil
	}
	events, late := sample("close"), sample("late")
	want, err := forms(events)
	if err != nil {
		return err
	}
	lateWant, err := forms(late)
	if err != nil {
		return err
	}
	if err := sink.Consume(context.Background(), events); err != nil {
		return err
	}
	for _, when := range []string{"the first", "the second"} {
		if err := closeSink(sink); err != nil {
			return fmt.Errorf("%s time: %w", when, err)
		}
	}
	if err := compare(want, stored()); err != nil {
		return err
	}
	switch err := sink.Consume(context.Background(), late); {
	case err == nil:
		return compare(lateWant, stored())
	case beacon.IsPermanent(err):
		return fmt.Errorf("after Close the error of Consume is permanent: %w", err)
	}
	return nil
}

func checkHealth(sink beacon.Sink, _ func() []beacon.Event) error {
	if err := beacon.Healthy(context.Background(), sink); err != nil {
		return fmt.Errorf("at first: %w", err)
	}
	if err := sink.Consume(context.Background(), sample("health")); err != nil {
		return err
	}
	if err := beacon.Healthy(context.Background(), sink); err != nil {
		return fmt.Errorf("after events were taken: %w", err)
	}
	return nil
}
