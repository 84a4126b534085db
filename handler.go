package beacon

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/pagebeacon/beacon/internal/clientip"
	"github.com/pagebeacon/beacon/internal/drain"
	"github.com/pagebeacon/beacon/internal/intake"
	"github.com/pagebeacon/beacon/internal/pagetoken"
	"github.com/pagebeacon/beacon/internal/sinkctx"
	"github.com/pagebeacon/beacon/internal/wire"
)

// A Handler receives beacons over HTTP. It is safe for concurrent use, and runs no
// goroutine while there is nothing to read. Make one with [New]; the zero value is
// not usable.
//
// Mount it without a method, as in mux.Handle("/path", h): a pattern with one
// makes the mux answer preflights with 405.
type Handler struct {
	cfg      Config
	gate     *intake.Gate
	cors     cors
	tokens   tokens
	answers  answers
	requests *drain.Counter
	stats    stats
	unshared sync.Once // it was said that requests share the whole budget
}

// New returns a Handler for c, or all mistakes in c, joined.
func New(c Config) (*Handler, error) {
	cfg, cors, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("beacon: invalid config: %w", err)
	}
	return &Handler{
		cfg: cfg,
		gate: intake.New(intake.Limits{
			MaxBody: cfg.MaxBody, Budget: cfg.MaxInFlight, Share: cfg.share(), Making: cfg.making(), Requests: cfg.MaxRequests, Timeout: cfg.ReadTimeout,
			NoDeadline: sync.OnceFunc(func() {
				cfg.Logger.Warn("beacon: ReadTimeout cannot end the reading of a body: the ResponseWriter of a middleware " +
					"has neither SetReadDeadline nor Unwrap")
			}),
		}),
		cors:     cors,
		tokens:   tokens{keys: pagetoken.New(cfg.TokenKeys), required: cfg.RequireToken},
		answers:  answers{taken: cfg.Answer, onRefused: cfg.OnRefused, allow: cors.allow, logger: cfg.Logger},
		requests: drain.New(),
		stats:    newStats(),
	}, nil
}

// ServeHTTP takes one request to its answer:
//
//	taken, or dropped on purpose    204, or 200 and a 43-byte GIF for an image
//	preflight                       204
//	malformed                       400
//	origin, host or token           403
//	method                          405 and Allow
//	body too slow, too large        408, 413
//	too busy                        429 and Retry-After
//	sink refused for good           422
//	panic, body read by others      500
//	sink failed, shutting down      503 and Retry-After
//
// [Config.Answer] may answer what was taken in another way. It never redirects, since
// browsers turn a redirected POST into an empty GET, and never answers 415. The reason
// of a refusal is in the Beacon-Refused header and the text of the answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var a arrival
	h.enter(&a, w, r)
	defer h.leave(&a)
	if h.receive(w, r, &a) {
		h.answers.answer(w, r, a.own)
	}
}

// An arrival is a request on its way from the wire to the sink.
type arrival struct {
	source
	body    intake.Body
	client  netip.Addr
	late    bool // it came after Shutdown was called
	counted bool // in the statistics
	unread  bool // taken, or rather dropped, without its body
	own     bool // an envelope of the client's, which takes nothing but 204 for a yes
	events  []Event
}

// enter is the beginning of a request, and leave its end, whatever became of it.
func (h *Handler) enter(a *arrival, w http.ResponseWriter, r *http.Request) {
	a.late = h.requests.Enter()
	h.look(a, r)
	a.body = h.gate.Body(w, r, h.network(r, a.client))
	a.body.Headers = a.headers.Uncommon()
	a.crossOrigin = isCrossOrigin(r, &a.headers)
}

// look reads what the request says of itself: when it arrives, and after the hook that may
// have changed it.
func (h *Handler) look(a *arrival, r *http.Request) {
	a.client = clientip.Of(r, h.cfg.TrustedProxies)
	a.headers = intake.ReadHeaders(r)
}

func (h *Handler) leave(a *arrival) {
	a.body.Release()
	if !a.counted { // the goroutine was ended
		h.stats.failed.Add(1)
	}
	h.requests.Leave(a.late)
}

// receive takes a request to the sink. If it is false the request has been answered: it
// was refused, or it was a preflight. Otherwise the caller answers it.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, a *arrival) (taken bool) {
	if r.Method != http.MethodPost || a.crossOrigin {
		header := w.Header()
		values := []string{"Origin", "no-store"} // one allocation for both
		header["Vary"] = append(values[:1:1], header["Vary"]...)
		header["Cache-Control"] = values[1:]
	} // else no cache keeps the answer (RFC 9110 §9.3.3), and net/http copies the headers of whom asks for them

	if r.Method == http.MethodOptions {
		if err := h.cors.preflight(w, r, &a.source); err != nil {
			h.refuse(w, r, a, err)
			return false
		}
		h.stats.preflights.Add(1)
		a.counted = true
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	if err := h.take(w, r, a); err != nil {
		h.refuse(w, r, a, err)
		return false
	}
	a.counted = true
	return true
}

// refuse counts and answers a request that was not taken.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, a *arrival, err error) {
	why, ok := errors.AsType[*RequestError](err)
	if !ok {
		why = refusal(ReasonPanic, err)
	}
	h.stats.refuse(why.Status, why.Reason)
	a.counted = true
	h.answers.refuse(w, r, &a.body, why)
}

// Stats returns the counts since [New].
func (h *Handler) Stats() Stats {
	s := h.stats.now(h.requests.Active())
	s.InFlight, s.MaxInFlight = h.gate.Held(), h.cfg.MaxInFlight
	return s
}

// take runs the steps in order; the first error ends it. A panic of the host's
// code is one: one bad event must not take the host down, and net/http would
// close the connection, on which browsers send the beacon again.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, a *arrival) (err error) {
	defer recoverTo(&err)
	if err := h.cors.check(w, r, &a.source); err != nil {
		return err
	}
	if a.late {
		return shuttingDown()
	}
	if !h.cors.accepts(r.Method) {
		return methodError(r.Method)
	}
	if err := a.body.Enter(); err != nil {
		return bodyRefusal(err)
	}
	if h.cfg.Admit != nil {
		if err := h.cfg.Admit(r); errors.Is(err, ErrDrop) {
			h.stats.dropped.Add(1)
			if a.unread = true; !a.capture {
				a.body.LimitRest(nil)
			}
			return nil
		} else if err != nil {
			return sinkRefusal(err)
		}
		h.look(a, r)
	}
	if err := a.body.Read(h.cfg.OnRefused != nil); err != nil {
		return bodyRefusal(err)
	}
	if n := len(a.body.Bytes); n > 0 {
		h.stats.bodies.Size(n)
	}
	events, err := h.decode(r, a)
	if err != nil {
		return err
	}
	now := time.Now()
	h.stamp(events, a.client, now)
	if h.cfg.Enrich != nil {
		if events, err = h.enrich(events, r); err != nil {
			return err
		}
		now = time.Now() // the Sink's time begins
	}
	if len(events) == 0 {
		h.stats.dropped.Add(1)
		return nil
	}
	if a.capture { // the sink owns those it gets
		if err := a.body.Hold(int64(len(events)) * int64(unsafe.Sizeof(events[0]))); err != nil {
			return bodyRefusal(err)
		}
		a.events = slices.Clone(events)
		for i := range a.events {
			a.events[i].Attrs = maps.Clone(events[i].Attrs)
		}
		now = time.Now() // there may have been a wait for that
	}
	if err := h.deliver(r, events, now); err != nil {
		return err
	}
	h.stats.delivered.Add(1)
	h.stats.events.Add(uint64(len(events)))
	return nil
}

// decode decodes the body that was read. The memory that this takes is reserved before.
func (h *Handler) decode(r *http.Request, a *arrival) ([]Event, error) {
	body := &a.body
	lim := bounds{Limits: h.cfg.Limits, free: unclaimed, hold: func(n int64) error {
		if err := body.HoldMore(n); err != nil {
			return bodyRefusal(err)
		}
		return nil
	}}
	defer body.HoldNoMore()
	own := intake.Own(r)
	if own != r {
		a.headers = intake.ReadHeaders(own)
	}
	one := make([]Event, 1)
	e := &one[0]
	if err := describe(e, own, &a.headers, &lim); err != nil {
		return nil, err
	}
	token := h.tokens.cut(e)
	contentType := e.Request.ContentType
	if h.cfg.Type != nil {
		contentType = cmp.Or(h.cfg.Type(r), contentType)
	}
	c, err := unpack(e, wire.ParseMediaType(contentType), body.Bytes, &lim)
	if err != nil {
		return nil, err
	}
	if err := h.tokens.verify(e, token, c.body); err != nil {
		return nil, err
	}
	a.own = wire.MaybeEnvelope(c.body)
	return decode(one, &a.headers, c, &lim)
}

// stamp sets what decoding cannot know: identity, time and address.
func (h *Handler) stamp(events []Event, client netip.Addr, now time.Time) {
	now = now.Round(0).UTC() // the monotonic reading would not survive storage
	identify(events, wire.NewUUID(now))
	ip := h.clientIP(client)
	for i := range events {
		e := &events[i]
		e.Request.ClientIP = ip
		e.Received = now
		e.Time = serverTime(e, now, h.cfg.Limits.MaxAge)
	}
}

// network is whose share of the budget a request uses: that of the largest network that
// its client may have to itself, since eight shares are all there is, or nobody's where all
// clients could be behind one address.
func (h *Handler) network(r *http.Request, client netip.Addr) netip.Prefix {
	key, ok := clientip.Own(client, h.cfg.TrustedProxies)
	if !ok {
		h.noShare(r)
		return netip.Prefix{}
	}
	return clientip.Wide(key)
}

// noShare says once that no client can be kept from using up the whole budget. A visitor
// on the same machine, as during development, is no reason to.
func (h *Handler) noShare(r *http.Request) {
	if clientip.OnThisMachine(r) {
		return
	}
	h.unshared.Do(func() {
		h.cfg.Logger.Warn("beacon: requests come from an address that all clients could be behind; name the reverse proxy in "+
			"TrustedProxies and let it send X-Forwarded-For, so that no client can use up the memory for all", "peer", wire.Printable(cut(r.RemoteAddr))) // a middleware may have set it to what a client said
	})
}

// clientIP is the client's address as far as events may hold it.
func (h *Handler) clientIP(addr netip.Addr) netip.Addr {
	switch {
	case h.cfg.ClientIP == IPNone:
		return netip.Addr{}
	case h.cfg.ClientIP == IPTruncated && addr.IsValid():
		return clientip.Network(addr)
	}
	return addr
}

// serverTime works out when an event happened, on the server's clock.
func serverTime(e *Event, now time.Time, maxAge time.Duration) time.Time {
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

// enrich runs the host's hook over the events and leaves out those it drops.
func (h *Handler) enrich(events []Event, r *http.Request) ([]Event, error) {
	kept := events[:0]
	for i := range events {
		switch err := h.cfg.Enrich(r, &events[i]); {
		case err == nil:
			kept = append(kept, events[i])
		case !errors.Is(err, ErrDrop):
			return nil, sinkRefusal(err)
		}
	}
	return kept, nil
}

// deliver hands the events to the sink, now.
func (h *Handler) deliver(r *http.Request, events []Event, now time.Time) error {
	ctx := sinkctx.New(r.Context(), now.Add(h.cfg.SinkTimeout))
	defer ctx.End()
	defer h.stats.sink.Since(now) // also of a call that panics
	if err := h.cfg.Sink.Consume(ctx, events); err != nil {
		return sinkRefusal(err)
	}
	return nil
}
