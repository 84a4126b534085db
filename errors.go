package beacon

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/intake"
)

// ErrPermanent marks an error of a [Sink] that no retry can mend: wrap it, as in
// fmt.Errorf("%w: no such site", beacon.ErrPermanent).
var ErrPermanent = errors.New("permanent failure")

// ErrDrop, returned from [Config.Enrich], drops one event on purpose, for example
// because the visitor asked not to be tracked, and from [Config.Admit] a whole
// request. The request is answered as if it had been taken, and counted as dropped
// if nothing of it is left.
var ErrDrop = errors.New("dropped on purpose")

// A RetryAfterError is a temporary failure of a [Sink] that says when to try
// again. After is rounded up to whole seconds in the answer.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string {
	return fmt.Sprintf("retry after %v: %v", e.After, e.Err)
}

// Unwrap returns e.Err.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// A PartialError is the error of a [Sink] that did not take some of the events of a
// call, and took the others. Whoever called it does not give it those again.
//
// [On] returns one; package sink and package spool understand it.
type PartialError struct {
	// Failed are the positions, in the slice that Consume got, of the events that
	// were not taken. If it is empty or holds a position that there is not, none
	// counts as taken.
	Failed []int

	// Err says why. Its kind, permanent or temporary, is that of all of Failed:
	// where they differ it is temporary, as [JoinErrors] makes it, and what can
	// never be taken is told when it comes again.
	Err error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%d events not taken: %v", len(e.Failed), e.Err)
}

// Unwrap returns e.Err.
func (e *PartialError) Unwrap() error { return e.Err }

// IsPermanent says whether no retry can mend err: it wraps [ErrPermanent], or a
// [*RequestError] whose status puts the fault on the request, which is one from 400
// to 499 other than 408, 425 and 429.
func IsPermanent(err error) bool {
	if re, ok := errors.AsType[*RequestError](err); ok && re.Status != 0 {
		switch re.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return 400 <= re.Status && re.Status < 500
	}
	return errors.Is(err, ErrPermanent)
}

// RetryAfter returns the wait that err asks for, which a [*RequestError] and a
// [*RetryAfterError] can. ok is false if it asks for none.
func RetryAfter(err error) (wait time.Duration, ok bool) {
	if re, ok := errors.AsType[*RequestError](err); ok && re.Status != 0 {
		return re.RetryAfter, re.RetryAfter > 0
	}
	if ra, ok := errors.AsType[*RetryAfterError](err); ok {
		return ra.After, ra.After > 0
	}
	return 0, false
}

// JoinErrors joins the errors of several Sinks that got the same events, so that
// what is found in the result is right for all of them. It is permanent only if all
// are, since a retry may help the others; of several delays the longest is found;
// and it is a [*PartialError], with all that failed anywhere, if all are. What would
// be found instead of that is kept as text. Nil errors are left out; without any
// other it returns nil.
func JoinErrors(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	var failed []int
	all := false // failed, at one of the sinks
	for i, err := range errs {
		part, ok := errors.AsType[*PartialError](err)
		if !ok || len(part.Failed) == 0 {
			all = true
		}
		if ok {
			failed = append(failed, part.Failed...)
		}
		if err == error(part) && part.Err != nil {
			err = part.Err
		}
		errs[i] = withoutParts(err)
	}
	err := joinKinds(errs)
	if all {
		return err
	}
	slices.Sort(failed)
	return &PartialError{Failed: slices.Compact(failed), Err: err}
}

// withoutParts returns err such that no PartialError is found in it: its positions are
// those of another slice.
func withoutParts(err error) error {
	if _, ok := errors.AsType[*PartialError](err); ok {
		return &whole{err}
	}
	return err
}

type whole struct{ error }

func (w *whole) Is(target error) bool { return errors.Is(w.error, target) }

func (w *whole) As(target any) bool {
	if _, ok := target.(**PartialError); ok {
		return false
	}
	return errors.As(w.error, target)
}

// joinKinds joins two or more errors: temporary if one is, with the longest delay.
func joinKinds(errs []error) error {
	if !slices.ContainsFunc(errs, func(err error) bool { return !IsPermanent(err) }) {
		return errors.Join(errs...)
	}
	rank := func(err error) time.Duration {
		if IsPermanent(err) {
			return -1
		}
		wait, _ := RetryAfter(err)
		return wait
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(rank(b), rank(a)) })
	for i, err := range errs[1:] {
		// A RequestError chooses the answer wherever it stands.
		_, answers := errors.AsType[*RequestError](err)
		if answers || IsPermanent(err) {
			errs[i+1] = fmt.Errorf("and: %v", err)
		}
	}
	return errors.Join(errs...)
}

// The reasons for which a request is not taken. They are what
// [RequestError.Reason], [Stats.Refused] and the Beacon-Refused header hold, and
// a closed set unless the host's own [RequestError] values add to it.
const (
	ReasonMethod        = "method"              // 405
	ReasonOrigin        = "origin"              // 403
	ReasonHost          = "host"                // 403, see [Config.Hosts]
	ReasonToken         = "token"               // 403, see [Config.RequireToken]
	ReasonTooBusy       = "too-busy"            // 429, see [Config.MaxInFlight] and [Config.MaxRequests]
	ReasonTooHeavy      = "too-heavy"           // 413, see [Config.MaxInFlight]
	ReasonLimited       = "limited"             // 429, see package limit
	ReasonBodyTooLarge  = "body-too-large"      // 413
	ReasonTooInflated   = "inflates-too-large"  // 413
	ReasonQueryTooLarge = "query-too-large"     // 413
	ReasonTooManyFields = "too-many-fields"     // 413
	ReasonTooManyEvents = "too-many-events"     // 413
	ReasonTooDeep       = "json-too-deep"       // 413
	ReasonBodyTooSlow   = "body-too-slow"       // 408
	ReasonBodyBroken    = "body-broken"         // 400, it ended before it was complete
	ReasonMultipart     = "malformed-multipart" // 400
	ReasonEncoding      = "malformed-encoding"  // 400
	ReasonBodyRead      = "body-already-read"   // 500, a middleware or ParseForm was here before
	ReasonSinkRefused   = "sink-refused"        // 422, see [ErrPermanent]
	ReasonSinkFailed    = "sink-failed"         // 503
	ReasonShuttingDown  = "shutting-down"       // 503, see [Handler.Shutdown]
	ReasonPanic         = "panic"               // 500
)

// statuses are the answers that go with the reasons.
var statuses = map[string]int{
	ReasonMethod:        http.StatusMethodNotAllowed,
	ReasonOrigin:        http.StatusForbidden,
	ReasonHost:          http.StatusForbidden,
	ReasonToken:         http.StatusForbidden,
	ReasonTooBusy:       http.StatusTooManyRequests,
	ReasonTooHeavy:      http.StatusRequestEntityTooLarge,
	ReasonLimited:       http.StatusTooManyRequests,
	ReasonBodyTooLarge:  http.StatusRequestEntityTooLarge,
	ReasonTooInflated:   http.StatusRequestEntityTooLarge,
	ReasonQueryTooLarge: http.StatusRequestEntityTooLarge,
	ReasonTooManyFields: http.StatusRequestEntityTooLarge,
	ReasonTooManyEvents: http.StatusRequestEntityTooLarge,
	ReasonTooDeep:       http.StatusRequestEntityTooLarge,
	ReasonBodyTooSlow:   http.StatusRequestTimeout,
	ReasonBodyBroken:    http.StatusBadRequest,
	ReasonMultipart:     http.StatusBadRequest,
	ReasonEncoding:      http.StatusBadRequest,
	ReasonBodyRead:      http.StatusInternalServerError,
	ReasonSinkRefused:   http.StatusUnprocessableEntity,
	ReasonSinkFailed:    http.StatusServiceUnavailable,
	ReasonShuttingDown:  http.StatusServiceUnavailable,
	ReasonPanic:         http.StatusInternalServerError,
}

// refusal is the error of a request that is not taken for that reason.
func refusal(reason string, err error) *RequestError {
	return &RequestError{Status: statuses[reason], Reason: reason, Err: err}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*RequestError](err)
	return ok
}

// bodyRefusal is the same for a body that could not be read, or what is made of it.
func bodyRefusal(err error) error {
	switch {
	case errors.Is(err, intake.ErrBusy):
		why := refusal(ReasonTooBusy, err)
		why.RetryAfter = time.Second
		return why
	case errors.Is(err, intake.ErrTooHeavy):
		return refusal(ReasonTooHeavy, err)
	case errors.Is(err, intake.ErrTooLarge):
		return refusal(ReasonBodyTooLarge, err)
	case errors.Is(err, intake.ErrTooSlow):
		return refusal(ReasonBodyTooSlow, err)
	case errors.Is(err, intake.ErrReadBefore):
		return refusal(ReasonBodyRead, err)
	}
	return refusal(ReasonBodyBroken, err)
}

// shuttingDown is made anew for each request: hosts get it, and may change it.
func shuttingDown() *RequestError {
	why := refusal(ReasonShuttingDown, nil)
	why.RetryAfter = 5 * time.Second
	return why
}

// recoverTo turns a panic into an error. It has to be deferred itself.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = refusal(ReasonPanic, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}

// sinkRefusal decides what the error of a Sink, or of the host's hooks, does to the
// answer.
func sinkRefusal(err error) error {
	re, ok := errors.AsType[*RequestError](err)
	switch {
	case ok && 400 <= re.Status && re.Status <= 599:
		return re
	case ok && re.Status != 0:
		return refusal(ReasonPanic, fmt.Errorf("status %d, which is not a refusal: %w", re.Status, err))
	case IsPermanent(err):
		return refusal(ReasonSinkRefused, err)
	}
	why := refusal(ReasonSinkFailed, err)
	if why.RetryAfter, ok = RetryAfter(err); !ok {
		why.RetryAfter = 5 * time.Second
	}
	return why
}

// A RequestError says why a request was not taken.
//
// Reason is a fixed word that goes to the client; Err is the cause, which goes
// to the log only. [Config.Admit], [Config.Enrich] and a [Sink] may return one to
// choose the answer themselves, for example 429 for a visitor who is sending too
// much.
type RequestError struct {
	// Status is the HTTP status of the answer, from 400 to 599. With 0 it is that of
	// Err as if that had been returned alone; any other is a mistake, and answered 500.
	Status int

	Reason     string        // one of the constants above, or a word of the host's own
	RetryAfter time.Duration // sent as Retry-After if positive
	Err        error         // may be nil
}

func (e *RequestError) Error() string {
	if e.Err == nil {
		return "beacon: refused: " + e.Reason
	}
	return "beacon: refused: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *RequestError) Unwrap() error { return e.Err }

// A FieldError is something in an event that did not fit its place. It stands
// beside the event, which is delivered all the same. It holds text only, so
// that it survives storage.
type FieldError struct {
	Key    string // field name, path into a JSON body, or "body" for the whole
	Value  string // offending value, cut to 64 bytes; empty if it has no short form
	Reason string
}

func (e FieldError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("beacon: field %q: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("beacon: field %q: %s: %q", e.Key, e.Reason, e.Value)
}

// fieldError copies what it is given: it is short, and outlives what it stood in.
func fieldError(key, value, reason string) FieldError {
	const max = 64
	return FieldError{Key: strings.Clone(key[:min(len(key), max)]), Value: strings.Clone(value[:min(len(value), max)]), Reason: reason}
}
