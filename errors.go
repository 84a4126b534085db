package beacon

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrPermanent marks an error of a [Sink] that no retry can mend: wrap it, as in
// fmt.Errorf("%w: no such site", beacon.ErrPermanent).
var ErrPermanent = errors.New("permanent failure")

// ErrDrop, returned from [Config.Enrich], drops one event on purpose, for
// example because the visitor asked not to be tracked. The request is answered
// as if it had been taken, and counted as dropped.
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

// The reasons for which a request is not taken. They are what
// [RequestError.Reason], [Stats.Refused] and the Beacon-Refused header hold, and
// a closed set unless the host's own [RequestError] values add to it.
const (
	ReasonMethod        = "method"             // 405
	ReasonOrigin        = "origin"             // 403
	ReasonTooBusy       = "too-busy"           // 429, see [Config.MaxInFlight]
	ReasonBodyTooLarge  = "body-too-large"     // 413
	ReasonTooInflated   = "inflates-too-large" // 413
	ReasonTooManyFields = "too-many-fields"    // 413
	ReasonTooManyEvents = "too-many-events"    // 413
	ReasonTooDeep       = "json-too-deep"      // 413
	ReasonBodyTooSlow   = "body-too-slow"      // 408
	ReasonBodyBroken    = "body-broken"        // 400, the connection ended inside the body
	ReasonMultipart     = "malformed-multipart"
	ReasonEncoding      = "malformed-encoding" // 400, as is malformed-multipart
	ReasonSinkRefused   = "sink-refused"       // 422, see [ErrPermanent]
	ReasonSinkFailed    = "sink-failed"        // 503
	ReasonShuttingDown  = "shutting-down"      // 503, see [Handler.Shutdown]
	ReasonPanic         = "panic"              // 500
)

// A RequestError says why a request was not taken.
//
// Reason is a fixed word that goes to the client; Err is the cause, which goes
// to the log only. [Config.Enrich] and a [Sink] may return one to choose the
// answer themselves, for example 429 for a visitor who is sending too much.
type RequestError struct {
	Status     int // HTTP status of the answer
	Reason     string
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

func tooLarge(reason string, format string, args ...any) error {
	return &RequestError{Status: http.StatusRequestEntityTooLarge, Reason: reason, Err: fmt.Errorf(format, args...)}
}

func malformed(reason string, err error) error {
	return &RequestError{Status: http.StatusBadRequest, Reason: reason, Err: err}
}

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

func fieldError(key, value, reason string) FieldError {
	const max = 64
	if len(key) > max {
		key = key[:max]
	}
	if len(value) > max {
		value = value[:max]
	}
	return FieldError{Key: key, Value: value, Reason: reason}
}
