// Package intake reads the bodies of requests: within a size, a time, and a budget
// for all that are in memory together.
package intake

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Why a body was not read. Errors of this package wrap one of them.
var (
	ErrBusy     = errors.New("the budget for bodies is used up")
	ErrTooLarge = errors.New("body too large")
	ErrTooSlow  = errors.New("body too slow")
	ErrBroken   = errors.New("body broken")

	// ErrReadBefore is of a body that somebody else has read already.
	ErrReadBefore = errors.New("the body was read before it came here, by a middleware or ParseForm")
)

// Limits are the settings of a [Gate]; all are required.
type Limits struct {
	MaxBody int64         // bytes of one body, as it is sent
	Budget  int64         // bytes of all bodies in memory
	Timeout time.Duration // of the reading of one body, give or take an eighth

	// NoDeadline is called when the time-out of a body could not be enforced, since
	// the ResponseWriter has no read deadline and no Unwrap that leads to one.
	NoDeadline func()
}

const (
	// firstChunk is what is set aside for a body before any of it has arrived, so
	// that a Content-Length alone reserves little. Most beacons fit.
	firstChunk = 8 << 10

	// secondChunk is what it gets when that is used up, and then all the rest if its
	// length is known: a claim on much has to come with something.
	secondChunk = 64 << 10

	// maxIdle is how often a reader may return nothing in a row.
	maxIdle = 100

	// probe is the room for one byte more than there should be, which is how the end
	// is found without another buffer.
	probe = 1

	// patience is how long a request waits for its share of the budget.
	patience = time.Second
)

// A Gate lets bodies in. It is safe for concurrent use.
type Gate struct {
	limits   Limits
	budget   budget
	watchdog watchdog
}

// New returns a Gate.
func New(l Limits) *Gate {
	return &Gate{
		limits: l, budget: budget{free: l.Budget},
		watchdog: watchdog{period: max(l.Timeout/watchTicks, time.Millisecond)},
	}
}

// A Body is one request's, and what it holds of the budget.
type Body struct {
	Bytes    []byte // what was read of it, and at most MaxBody
	Complete bool   // that is all of it

	gate *Gate
	r    *http.Request
	w    http.ResponseWriter
	held int64
}

// Body returns the body of the request that w answers. Nothing of it is read yet.
func (g *Gate) Body(w http.ResponseWriter, r *http.Request) Body {
	return Body{gate: g, r: r, w: w}
}

// Reserve takes n more bytes from the budget, for what is made of the body.
func (b *Body) Reserve(n int64) error {
	if !b.gate.budget.acquire(n, min(patience, b.gate.limits.Timeout)) {
		return ErrBusy
	}
	b.held += n
	return nil
}

// GiveBack returns n bytes to the budget.
func (b *Body) GiveBack(n int64) {
	if n > 0 {
		b.gate.budget.release(n)
		b.held -= n
	}
}

// Release gives everything back. It may be called more than once.
func (b *Body) Release() { b.GiveBack(b.held) }

func (b *Body) exists() bool { return b.r.Body != nil && b.r.Body != http.NoBody }

// LimitRest bounds the time that net/http spends on what was not read: it takes
// some of it before it answers. A body that was too slow gets no more time.
func (b *Body) LimitRest(why error) {
	if b.exists() && !b.Complete && !errors.Is(why, ErrTooSlow) {
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Now().Add(b.gate.limits.Timeout))
	}
}

// Read reads the body to its end. If it says that it is longer than MaxBody,
// wantStart is whether its start is of use to anybody.
//
// Only io.EOF is the end of a body: a middleware that decompresses it leaves a
// Content-Length behind that is not its own. So the length is a hint of how much
// room to make, and no more.
func (b *Body) Read(wantStart bool) (err error) {
	if !b.exists() {
		return nil
	}
	length, limit := b.r.ContentLength, b.gate.limits.MaxBody
	if length > limit && !wantStart {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, length)
	}
	slot := b.gate.watchdog.enter(b.w)
	defer func() {
		switch late, bound := b.gate.watchdog.leave(slot); {
		case !late:
		case !bound:
			b.gate.limits.NoDeadline()
			if err == nil {
				err = b.tooSlow()
			}
		case err == nil:
			// It came through in the last moment, and the sink may take longer.
			_ = http.NewResponseController(b.w).SetReadDeadline(time.Time{})
		}
		b.Complete = err == nil
	}()

	size := min(512, limit) + probe
	if length > 0 {
		size = min(length, limit, firstChunk) + probe
	}
	if err := b.Reserve(size - probe); err != nil {
		return err
	}
	b.Bytes = make([]byte, 0, size)
	for idle := 0; ; {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(); err != nil {
				return err
			}
		}
		n, err := b.r.Body.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle == maxIdle {
			err = io.ErrNoProgress
		}
		if int64(len(b.Bytes)) > limit {
			b.Bytes = b.Bytes[:limit]
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
		if err == io.EOF {
			return b.wasReadBefore()
		}
		if err != nil {
			return b.readError(err)
		}
	}
}

// grow makes more room. Bodies that wait for the budget hold little of it, so that what
// they wait for is there.
func (b *Body) grow() error {
	have := int64(cap(b.Bytes))
	var size int64
	switch {
	case have < firstChunk:
		size = firstChunk
	case have < secondChunk:
		size = secondChunk
	case b.r.ContentLength >= have:
		size = b.r.ContentLength
	default:
		size = 2 * have
	}
	if length := b.r.ContentLength; length >= have {
		size = min(size, length)
	}
	size = min(size, b.gate.limits.MaxBody) + probe
	if err := b.Reserve(size - have); err != nil {
		return err
	}
	b.Bytes = append(make([]byte, 0, size), b.Bytes...)
	return nil
}

// wasReadBefore finds out about a body of which somebody has left nothing: to take
// it for empty would lose it without a word.
func (b *Body) wasReadBefore() error {
	if len(b.Bytes) == 0 && (b.r.ContentLength > 0 || len(b.r.PostForm) > 0 || b.r.MultipartForm != nil) {
		return ErrReadBefore
	}
	return nil
}

func (b *Body) readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if b.r.ProtoMajor < 2 {
			// The rest is still to come, and nobody will read it. A stream of HTTP/2
			// ends alone: there the header would close the connection for all.
			b.w.Header().Set("Connection", "close")
		}
		return b.tooSlow()
	}
	if errors.Is(err, http.ErrBodyReadAfterClose) { // by somebody outside, who is done with it
		return ErrReadBefore
	}
	if too, ok := errors.AsType[*http.MaxBytesError](err); ok { // a limit of the host's own
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, too.Limit)
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

func (b *Body) tooSlow() error {
	return fmt.Errorf("%w: %d bytes in %v", ErrTooSlow, len(b.Bytes), b.gate.limits.Timeout)
}
