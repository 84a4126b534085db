package beacon

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/pagebeacon/beacon/internal/intake"
	"github.com/pagebeacon/beacon/internal/lograte"
	"github.com/pagebeacon/beacon/internal/wire"
)

// answers is how requests are answered, and who else hears of them.
type answers struct {
	taken     func(http.ResponseWriter, *http.Request)   // [Config.Answer], or nil
	onRefused func(*http.Request, []byte, *RequestError) // [Config.OnRefused], or nil
	allow     string                                     // the value of Allow
	logger    *slog.Logger
	logs      lograte.Limiter
}

// refuse logs, reports and answers a request that was not taken. It is the only place
// that turns an error into an answer.
func (a *answers) refuse(w http.ResponseWriter, r *http.Request, body *intake.Body, why *RequestError) {
	a.log(r.Context(), "beacon not taken", why)
	if a.onRefused != nil {
		a.guard("OnRefused", func() {
			noRoom := why.Reason == ReasonTooBusy || why.Reason == ReasonTooHeavy
			unread := body.Bytes == nil && !noRoom && why.Reason != ReasonLimited && why.Reason != ReasonBodyRead
			if unread && (body.Enter() != nil || body.Read(true) != nil) || noRoom && !body.Complete {
				a.onRefused(r, nil, why) // half of it would pass for all
			} else {
				a.onRefused(r, body.Bytes, why)
			}
		})
	}
	body.LimitRest(why.Err)

	header := w.Header()
	reason := wire.Printable(why.Reason) // a host's own may hold what a client sent
	if why.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", a.allow)
	}
	if why.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(why.RetryAfter.Seconds()))))
	}
	setHeaders(header, "Beacon-Refused", reason, "Content-Type", "text/plain; charset=utf-8", "X-Content-Type-Options", "nosniff")
	w.WriteHeader(why.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, "beacon refused: "+reason+"\n") // nobody is left to tell
	}
}

// setHeaders sets headers, each by its canonical name and its value; the lists of values
// that they are to net/http take one allocation.
func setHeaders(h http.Header, pairs ...string) {
	values := make([]string, len(pairs)/2)
	for i := range values {
		values[i] = pairs[2*i+1]
		h[pairs[2*i]] = values[i : i+1 : i+1]
	}
}

// log writes what an operator should know, at most once a second for each reason.
func (a *answers) log(ctx context.Context, msg string, why *RequestError) {
	level := slog.LevelWarn
	if why.Status >= 500 {
		level = slog.LevelError
	}
	if suppressed, ok := a.logs.Allow(why.Reason); ok {
		a.logger.LogAttrs(ctx, level, msg, slog.String("reason", wire.Printable(why.Reason)), slog.Int("status", why.Status),
			slog.Any("error", printable(why.Err)), slog.Int("suppressed", suppressed))
	}
}

// printable returns err with a text that is safe to print: that of a store, or of a
// panic, may quote what a client sent.
func printable(err error) error {
	if err == nil {
		return nil
	}
	return printableError{err}
}

type printableError struct{ error }

func (e printableError) Error() string { return wire.Printable(e.error.Error()) }
func (e printableError) Unwrap() error { return e.error }

// guard calls a hook of the host's that cannot change what happens, not even by a
// panic.
func (a *answers) guard(name string, hook func()) {
	var err error
	defer func() {
		if err != nil {
			a.logger.Error("beacon: "+name, slog.Any("error", printable(err)))
		}
	}()
	defer recoverTo(&err)
	hook()
}

// gif is a transparent image of one pixel.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// answer tells the browser that its beacon was taken. An envelope gets a plain 204: that
// of another status may be a service worker's, for a server that is away.
func (a *answers) answer(w http.ResponseWriter, r *http.Request, envelope bool) {
	if a.taken != nil && !envelope {
		a.guard("Answer", func() { a.taken(w, r) })
		return
	}
	if !wantsImage(r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	setHeaders(w.Header(),
		// Without it a page with Cross-Origin-Embedder-Policy gets an error event.
		"Cross-Origin-Resource-Policy", "cross-origin",
		"Content-Type", "image/gif",
		"Content-Length", strconv.Itoa(len(gif)),
		"X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, gif) // nobody is left to tell
	}
}

// wantsImage says whether a GET is that of an <img>, which fires an error event
// on a 204. Sec-Fetch-Dest alone does not tell: an image made while the page goes
// away arrives with "empty". But it is no-cors, and a fetch by default is not.
func wantsImage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch wire.First(r.Header["Sec-Fetch-Mode"]) {
	case "no-cors":
		return true
	case "cors":
		return wire.First(r.Header["Sec-Fetch-Dest"]) == "image" // crossorigin
	case "":
		return r.Header["Origin"] == nil || strings.Contains(wire.First(r.Header["Accept"]), "image/")
	}
	return false
}
