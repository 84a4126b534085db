package beacon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sinkError is the one place that decides what a sink's error does to the answer.
func sinkError(err error) error {
	if err == nil {
		return nil
	}
	if re, ok := errors.AsType[*RequestError](err); ok && re.Status >= 400 {
		return re
	}
	if errors.Is(err, ErrPermanent) {
		return &RequestError{Status: http.StatusUnprocessableEntity, Reason: ReasonSinkRefused, Err: err}
	}
	after := 5 * time.Second
	if ra, ok := errors.AsType[*RetryAfterError](err); ok {
		after = ra.After
	}
	return &RequestError{Status: http.StatusServiceUnavailable, Reason: ReasonSinkFailed, RetryAfter: after, Err: err}
}

// refuse counts, logs, reports and answers a request that was not taken. It is
// the only place that turns an error into an answer.
func (h *Handler) refuse(w http.ResponseWriter, b *bodyReader, err error) {
	defer b.release()
	why, ok := errors.AsType[*RequestError](err)
	if !ok {
		why = &RequestError{Status: http.StatusInternalServerError, Reason: ReasonPanic, Err: err}
	}
	if why.Status >= 500 {
		h.stats.failed.Add(1)
	} else {
		h.stats.refuse(why.Reason)
	}
	h.log(b.r.Context(), "beacon not taken", why.Reason, why.Status, why.Err)
	if h.cfg.OnRefused != nil {
		if b.buf == nil && why.Reason != ReasonTooBusy {
			_ = b.read() // refused before it was read: what can be had of it
		}
		h.onRefused(b, why)
	}
	b.limitRest(why)

	header := w.Header()
	header.Set("Beacon-Refused", why.Reason)
	if why.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", h.allow)
	}
	if why.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(why.RetryAfter.Seconds()))))
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(why.Status)
	if b.r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, "beacon refused: %s\n", why.Reason) // nobody is left to tell
	}
}

// log writes what an operator should know, at most once a second for each reason.
func (h *Handler) log(ctx context.Context, msg, reason string, status int, err error) {
	level := slog.LevelWarn
	if status >= 500 {
		level = slog.LevelError
	}
	if suppressed, ok := h.stats.mayLog(reason); ok {
		h.cfg.Logger.LogAttrs(ctx, level, msg, slog.String("reason", reason), slog.Int("status", status),
			slog.Any("error", err), slog.Int("suppressed", suppressed))
	}
}

func (h *Handler) onRefused(b *bodyReader, why *RequestError) {
	var err error
	defer func() {
		if err != nil {
			h.cfg.Logger.Error("beacon: OnRefused", slog.Any("error", err))
		}
	}()
	defer recoverTo(&err)
	h.cfg.OnRefused(b.r, b.buf, why)
}

// gif is a transparent image of one pixel.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// answer tells the browser that its beacon was taken.
func answer(w http.ResponseWriter, r *http.Request) {
	if !wantsImage(r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	header := w.Header()
	// Without it a page with Cross-Origin-Embedder-Policy gets an error event.
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("Content-Type", "image/gif")
	header.Set("Content-Length", strconv.Itoa(len(gif)))
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(gif)) // nobody is left to tell
	}
}

// wantsImage says whether a GET is that of an <img>, which fires an error event
// on a 204. Sec-Fetch-Dest alone does not tell: an image made while the page goes
// away arrives with "empty". But it is no-cors, and a fetch by default is not.
func wantsImage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch first(r.Header["Sec-Fetch-Mode"]) {
	case "no-cors":
		return true
	case "cors":
		return first(r.Header["Sec-Fetch-Dest"]) == "image" // crossorigin
	case "":
		return r.Header["Origin"] == nil || strings.Contains(first(r.Header["Accept"]), "image/")
	}
	return false
}
