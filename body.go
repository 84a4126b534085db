package beacon

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// firstChunk is what is set aside for a body before any of it has arrived.
	// Beyond that memory follows the bytes, so that a Content-Length alone
	// reserves little. Most beacons fit.
	firstChunk = 8 << 10

	// patience is how long a request waits for its share of MaxInFlight.
	patience = time.Second
)

// A bodyReader reads one request's body within its limits, and knows what it
// holds of the budget.
type bodyReader struct {
	h    *Handler
	r    *http.Request
	w    http.ResponseWriter
	buf  []byte
	held int64

	complete bool // buf is the whole body
}

// reserve takes n more bytes from the budget.
func (b *bodyReader) reserve(n int64) error {
	if !b.h.budget.acquire(n, min(patience, b.h.cfg.ReadTimeout)) {
		return &RequestError{
			Status: http.StatusTooManyRequests, Reason: ReasonTooBusy, RetryAfter: time.Second,
			Err: errors.New("MaxInFlight reached"),
		}
	}
	b.held += n
	return nil
}

// giveBack returns n bytes to the budget.
func (b *bodyReader) giveBack(n int64) {
	if n > 0 {
		b.h.budget.release(n)
		b.held -= n
	}
}

// release gives everything back.
func (b *bodyReader) release() { b.giveBack(b.held) }

func (b *bodyReader) exists() bool {
	return b.r.Body != nil && b.r.Body != http.NoBody && b.r.ContentLength != 0
}

// limitRest bounds the time that net/http spends on what was not read: it takes
// some of it before it answers. A body that was too slow gets no more time.
func (b *bodyReader) limitRest(why *RequestError) {
	if b.exists() && !b.complete && why.Reason != ReasonBodyTooSlow {
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Now().Add(b.h.cfg.ReadTimeout))
	}
}

// read reads the body. On an error b.buf holds what was read until then, and at
// most MaxBody bytes of it.
func (b *bodyReader) read() (err error) {
	r, limit := b.r, b.h.cfg.MaxBody
	if !b.exists() {
		return nil
	}
	if r.ContentLength > limit && b.h.cfg.OnRefused == nil {
		return tooLarge(ReasonBodyTooLarge, "%d bytes", r.ContentLength) // nobody wants the start of it
	}
	slot := b.h.watchdog.enter(b.w)
	defer func() {
		if late := b.h.watchdog.leave(slot); late && err == nil {
			// It came through in the last moment, and the sink may take longer.
			_ = http.NewResponseController(b.w).SetReadDeadline(time.Time{})
		}
		b.complete = err == nil
	}()

	size := int64(512) // of a body that does not tell its length
	if r.ContentLength > 0 {
		size = min(r.ContentLength, limit, firstChunk)
	}
	if err := b.reserve(size); err != nil {
		return err
	}
	b.buf = make([]byte, 0, size)
	for {
		if len(b.buf) == cap(b.buf) && int64(len(b.buf)) != r.ContentLength {
			if int64(len(b.buf)) >= limit {
				return b.atLimit(limit)
			}
			if err := b.grow(limit); err != nil {
				return err
			}
		}
		n, err := r.Body.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
		if err == io.EOF && int64(len(b.buf)) < r.ContentLength {
			err = io.ErrUnexpectedEOF // net/http sees to it, other callers may not
		}
		if err == io.EOF || err == nil && int64(len(b.buf)) == r.ContentLength {
			return nil
		}
		if err != nil {
			return b.readError(err)
		}
	}
}

// grow doubles the buffer, up to what the body can still need.
func (b *bodyReader) grow(limit int64) error {
	have := int64(cap(b.buf))
	size := min(2*have, limit)
	if b.r.ContentLength > 0 {
		size = min(size, b.r.ContentLength)
	}
	if err := b.reserve(size - have); err != nil {
		return err
	}
	b.buf = append(make([]byte, 0, size), b.buf...)
	return nil
}

// atLimit tells a body of exactly the limit from a longer one.
func (b *bodyReader) atLimit(limit int64) error {
	var more [1]byte
	switch n, err := io.ReadFull(b.r.Body, more[:]); {
	case n > 0:
		return tooLarge(ReasonBodyTooLarge, "more than %d bytes", limit)
	case err == io.EOF:
		return nil
	default:
		return b.readError(err)
	}
}

func (b *bodyReader) readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The rest of the body is still to come: the connection is of no more use.
		b.w.Header().Set("Connection", "close")
		return &RequestError{
			Status: http.StatusRequestTimeout, Reason: ReasonBodyTooSlow,
			Err: fmt.Errorf("%d bytes in %v", len(b.buf), b.h.cfg.ReadTimeout),
		}
	}
	if too, ok := errors.AsType[*http.MaxBytesError](err); ok { // a limit of the host's own
		return tooLarge(ReasonBodyTooLarge, "more than %d bytes", too.Limit)
	}
	return malformed(ReasonBodyBroken, err)
}
