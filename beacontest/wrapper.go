package beacontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
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

// A probe is the sink behind the one under test. It makes full use of what a sink
// may do to the slice it gets.
type probe struct {
	mu       sync.Mutex
	fail     func(events []beacon.Event) error // if set, called first, without the lock; of a PartialError it takes the others
	flushErr error
	health   error

	stored                       []beacon.Event
	kept                         [][]beacon.Event // every slice it got; all events of slice i are scribble(i)
	flushes, closes, late        int
	storedAtFlush, storedAtClose int
}

func scribble(i int) beacon.Event { return beacon.Event{ID: fmt.Sprint("changed by its owner ", i)} }

func (p *probe) Consume(_ context.Context, events []beacon.Event) error {
	mine := slices.Clone(events)
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		mine := scribble(len(p.kept))
		for i := range events {
			events[i] = mine
		}
		_ = append(events, mine)
		p.kept = append(p.kept, events)
	}()
	p.mu.Lock()
	fail := p.fail
	if p.closes > 0 && len(events) > 0 {
		p.late++
	}
	p.mu.Unlock()
	var err error
	if fail != nil {
		err = fail(mine)
	}
	failed := notTaken(err, len(mine))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range mine {
		if !slices.Contains(failed, i) {
			p.stored = append(p.stored, mine[i])
		}
	}
	return err
}

// notTaken returns the positions of a call of n events that a sink did not take which
// returned err.
func notTaken(err error, n int) []int {
	if err == nil {
		return nil
	}
	if part, ok := errors.AsType[*beacon.PartialError](err); ok && len(part.Failed) > 0 &&
		!slices.ContainsFunc(part.Failed, func(i int) bool { return i < 0 || i >= n }) {
		return slices.Compact(slices.Sorted(slices.Values(part.Failed)))
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (p *probe) Flush(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushes++
	p.storedAtFlush = len(p.stored)
	return p.flushErr
}

func (p *probe) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closes++; p.closes == 1 {
		p.storedAtClose = len(p.stored)
	}
	return nil
}

func (p *probe) Healthy(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

// failWith changes what it does before it takes events; nil is nothing.
func (p *probe) failWith(fail func(events []beacon.Event) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// lacks reports the events of want that it does not have, or not as they were.
func (p *probe) lacks(want map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return compare(want, p.stored)
}

// once reports if it has other events than want, or one of them twice.
func (p *probe) once(want map[string]string) error {
	if err := p.lacks(want); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stored) != len(want) {
		return fmt.Errorf("%d events arrived, of %d", len(p.stored), len(want))
	}
	return nil
}

// wrapped makes a sink in front of a probe for check, and closes it after that.
func wrapped(wrap wrapFunc, check func(sink beacon.Sink, p *probe) error) error {
	p := &probe{}
	sink := wrap(p)
	err := check(sink, p)
	p.failWith(nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = beacon.Close(ctx, sink) // there is a rule for what it does
	return err
}

var errHangs = fmt.Errorf("Consume did not return within %v", patience)

// consume calls the sink as a Handler would, with a copy of the events and a
// deadline, and knows how to deal with one that hangs or panics.
func consume(ctx context.Context, sink beacon.Sink, events []beacon.Event) (err error, panicked bool) {
	type result struct {
		err      error
		panicked bool
	}
	ctx, cancel := context.WithTimeout(ctx, patience/3)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{fmt.Errorf("panic: %v", p), true}
			}
			done <- r
		}()
		r.err = sink.Consume(ctx, slices.Clone(events))
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case r := <-done:
		return r.err, r.panicked
	case <-t.C:
		return errHangs, false
	}
}

// take has the sink take the events; again, if it fails temporarily.
func take(sink beacon.Sink, events []beacon.Event) error {
	var err error
	for range 20 {
		if err, _ = consume(context.Background(), sink, events); err == nil || err == errHangs || beacon.IsPermanent(err) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("20 calls in a row failed, though the next sink works: %w", err)
}

func flush(sink beacon.Sink) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := beacon.Flush(ctx, sink); err != nil {
		return fmt.Errorf("Flush: %w", err)
	}
	return nil
}

func closeSink(sink beacon.Sink) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := beacon.Close(ctx, sink); err != nil {
		return fmt.Errorf("Close: %w", err)
	}
	return nil
}

// delivered consumes and flushes.
func delivered(sink beacon.Sink, events []beacon.Event) error {
	if err, _ := consume(context.Background(), sink, events); err != nil {
		return err
	}
	return flush(sink)
}

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

func wrapsOutage(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		p.failWith(func([]beacon.Event) error { return errors.New("away") })
		events := sample("outage")
		want, err := forms(events)
		if err != nil {
			return err
		}
		err, _ = consume(context.Background(), sink, events)
		switch {
		case err == errHangs:
			return err
		case beacon.IsPermanent(err):
			return fmt.Errorf("a temporary error became permanent: %w", err)
		}
		p.failWith(nil)
		if err != nil {
			if err := take(sink, events); err != nil {
				return err
			}
		}
		if err := flush(sink); err != nil {
			return err
		}
		return p.lacks(want)
	})
}

func wrapsKinds(wrap wrapFunc) error {
	const after = 17 * time.Minute // longer than anyone would wait
	var errs []error
	for _, c := range []struct {
		name string
		err  error
		kept func(got error) bool
	}{
		{"a plain error", errors.New("plain"), func(error) bool { return true }},
		{"a RetryAfterError", &beacon.RetryAfterError{After: after, Err: errors.New("later")}, func(got error) bool {
			ra, ok := errors.AsType[*beacon.RetryAfterError](got)
			return ok && ra.After == after
		}},
		{"ErrPermanent", fmt.Errorf("%w: never", beacon.ErrPermanent), func(got error) bool { return errors.Is(got, beacon.ErrPermanent) }},
		{"a RequestError with 403", &beacon.RequestError{Status: http.StatusForbidden, Reason: "own"}, func(got error) bool {
			re, ok := errors.AsType[*beacon.RequestError](got)
			return ok && re.Status == http.StatusForbidden && re.Reason == "own"
		}},
		{"a RequestError with 429", &beacon.RequestError{Status: http.StatusTooManyRequests, Reason: "own", RetryAfter: after}, func(got error) bool {
			re, ok := errors.AsType[*beacon.RequestError](got)
			return ok && re.Status == http.StatusTooManyRequests && re.RetryAfter == after
		}},
	} {
		p := &probe{fail: func([]beacon.Event) error { return c.err }}
		sink := wrap(p)
		got, panicked := consume(context.Background(), sink, sample("kinds"))
		// Whoever waits for as long as it was told to is not to be waited for here.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_ = beacon.Close(ctx, sink)
		cancel()
		switch {
		case got == errHangs || panicked:
			errs = append(errs, fmt.Errorf("%s: %w", c.name, got))
		case got == nil: // it answers for itself
		case beacon.IsPermanent(got) != beacon.IsPermanent(c.err):
			errs = append(errs, fmt.Errorf("%s came out with permanent = %v: %w", c.name, beacon.IsPermanent(got), got))
		case !c.kept(got):
			errs = append(errs, fmt.Errorf("%s is not found in %T: %w", c.name, got, got))
		}
	}
	return errors.Join(errs...)
}

// wrapsPartial has several calls meet at a next sink that takes a part of each.
func wrapsPartial(wrap wrapFunc) error {
	const callers, times = 8, 2
	of := func(id string) int { return int(id[len(id)-1] - '0') } // its position in the call
	for _, c := range []struct {
		name string
		// err is what next says to the events at these positions; nil takes all.
		err func(call int, events []beacon.Event, refused []int) error
		// refused says whether an event is, when next gets it for the nth time.
		refused   func(position, n int) bool
		permanent bool
	}{
		{"temporary", func(_ int, _ []beacon.Event, refused []int) error {
			return &beacon.PartialError{Failed: refused, Err: errors.New("locked")}
		}, func(position, n int) bool { return position%3 == 1 && n <= times }, false},
		{"permanent", func(_ int, _ []beacon.Event, refused []int) error {
			return fmt.Errorf("next: %w", &beacon.PartialError{Failed: refused, Err: fmt.Errorf("%w: no such site", beacon.ErrPermanent)})
		}, func(position, _ int) bool { return position == 0 || position == 4 }, true},
		{"names that make no sense", func(call int, events []beacon.Event, _ []int) error {
			if call%2 == 0 {
				return &beacon.PartialError{Err: errors.New("none named")}
			}
			return &beacon.PartialError{Failed: []int{0, len(events)}, Err: errors.New("one named that there is not")}
		}, func(_, n int) bool { return n == 1 }, false},
	} {
		err := wrapped(wrap, func(sink beacon.Sink, p *probe) error {
			var mu sync.Mutex
			given, taken := map[string]int{}, map[string]bool{}
			var again string
			call := 0
			gate := make(chan struct{})
			p.failWith(func(events []beacon.Event) error {
				<-gate // so that the calls meet, in a sink that merges them
				mu.Lock()
				defer mu.Unlock()
				var refused []int
				for i := range events {
					id := events[i].ID
					if given[id]++; taken[id] {
						again = id
					}
					if c.refused(of(id), given[id]) {
						refused = append(refused, i)
					}
				}
				var err error
				if refused != nil {
					err = c.err(call, events, refused)
					call++
				}
				failed := notTaken(err, len(events))
				for i := range events {
					taken[events[i].ID] = taken[events[i].ID] || !slices.Contains(failed, i)
				}
				return err
			})
			time.AfterFunc(100*time.Millisecond, func() { close(gate) })
			reported := make([][]string, callers)
			errs := make([]error, callers)
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() { reported[i], errs[i] = persist(sink, partial(i), c.permanent) })
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
			flushErr := flush(sink) // which may tell of those that are lost
			mu.Lock()
			defer mu.Unlock()
			if again != "" {
				return fmt.Errorf("event %s was given to the next sink again, which had taken it", again)
			}
			for i := range callers {
				want := partial(i)
				for _, id := range reported[i] {
					if taken[id] {
						return fmt.Errorf("event %s is reported, though the next sink took it", id)
					}
				}
				want = slices.DeleteFunc(want, func(e beacon.Event) bool {
					return slices.Contains(reported[i], e.ID) || c.permanent && c.refused(of(e.ID), 1)
				})
				forms, err := forms(want)
				if err != nil {
					return err
				}
				if err := p.lacks(forms); err != nil {
					return errors.Join(fmt.Errorf("not reported, and %w", err), flushErr)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// partial are the events of one call, with names that may send them ways of their own.
func partial(call int) []beacon.Event {
	events := sample(fmt.Sprint("partial", call))
	for i := range events {
		events[i].Name = fmt.Sprint("name", i%3)
	}
	return events
}

// persist has the sink take events; again those that it reports, unless they failed
// for good, which it returns.
func persist(sink beacon.Sink, events []beacon.Event, permanent bool) (refused []string, err error) {
	for range 20 {
		err, _ = consume(context.Background(), sink, events)
		switch {
		case err == nil || err == errHangs:
			return nil, err
		case beacon.IsPermanent(err) && !permanent:
			return nil, fmt.Errorf("a temporary error became permanent: %w", err)
		case !beacon.IsPermanent(err) && permanent:
			return nil, fmt.Errorf("a permanent error became temporary: %w", err)
		}
		var left []beacon.Event
		for _, i := range notTaken(err, len(events)) {
			left = append(left, events[i])
			refused = append(refused, events[i].ID)
		}
		if permanent {
			return refused, nil
		}
		events, refused = left, nil
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("20 calls in a row failed, though the next sink works: %w", err)
}

func wrapsPoison(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		const callers, guilty = 16, 7
		poison := fmt.Sprintf("call%d-3", guilty) // one of several in its call
		gate := make(chan struct{})
		p.failWith(func(events []beacon.Event) error {
			<-gate // so that the calls meet, in a sink that merges them
			for i := range events {
				if events[i].ID == poison {
					return fmt.Errorf("%w: poison", beacon.ErrPermanent)
				}
			}
			return nil
		})
		time.AfterFunc(100*time.Millisecond, func() { close(gate) })
		want, errs := concurrently(sink, callers, "call")
		if err := errs[guilty]; err == errHangs || err != nil && !beacon.IsPermanent(err) {
			return fmt.Errorf("the guilty call: %w", err)
		}
		flushErr := flush(sink) // which may tell of the one that is lost
		for i := range callers {
			if i == guilty {
				continue
			}
			if errs[i] != nil {
				return fmt.Errorf("another call: %w", errs[i])
			}
			if err := p.lacks(want[i]); err != nil {
				return errors.Join(fmt.Errorf("another call: %w", err), flushErr)
			}
		}
		return nil
	})
}

func wrapsPanic(wrap wrapFunc) error {
	return wrapped(wrap, func(sink beacon.Sink, p *probe) error {
		gate := make(chan struct{})
		p.failWith(func([]beacon.Event) error {
			<-gate
			panic("the next sink panics")
		})
		time.AfterFunc(100*time.Millisecond, func() { close(gate) })
		want, errs := concurrently(sink, 16, "panic")
		p.failWith(nil)
		events := sample("calm")
		calm, err := forms(events)
		if err != nil {
			return err
		}
		if err := take(sink, events); err != nil {
			return fmt.Errorf("a call after it: %w", err)
		}
		if err := flush(sink); err != nil {
			return err
		}
		if err := p.lacks(calm); err != nil {
			return fmt.Errorf("a call after it: %w", err)
		}
		for i, err := range errs {
			if err == errHangs {
				return err
			}
			if err == nil {
				if err := p.lacks(want[i]); err != nil {
					return fmt.Errorf("nil was returned, and %w", err)
				}
			}
		}
		return nil
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
