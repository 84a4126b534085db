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
)

// refuse counts, logs, reports and answers a request that was not taken. It is
// the only place that turns an error into an answer.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, a *arrival, err error) {
	why, ok := errors.AsType[*RequestError](err)
	if !ok {
		why = refusal(ReasonPanic, err)
	}
	if why.Status >= 500 {
		h.stats.failed.Add(1)
	} else {
		h.stats.refuse(why.Reason)
	}
	h.log(r.Context(), "beacon not taken", why.Reason, why.Status, why.Err)
	if h.cfg.OnRefused != nil {
		if a.body.Bytes == nil && why.Reason != ReasonTooBusy && why.Reason != ReasonBodyRead {
			_ = a.body.Read(true) // refused before it was read: what can be had of it
		}
		h.guard("OnRefused", func() { h.cfg.OnRefused(r, a.body.Bytes, why) })
	}
	a.body.LimitRest(why.Err)

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
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, "beacon refused: %s\n", why.Reason) // nobody is left to tell
	}
}

// log writes what an operator should know, at most once a second for each reason.
func (h *Handler) log(ctx context.Context, msg, reason string, status int, err error) {
	level := slog.LevelWarn
	if status >= 500 {
		level = slog.LevelError
	}
	if suppressed, ok := h.logs.Allow(reason); ok {
		h.cfg.Logger.LogAttrs(ctx, level, msg, slog.String("reason", reason), slog.Int("status", status),
			slog.Any("error", err), slog.Int("suppressed", suppressed))
	}
}

// noDeadline tells the operator that a time-out is none.
func (h *Handler) noDeadline() {
	h.noted.Do(func() {
		h.cfg.Logger.Warn("beacon: ReadTimeout cannot end the reading of a body: the ResponseWriter of a middleware "+
			"has neither SetReadDeadline nor Unwrap", slog.Any("error", http.ErrNotSupported))
	})
}

// guard calls a hook of the host's that cannot change what happens, not even by a
// panic.
func (h *Handler) guard(name string, hook func()) {
	var err error
	defer func() {
		if err != nil {
			h.cfg.Logger.Error("beacon: "+name, slog.Any("error", err))
		}
	}()
	defer recoverTo(&err)
	hook()
}

// gif is a transparent image of one pixel.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// answer tells the browser that its beacon was taken.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Answer != nil {
		h.guard("Answer", func() { h.cfg.Answer(w, r) })
		return
	}
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
