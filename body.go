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

// setDeadline bounds the time of the body: of reading it here, and, for one that
// is not wanted, of the reading that net/http does before it answers. It is the
// connection's deadline, not a timer: that ends a Read which is blocked. Writers
// that have none (tests, some middlewares) are left without.
func (b *bodyReader) setDeadline(t time.Time) {
	if b.exists() {
		_ = http.NewResponseController(b.w).SetReadDeadline(t)
	}
}

// read reads the body. On an error b.buf holds what was read until then, and at
// most MaxBody bytes of it.
func (b *bodyReader) read() error {
	r, limit := b.r, b.h.cfg.MaxBody
	if !b.exists() {
		return nil
	}
	if r.ContentLength > limit && b.h.cfg.OnRefused == nil {
		return tooLarge(ReasonBodyTooLarge, "%d bytes", r.ContentLength) // nobody wants the start of it
	}
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
			b.setDeadline(time.Time{}) // the sink may take longer
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
		b.setDeadline(time.Time{})
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
