package beacontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// TestWrapper checks a Sink that stands in front of another and passes on all it
// gets, now or later: a retry, a batch, a queue, a spool. For each of the rules, wrap
// makes a fresh one in front of next, at times several. It has to implement
// [beacon.Flusher], [beacon.Closer] and [beacon.HealthChecker], and be in working
// order at once.
//
// The rules hold for a Sink that answers after next has, and for one that answers
// before: of the latter they demand what it promised with nil, once next works
// and Flush returned. Events that next refuses for good are the exception.
//
// It returns nil, or everything it found wrong, joined, each with the rule that
// was broken. Retries with their usual waits make it take some seconds; in a
// synctest bubble it takes none. One rule counts goroutines, so no other test
// should run at the same time.
func TestWrapper(wrap func(next beacon.Sink) beacon.Sink) error {
	var errs []error
	for _, rule := range wrapperRules {
		if err := rule.check(wrap); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w (rule: %s)", rule.name, err, rule.rule))
		}
	}
	return errors.Join(errs...)
}

type wrapFunc = func(next beacon.Sink) beacon.Sink

var wrapperRules = []struct {
	name, rule string
	check      func(wrap wrapFunc) error
}{
	{"interfaces", "a sink in front of another passes Flush, Close and Healthy on", wrapsInterfaces},
	{"every body", "every event arrives as it was, and once if nothing fails", wrapsBodies},
	{"concurrency", "Consume is called concurrently for concurrent requests", wrapsConcurrency},
	{"ownership", "the next sink owns the slice it gets: what it does to it reaches nobody, and it stays as it leaves it", wrapsOwnership},
	{"shared values", "what events point to may be shared and must not be changed in place", wrapsShared},
	{"no events", "an empty batch is taken without harm", wrapsNone},
	{"ended context", "a sink that gives up because its context ended says so", wrapsContext},
	{"outage", "after nil the events arrive, though the next sink failed in between; after an error they arrive if they are sent again", wrapsOutage},
	{"kinds of errors", "an error keeps its kind: permanent stays so, temporary stays so, delays and answers are still found", wrapsKinds},
	{"partial failure", "what the next sink took of a call, as it said, it does not get again; what it did not take arrives or is reported, by its position in the call, and neither permanent nor temporary becomes the other", wrapsPartial},
	{"poison", "an event that the next sink refuses for good costs no other call's", wrapsPoison},
	{"panic", "a panic of the next sink hangs nobody and breaks nothing", wrapsPanic},
	{"flush", "Flush returns when the next sink has all that was taken before, and was flushed", wrapsFlush},
	{"close", "Close delivers all, closes the next sink once, and no event is taken after it", wrapsClose},
	{"health", "Healthy is nil while all is well, and not after Close", wrapsHealth},
	{"goroutines", "Close ends every goroutine", wrapsGoroutines},
}

// patience is how long anything may take that is not told how long.
const patience = 30 * time.Second

func wrapsInterfaces(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, _ *probe) error {
		var errs []error
		if _, ok := sink.(beacon.Flusher); !ok {
			errs = append(errs, errors.New("it is no beacon.Flusher"))
		}
		if _, ok := sink.(beacon.Closer); !ok {
			errs = append(errs, errors.New("it is no beacon.Closer"))
		}
		if _, ok := sink.(beacon.HealthChecker); !ok {
			errs = append(errs, errors.New("it is no beacon.HealthChecker"))
		}
		return errors.Join(errs...)
	})
}

func wrapsBodies(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		events := sample("body")
		want, err := forms(events)
		if err != nil {
			return err
		}
		if err := delivered(sink, events); err != nil {
			return err
		}
		return p.once(want)
	})
}

// concurrently has many callers consume samples at a time, and returns the JSON
// forms and the error of each.
func concurrently(sink beacon.Sink, callers int, id string) (want []map[string]string, errs []error) {
	want = make([]map[string]string, callers)
	errs = make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			events := sample(fmt.Sprint(id, i))
			if want[i], errs[i] = forms(events); errs[i] == nil {
				errs[i], _ = consume(context.Background(), sink, events)
			}
		})
	}
	wg.Wait()
	return want, errs
}

func wrapsConcurrency(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		want, errs := concurrently(sink, 64, "request")
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if err := flush(sink); err != nil {
			return err
		}
		all := map[string]string{}
		for _, w := range want {
			maps.Copy(all, w)
		}
		return p.once(all)
	})
}

func wrapsOwnership(wrap wrapFunc) error {
	p := &probe{}
	err := func() error {
		sink := wrap(p)
		defer func() { _ = closeSink(sink) }()
		for round := range 8 {
			fails := 2
			p.failWith(func([]beacon.Event) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if fails--; fails >= 0 {
					return errors.New("out of order")
				}
				return nil
			})
			events := sample(fmt.Sprint("owned", round))
			twins := slices.Clone(events)
			want, err := forms(events)
			if err != nil {
				return err
			}
			if err := take(sink, events); err != nil {
				return err
			}
			if err := flush(sink); err != nil {
				return err
			}
			if err := p.lacks(want); err != nil {
				return err
			}
			if err := compare(want, twins); err != nil {
				return fmt.Errorf("the caller's copy: %w", err)
			}
		}
		return nil
	}()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, events := range p.kept {
		for j := range events {
			if events[j].ID != scribble(i).ID {
				return fmt.Errorf("a slice that the next sink kept was changed later: it holds an event %q", events[j].ID)
			}
		}
	}
	return nil
}

func wrapsShared(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, _ *probe) error {
		events := sample("shared")
		want, err := forms(events)
		if err != nil {
			return err
		}
		if err := delivered(sink, events); err != nil { // it gets a copy, which shares what events point to
			return err
		}
		return compare(want, events)
	})
}

func wrapsNone(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, _ *probe) error { return delivered(sink, nil) })
}

func wrapsContext(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		events := sample("context")
		want, err := forms(events)
		if err != nil {
			return err
		}
		if err, _ := consume(ctx, sink, events); err == errHangs {
			return err
		} else if err != nil {
			return nil // it said so
		}
		if err := flush(sink); err != nil {
			return err
		}
		return p.lacks(want)
	})
}

func wrapsFlush(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		events := sample("flush")
		if err := delivered(sink, events); err != nil {
			return err
		}
		p.mu.Lock()
		flushes, stored := p.flushes, p.storedAtFlush
		p.mu.Unlock()
		if flushes == 0 {
			return errors.New("the next sink was not flushed")
		}
		if stored < len(events) {
			return fmt.Errorf("the next sink was flushed when it had %d of %d events", stored, len(events))
		}
		down := errors.New("disk is full")
		p.mu.Lock()
		p.flushErr = down
		p.mu.Unlock()
		if err := flush(sink); !errors.Is(err, down) {
			return fmt.Errorf("the error of the next sink's Flush is lost: %v", err)
		}
		return nil
	})
}

func wrapsClose(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		events := sample("close")
		if err, _ := consume(context.Background(), sink, events); err != nil {
			return err
		}
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = closeSink(sink) })
		}
		wg.Wait()
		errs = append(errs, closeSink(sink))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		p.mu.Lock()
		closes, stored := p.closes, p.storedAtClose
		p.mu.Unlock()
		if closes != 1 {
			return fmt.Errorf("the next sink was closed %d times, want once", closes)
		}
		if stored < len(events) {
			return fmt.Errorf("the next sink was closed when it had %d of %d events", stored, len(events))
		}
		err, _ := consume(context.Background(), sink, sample("late"))
		switch {
		case err == nil:
			return errors.New("Consume returned nil after Close")
		case err == errHangs:
			return err
		case beacon.IsPermanent(err):
			return fmt.Errorf("after Close the error of Consume is permanent: %w", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.late > 0 {
			return errors.New("the next sink got events after it was closed")
		}
		return nil
	})
}

func wrapsHealth(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		ctx := context.Background()
		well := func(when string) error {
			if err := beacon.Healthy(ctx, sink); err != nil {
				return fmt.Errorf("%s: %w", when, err)
			}
			return nil
		}
		sick := func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.health = err
		}
		if err := well("at first"); err != nil {
			return err
		}
		if err := delivered(sink, sample("health")); err != nil {
			return err
		}
		if err := well("after events were taken"); err != nil {
			return err
		}
		// One that keeps events for the next sink may be well while that is not.
		sick(errors.New("no connection"))
		_ = beacon.Healthy(ctx, sink)
		sick(nil)
		if err := well("after the next sink became well again"); err != nil {
			return err
		}
		if err := closeSink(sink); err != nil {
			return err
		}
		if beacon.Healthy(ctx, sink) == nil {
			return errors.New("nil after Close")
		}
		return nil
	})
}

func wrapsGoroutines(wrap wrapFunc) error {
	// Ten, so that a goroutine or two of somebody else do not matter.
	const sinks = 10
	time.Sleep(50 * time.Millisecond) // those of other rules
	before := runtime.NumGoroutine()
	for i := range sinks {
		sink := wrap(&probe{})
		if err, _ := consume(context.Background(), sink, sample(fmt.Sprint("goroutines", i))); err != nil {
			return err
		}
		if err := closeSink(sink); err != nil {
			return err
		}
	}
	more := 0
	for range 100 {
		if more = runtime.NumGoroutine() - before; more < sinks/2 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%d more goroutines after %d sinks were made and closed", more, sinks)
}
