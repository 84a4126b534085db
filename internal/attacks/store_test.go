package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// honestBody and poisonBody are how the bodies of honest beacons, and of those that a
// store dislikes, start. An honest one goes on with the time when it was sent.
const (
	honestBody = "honest "
	poisonBody = "poison"
)

func starts(e *beacon.Event, with string) bool {
	text, ok := e.Body.(beacon.Text)
	return ok && strings.HasPrefix(string(text), with)
}

// callTime is what a call of a store takes.
const callTime = 2 * time.Millisecond

// A store is the last sink. What it does is its mode:
//
//	""         takes all at once
//	slow       takes the honest at once, and others after three seconds
//	down       takes nothing
//	plain      fails if there is poison in a call, as a database does that knows no better
//	permanent  does so and says that it is for good
//	named      does so and says which events it is about; it has taken the others
//
// In the last three modes a call takes its time.
type store struct {
	mode string

	mu      sync.Mutex
	seen    map[string]struct{} // bodies of the honest
	slowest time.Duration
	calls   int
}

// Arrivals are the honest beacons that came to a store.
type arrivals struct {
	Honest  int           // each counted once
	Slowest time.Duration // from the visitor to here
	Calls   int
}

func (s *store) arrivals() arrivals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return arrivals{len(s.seen), s.slowest, s.calls}
}

var errPoison = errors.New("the store does not like an event")

func (s *store) Consume(ctx context.Context, events []beacon.Event) error {
	var err error
	switch s.mode {
	case "down":
		return errors.New("the store is down")
	case "slow":
		if starts(&events[0], honestBody) {
			break
		}
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	case "plain", "permanent", "named":
		time.Sleep(callTime)
		events, err = s.taste(events)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	for i := range events {
		s.take(&events[i])
	}
	return err
}

// taste returns the events that are taken, and what is said of the others.
func (s *store) taste(events []beacon.Event) ([]beacon.Event, error) {
	var failed []int
	var good []beacon.Event
	for i := range events {
		if starts(&events[i], poisonBody) {
			failed = append(failed, i)
		} else {
			good = append(good, events[i])
		}
	}
	switch permanent := fmt.Errorf("%w: %w", beacon.ErrPermanent, errPoison); {
	case failed == nil:
		return events, nil
	case s.mode == "named":
		return good, &beacon.PartialError{Failed: failed, Err: permanent}
	case s.mode == "permanent":
		return nil, permanent
	}
	return nil, errPoison
}

// take notes an honest event when it comes for the first time. The caller holds the lock.
func (s *store) take(e *beacon.Event) {
	if !starts(e, honestBody) {
		return
	}
	body := string(e.Body.(beacon.Text))
	if _, again := s.seen[body]; again {
		return
	}
	s.seen[strings.Clone(body)] = struct{}{}
	if sent, err := time.Parse(time.RFC3339Nano, body[len(honestBody):]); err == nil {
		s.slowest = max(s.slowest, time.Since(sent))
	}
}
