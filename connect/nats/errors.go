package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
)

// Error codes of the server that the client library has no names for.
const (
	notClustered    = 10074 // replicas without a cluster
	noPeers         = 10005 // or one that is not complete yet
	headersTooLarge = 10097
	storeFailed     = 10077 // the stream is full, with discard new
	accountFull     = 10002
	noResources     = 10023
	noStorage       = 10047
	inProcess       = 10158 // a message of the same ID is on its way
)

// Waits to ask for. An election of a leader takes some seconds; to make room takes longer.
const (
	retryAway = time.Second
	retryFull = 5 * time.Second

	retryUnderWay = 10 * time.Millisecond // is not asked for, but waited here
)

// neverTaken says whether an error is about the one message, and stays.
func neverTaken(err error) bool {
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadHeaderMsg) {
		return true
	}
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum || e.ErrorCode == headersTooLarge)
}

// temporary makes the error of events that were not acknowledged, but can be.
func temporary(err error) error {
	after := retryAway
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch e.ErrorCode {
		case storeFailed, accountFull, noResources, noStorage:
			after = retryFull
		}
	}
	return &beacon.RetryAfterError{After: after, Err: err}
}

// mistaken says whether the answer to a question about a stream or consumer shows that it
// is asked for wrongly, and not that it cannot be answered now.
func mistaken(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && 400 <= e.Code && e.Code < 500 && e.Code != 408 && e.Code != 429
}

// unready says whether the servers may answer otherwise when they are all there and have
// a leader.
func unready(err error) bool {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		return e.Code == 503 || e.ErrorCode == noPeers
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, jetstream.ErrJetStreamNotEnabled)
}

// underWay says whether a message was refused because one of the same ID is not stored yet.
func underWay(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == inProcess
}
