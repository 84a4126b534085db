// Package intake reads the bodies of requests: within a size, a time, and a budget
// for all that are in memory together.
package intake

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// Why a body was not read, or what is made of it has no room. Errors of this package wrap
// one of them.
var (
	ErrBusy     = errors.New("the budget is used up")
	ErrTooHeavy = errors.New("more than one request may hold")
	ErrTooLarge = errors.New("body too large")
	ErrTooSlow  = errors.New("body too slow")
	ErrBroken   = errors.New("body broken")

	// ErrReadBefore is of a body that somebody else has read already.
	ErrReadBefore = errors.New("the body was read before it came here, by a middleware or ParseForm")
)

// Limits are the settings of a [Gate]; all are required.
type Limits struct {
	MaxBody  int64         // bytes of one body, as it is sent
	Budget   int64         // bytes that all requests hold in memory
	Share    int64         // of them, what one request, or all of one network, may hold; at least MaxBody
	Making   int64         // of them, about the most that is made of one body
	Requests int           // in progress at a time
	Timeout  time.Duration // of the reading of one body, give or take an eighth

	// NoDeadline is called when the time-out of a body could not be enforced, since
	// the ResponseWriter has no read deadline and no Unwrap that leads to one.
	NoDeadline func()
}

const (
	// waitingRoom is the buffer in which a body waits for its first byte. Nothing is
	// reserved for it until something comes: it is no more than what a connection costs
	// in any case.
	waitingRoom = 512

	// firstChunk and secondChunk are what a body gets when that is used up, and then
	// all the rest if its length is known. It has brought at least a sixteenth of what
	// it claims. If all grew step by step, those that do so together would end up
	// waiting for each other.
	firstChunk  = 8 << 10
	secondChunk = 64 << 10

	// maxIdle is how often a reader may return nothing in a row.
	maxIdle = 100

	// probe is the room for one byte more than there should be, which is how the end
	// is found without another buffer.
	probe = 1

	// patience is how long a request waits for its share of the budget.
	patience = time.Second
)

// A Gate lets requests in. It is safe for concurrent use.
type Gate struct {
	limits   Limits
	bytes    budget
	requests budget
	making   budget // requests that make much of what they read
	watchdog watchdog
}

// New returns a Gate.
func New(l Limits) *Gate {
	kept := min(l.Budget/16, l.Budget-l.Share)
	g := &Gate{
		limits:   l,
		bytes:    newBudget(l.Budget, l.Share, kept, math.MaxInt),
		requests: newBudget(int64(l.Requests), int64(max(1, l.Requests/8)), 0, l.Requests/8),
		watchdog: watchdog{timeout: l.Timeout},
	}
	// Half is for what is made of bodies, and of the other half one body.
	leave := func(n int64) (leave [kinds]int64) {
		leave[finishing] = (n - l.MaxBody) / 2
		leave[beginning] = min(leave[finishing]+l.MaxBody, n-min(l.MaxBody, secondChunk)) // one always goes
		return leave
	}
	g.bytes.leaveShare = leave(l.Share)
	g.bytes.leave = leave(l.Budget - kept)
	makers := max(1, g.bytes.leave[finishing]/l.Making)
	g.making = newBudget(makers, max(1, makers/8), 0, math.MaxInt)
	return g
}

// Held returns how many bytes of the budget are in use.
func (g *Gate) Held() int64 { return g.limits.Budget - g.bytes.left() }

// A Body is one request's, and what that holds of the budgets.
type Body struct {
	Bytes    []byte // what was read of it, and at most MaxBody
	Complete bool   // that is all of it
	Headers  int64  // bytes that the headers take, see [Headers.Uncommon]; for Enter

	gate    *Gate
	r       *http.Request
	w       http.ResponseWriter
	network netip.Prefix
	read    *read // while it is read
	inside  bool  // it counts as a request in progress
	makes   bool  // and as one that makes much
	held    int64 // bytes
	small   int64 // those of them that small claims got
}

// Body returns the body of the request that w answers. Nothing of it is read yet. All of
// a network share what one may hold; the zero Prefix is of none.
func (g *Gate) Body(w http.ResponseWriter, r *http.Request, network netip.Prefix) Body {
	return Body{gate: g, r: r, w: w, network: network}
}

// Enter makes the request one in progress, and takes from the budget what its headers hold
// already, or returns [ErrBusy] if there are too many. It does so once.
func (b *Body) Enter() error {
	if b.inside {
		return nil
	}
	if !b.gate.requests.wait(claim{n: 1, network: b.network}, b.gate.patience(), b.gate.watchdog.press) {
		return fmt.Errorf("%w: too many requests in progress", ErrBusy)
	}
	b.inside = true
	if b.Headers > 0 {
		return b.Hold(b.Headers)
	}
	return nil
}

// Hold takes n bytes from the budget.
func (b *Body) Hold(n int64) error { return b.reserve(n, making) }

// HoldMore takes n bytes from the budget for what is made of the body, in which there are
// several steps. Those who hold the room for one and wait for that of the next could all
// wait for each other: so with much only as many are at it as there is room for all of
// it, each until HoldNoMore.
func (b *Body) HoldMore(n int64) error {
	if !b.makes && b.held+n > secondChunk {
		if !b.gate.making.wait(claim{n: 1, network: b.network}, b.gate.patience(), b.gate.watchdog.press) {
			return ErrBusy
		}
		b.makes = true
	}
	return b.Hold(n)
}

// HoldNoMore says that all is made.
func (b *Body) HoldNoMore() {
	if b.makes {
		b.makes = false
		b.gate.making.release(b.network, 1, 0)
	}
}

// reserve takes n more bytes for that. Little is a small claim, whatever it is for.
func (b *Body) reserve(n int64, k kind) error {
	c := claim{n: n, network: b.network, kind: k}
	if b.held+n <= firstChunk {
		c.kind = small
	}
	if b.held+n > b.gate.limits.Share {
		return fmt.Errorf("%w: %d bytes", ErrTooHeavy, b.held+n)
	}
	if c.kind != small && b.small > 0 {
		b.gate.bytes.outgrow(b.small)
		b.small = 0
	}
	if !b.gate.bytes.try(c) && !b.wait(c) {
		return ErrBusy
	}
	b.held += n
	if c.kind == small {
		b.small += n
	}
	return nil
}

func (b *Body) wait(c claim) bool {
	if b.read != nil {
		b.gate.watchdog.pause(b.read)
		defer b.gate.watchdog.resume(b.read)
	}
	return b.gate.bytes.wait(c, b.gate.patience(), b.gate.watchdog.press)
}

func (g *Gate) patience() time.Duration { return min(patience, g.limits.Timeout) }

func (b *Body) release(n int64) {
	small := min(n, b.small)
	b.gate.bytes.release(b.network, n, small)
	b.held -= n
	b.small -= small
}

// Release gives everything back. It may be called more than once.
func (b *Body) Release() {
	b.HoldNoMore()
	if b.held > 0 {
		b.release(b.held)
	}
	if b.inside {
		b.inside = false
		b.gate.requests.release(b.network, 1, 0)
	}
}

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
	b.read = b.gate.watchdog.enter(b.w, b.network)
	defer func() {
		late, deadline := b.gate.watchdog.leave(b.read)
		b.read = nil
		switch {
		case !late:
		case !deadline:
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

	size := min(waitingRoom, limit) + probe
	if 0 < length && length <= 2*waitingRoom {
		size = min(length, limit) + probe
	}
	b.Bytes = make([]byte, 0, size)
	claimed := false
	for idle := 0; ; {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(); err != nil {
				return err
			}
			b.read.room.Store(b.held)
		}
		n, err := b.r.Body.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if idle++; n > 0 {
			idle = 0
			b.read.got.Store(int64(len(b.Bytes)))
			if !claimed {
				claimed = true
				if err := b.reserve(size-probe, beginning); err != nil {
					return err
				}
			}
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
	size, k := 2*have, finishing
	switch {
	case have < firstChunk:
		size, k = firstChunk, beginning
	case have < secondChunk:
		size, k = secondChunk, beginning
	case b.r.ContentLength >= have:
		size = b.r.ContentLength
	}
	if length := b.r.ContentLength; length >= have {
		size = min(size, length)
	}
	size = min(size, b.gate.limits.MaxBody) + probe
	if err := b.reserve(size-have, k); err != nil {
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
	return fmt.Errorf("%w: %d bytes came; it has %v for all", ErrTooSlow, len(b.Bytes), b.gate.limits.Timeout)
}
