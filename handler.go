package beacon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A Handler receives beacons over HTTP. It is safe for concurrent use, and it
// starts no goroutine. Make one with [New]; the zero value is not usable.
//
// Mount it without a method, as in mux.Handle("/path", h): a pattern with one
// makes the mux answer preflights with 405.
type Handler struct {
	cfg     Config
	origins origins
	allow   string // the value of Allow
	budget  budget

	watchdog *watchdog
	stats    stats
	shutdown shutdown
}

// New returns a Handler for c, or all mistakes in c, joined.
func New(c Config) (*Handler, error) {
	cfg, err := c.withDefaults()
	allowed, originErr := parseOrigins(cfg.Origins)
	if originErr != nil {
		err = errors.Join(err, fmt.Errorf("beacon: invalid config: %w", originErr))
	}
	if err != nil {
		return nil, err
	}
	h := &Handler{cfg: cfg, origins: allowed, allow: strings.Join(cfg.Methods, ", ") + ", OPTIONS"}
	h.budget.free = cfg.MaxInFlight
	h.watchdog = newWatchdog(cfg.ReadTimeout)
	h.shutdown.idle = make(chan struct{}, 1)
	h.stats.refused = map[string]uint64{}
	h.stats.logged = map[string]logState{}
	return h, nil
}

// ServeHTTP takes one request to its answer:
//
//	taken, or dropped on purpose    204, or 200 and a 43-byte GIF for an image
//	preflight                       204
//	malformed                       400
//	origin not allowed              403
//	method                          405 and Allow
//	body too slow, too large        408, 413
//	too busy                        429 and Retry-After
//	sink refused for good           422
//	panic                           500
//	sink failed, shutting down      503 and Retry-After
//
// It never redirects, since browsers turn a redirected POST into an empty GET,
// and never answers 415. The reason of a refusal is in the Beacon-Refused header
// and the text of the answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if in, ok := h.receive(w, r, false); ok {
		in.body.release()
		answer(w, r)
	}
}

// An intake is a request on its way from the wire to the sink.
type intake struct {
	body        bodyReader
	crossOrigin bool
	events      []Event
}

// receive takes a request to the sink; keep asks for a copy of the events, since
// the sink owns those it gets. If ok is false it has been answered:
// it was refused, or it was a preflight. Otherwise the caller answers it and
// releases in.body.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, keep bool) (in intake, ok bool) {
	h.stats.active.Add(1)
	defer h.leave()

	header := w.Header()
	in.crossOrigin = isCrossOrigin(r)
	if r.Method != http.MethodPost || in.crossOrigin {
		values := []string{"Origin", "no-store"} // one allocation for both
		header["Vary"] = append(values[:1:1], header["Vary"]...)
		header["Cache-Control"] = values[1:]
	} // else no cache keeps the answer (RFC 9110 §9.3.3), and net/http is faster without headers
	in.body = bodyReader{h: h, r: r, w: w}

	if r.Method == http.MethodOptions {
		if err := h.preflight(header, r, in.crossOrigin); err != nil {
			h.refuse(w, &in.body, err)
			return in, false
		}
		h.stats.preflights.Add(1)
		w.WriteHeader(http.StatusNoContent)
		return in, false
	}
	if err := h.take(&in, keep); err != nil {
		h.refuse(w, &in.body, err)
		return in, false
	}
	return in, true
}

// take runs the steps in order; the first error ends it. A panic of the host's
// code is one: one bad event must not take the host down, and net/http would
// close the connection, on which browsers send the beacon again.
func (h *Handler) take(in *intake, keep bool) (err error) {
	defer recoverTo(&err)
	r := in.body.r
	if err := h.admit(in.body.w.Header(), r, in.crossOrigin); err != nil {
		return err
	}
	if h.shutdown.begun.Load() {
		return errShuttingDown
	}
	if !h.accepts(r.Method) {
		return methodError(r.Method)
	}
	if err := in.body.read(); err != nil {
		return err
	}
	events, err := h.decode(&in.body)
	if err != nil {
		return err
	}
	now := time.Now()
	h.stamp(events, r, now)
	if events, err = h.enrich(events, r); err != nil {
		return err
	}
	if len(events) == 0 {
		h.stats.dropped.Add(1)
		return nil
	}
	if keep {
		in.events = slices.Clone(events)
		for i := range in.events {
			in.events[i].Attrs = maps.Clone(events[i].Attrs)
		}
	}
	if err := h.deliver(r, events, now); err != nil {
		return err
	}
	h.stats.delivered.Add(1)
	h.stats.events.Add(uint64(len(events)))
	return nil
}

func (h *Handler) accepts(method string) bool { return slices.Contains(h.cfg.Methods, method) }

// decode decodes the body that was read. What inflating it may take is reserved
// before, and what it did not take given back.
func (h *Handler) decode(b *bodyReader) ([]Event, error) {
	lim := &h.cfg.Limits
	var e Event
	if err := describe(&e, b.r, lim); err != nil {
		return nil, err
	}
	var reserved int64
	if e.Request.Encoding != "" || isGzip(b.buf) || isZlib(b.buf) {
		reserved = inflatedCap(len(b.buf), lim)
		if err := b.reserve(reserved); err != nil {
			return nil, err
		}
	}
	c, err := unpack(&e, b.buf, lim)
	if err != nil {
		return nil, err
	}
	if reserved > 0 {
		b.giveBack(reserved - int64(len(c.body)))
	}
	return decode(&e, b.r.Header, c, lim)
}

// stamp sets what decoding cannot know: identity, time and address.
func (h *Handler) stamp(events []Event, r *http.Request, now time.Time) {
	now = now.Round(0).UTC() // the monotonic reading would not survive storage
	ip := h.clientIP(r)
	for i := range events {
		e := &events[i]
		e.Request.ClientIP = ip
		e.Received = now
		e.Time = serverTime(e, now)
		if e.ID == "" {
			e.ID = newID(now)
		}
	}
}

// serverTime works out when an event happened, on the server's clock.
func serverTime(e *Event, now time.Time) time.Time {
	var age time.Duration
	if rep, ok := e.Body.(Report); ok {
		age = rep.Age
	} else if !e.Time.IsZero() && !e.Sent.IsZero() {
		age = e.Sent.Sub(e.Time) // both on the client's clock, so it cancels out
	} else if !e.Time.IsZero() {
		age = now.Sub(e.Time) // all there is: the client's clock, if not in the future
	}
	return now.Add(-min(max(age, 0), maxAge))
}

// newID returns a random UUIDv7 (RFC 9562 §5.7): unique without coordination,
// ordered by time so that databases index it well, and not a secret.
func newID(now time.Time) string {
	var u [16]byte
	ms := now.UnixMilli()
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	for i := range 8 {
		u[8+i] = byte(lo >> (8 * i))
	}
	u[6], u[7] = byte(hi)&0x0F|0x70, byte(hi>>8)
	u[8] = u[8]&0x3F | 0x80

	const hex = "0123456789abcdef"
	var s [36]byte
	n := 0
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s[n] = '-'
			n++
		}
		s[n], s[n+1] = hex[b>>4], hex[b&15]
		n += 2
	}
	return string(s[:])
}

// enrich runs the host's hook over the events and leaves out those it drops.
func (h *Handler) enrich(events []Event, r *http.Request) ([]Event, error) {
	if h.cfg.Enrich == nil {
		return events, nil
	}
	kept := events[:0]
	for i := range events {
		switch err := h.cfg.Enrich(r, &events[i]); {
		case err == nil:
			kept = append(kept, events[i])
		case !errors.Is(err, ErrDrop):
			return nil, sinkError(err)
		}
	}
	return kept, nil
}

// deliver hands the events to the sink.
func (h *Handler) deliver(r *http.Request, events []Event, now time.Time) error {
	ctx := newSinkContext(r, now.Add(h.cfg.SinkTimeout))
	defer ctx.end(context.Canceled)
	return sinkError(h.cfg.Sink.Consume(ctx, events))
}

// recoverTo turns a panic into an error. It has to be deferred itself.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = &RequestError{
			Status: http.StatusInternalServerError, Reason: ReasonPanic,
			Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
		}
	}
}
