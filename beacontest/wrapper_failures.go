package beacontest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

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
