package delivery

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pagebeacon/beacon"
)

// Failed says which of the n events of a call a sink did not take that returned err, by
// their positions in order, and why. named says that it named them, with a
// [*beacon.PartialError]: then the kind of why is that of each. Without one, or with
// one that makes no sense, they are all n, and if why is permanent a single one of them
// may be the cause.
//
// No PartialError is found in why: its positions are those of another slice as soon as
// it is passed on.
func Failed(err error, n int) (failed []int, why error, named bool) {
	if err == nil {
		return nil, nil, false
	}
	part, ok := errors.AsType[*beacon.PartialError](err)
	if ok {
		failed = slices.Clone(part.Failed)
		slices.Sort(failed)
		failed = slices.Compact(failed)
		why = part.Err
		if _, nested := errors.AsType[*beacon.PartialError](why); nested || why == nil || err != error(part) {
			why = &whole{err}
		}
		if len(failed) > 0 && failed[0] >= 0 && failed[len(failed)-1] < n {
			return failed, why, true
		}
		err = why
	}
	failed = make([]int, n)
	for i := range failed {
		failed[i] = i
	}
	return failed, err, false
}

// A whole error is what it wraps, but that no PartialError is found in it.
type whole struct{ error }

func (w *whole) Is(target error) bool { return errors.Is(w.error, target) }

func (w *whole) As(target any) bool {
	if _, ok := target.(**beacon.PartialError); ok {
		return false
	}
	return errors.As(w.error, target)
}

// Whole returns err, of a sink that got n events, such that a PartialError is only found
// in it if it is one for these events.
func Whole(err error, n int) error {
	failed, why, named := Failed(err, n)
	if !named {
		return why
	}
	return &beacon.PartialError{Failed: failed, Err: why}
}

// A Tally adds up what became of the events of one call that were handed on in pieces,
// to several sinks or one after the other. What was not handed on counts as taken. The
// zero value is ready to use.
type Tally struct {
	given  int
	failed []int
	errs   []error
	named  bool // a sink named events
	doubt  bool // a permanent error may be that of one event among several
}

// Taken notes that n events were taken.
func (t *Tally) Taken(n int) { t.given += n }

// Add notes the outcome of a piece: at are the positions of its events in the call, and
// err is what the sink returned that got them.
func (t *Tally) Add(at []int, err error) {
	t.given += len(at)
	failed, why, named := Failed(err, len(at))
	if why == nil {
		return
	}
	for _, i := range failed {
		t.failed = append(t.failed, at[i])
	}
	t.errs = append(t.errs, why)
	t.named = t.named || named
	t.doubt = t.doubt || !named && len(failed) > 1
}

// Err returns what the caller gets: nil, or an error that names what was not taken. If
// that is all there was to take and not each event of it was named, it is the plain
// error, so that whoever is in front may look for the one that is to blame.
func (t *Tally) Err() error {
	if len(t.errs) == 0 {
		return nil
	}
	why := beacon.JoinErrors(t.errs...)
	if len(t.failed) == t.given && (t.doubt || !t.named) {
		return why
	}
	if t.doubt && beacon.IsPermanent(why) {
		// Of those that are named each has to be at fault, and nobody knows that of
		// these. They come again without the ones that were taken, and are told apart.
		why = fmt.Errorf("refused together: %v", why)
	}
	slices.Sort(t.failed)
	return &beacon.PartialError{Failed: slices.Compact(t.failed), Err: why}
}
