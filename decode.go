package beacon

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Limits bound what one request may hold. A field that is not positive is its
// default. A request beyond one of them is refused with 413.
type Limits struct {
	MaxDecoded int64 // bytes of a body after decompression; default [DefaultMaxDecoded]
	MaxRatio   int   // decompressed to compressed size, beyond 64 KiB; default [DefaultMaxRatio]
	MaxFields  int   // fields of a form, parts of a multipart body, pairs of a query; default [DefaultMaxFields]
	MaxDepth   int   // nesting of a JSON text, at most 9,000; default [DefaultMaxDepth]
	MaxEvents  int   // events in one request; default [DefaultMaxEvents]
}

// Defaults of [Limits]. Browsers cap a beacon at 64 KiB or not at all.
const (
	DefaultMaxDecoded = 4 << 20
	DefaultMaxRatio   = 100
	DefaultMaxFields  = 1000
	DefaultMaxDepth   = 64
	DefaultMaxEvents  = 1000
)

// deepest is what [Limits.MaxDepth] can be at most: encoding/json stops at 10,000,
// and the JSON form of an event puts a few levels around a body.
const deepest = 9000

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxDecoded: orDefault(l.MaxDecoded, DefaultMaxDecoded),
		MaxRatio:   orDefault(l.MaxRatio, DefaultMaxRatio),
		MaxFields:  orDefault(l.MaxFields, DefaultMaxFields),
		MaxDepth:   min(orDefault(l.MaxDepth, DefaultMaxDepth), deepest),
		MaxEvents:  orDefault(l.MaxEvents, DefaultMaxEvents),
	}
}

func orDefault[T int | int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Decode returns the events in a request whose body has already been read. It
// is the pure step of the [Handler], for hosts that read requests elsewhere: it
// checks no origin and no method, and leaves Received and Request.ClientIP to the
// caller, and ID too where the client gave none; Time is the client's, on its own
// clock, or zero. r needs no more than its Header, and r.Body is not touched.
//
// Decode takes ownership of body: the events share its memory, so it must not be
// changed afterwards.
//
// The error is a [*RequestError]: a body that breaks its own framing (400) or a
// limit (413). Anything else decodes, if need be to [Binary] or [Text] with a
// note in [Event.Errors]. There is always at least one event.
func Decode(r *http.Request, body []byte, limits Limits) ([]Event, error) {
	lim := limits.withDefaults()
	var e Event
	if err := describe(&e, r, &lim); err != nil {
		return nil, err
	}
	c, err := unpack(&e, body, &lim)
	if err != nil {
		return nil, err
	}
	return decode(&e, r.Header, c, &lim)
}

// describe fills in what the request says about itself, which all of its events
// have in common.
func describe(e *Event, r *http.Request, lim *Limits) (err error) {
	h := r.Header
	e.Request = Request{
		Method:      r.Method,
		Host:        r.Host,
		ContentType: first(h["Content-Type"]),
		Encoding:    first(h["Content-Encoding"]),
		Origin:      first(h["Origin"]),
		UserAgent:   first(h["User-Agent"]),
		FetchSite:   first(h["Sec-Fetch-Site"]),
		FetchMode:   first(h["Sec-Fetch-Mode"]),
		FetchDest:   first(h["Sec-Fetch-Dest"]),
		Purpose:     first(h["Sec-Purpose"], h["Purpose"], h["X-Moz"]),
		TLS:         r.TLS != nil,
	}
	// GPC §3: one header with exactly this value counts, among whatever others.
	e.Privacy.GPC = slices.Contains(h["Sec-Gpc"], "1")
	e.Privacy.DNT = slices.Contains(h["Dnt"], "1")
	e.Page = first(h["Referer"])
	e.Body = Empty{}
	if r.URL != nil {
		e.Request.Path = r.URL.Path
		if r.URL.RawQuery != "" {
			e.Query, err = parseURLEncoded(r.URL.RawQuery, lim.MaxFields)
			e.setIdentity()
		}
	}
	e.boundHeaders()
	return err
}

// maxHeader bounds what a header may contribute to an event. Browsers stay far
// below; a server that leaves MaxHeaderBytes alone reads a megabyte.
const maxHeader = 8 << 10

// boundHeaders cuts what is longer, and says so.
func (e *Event) boundHeaders() {
	q := &e.Request
	for _, s := range [...]*string{
		&e.Page, &q.Host, &q.Path, &q.Method, &q.ContentType, &q.Encoding, &q.Origin, &q.UserAgent,
		&q.FetchSite, &q.FetchMode, &q.FetchDest, &q.Purpose,
	} {
		if len(*s) > maxHeader {
			e.Errors = append(e.Errors, fieldError("header", *s, "cut to 8 KiB"))
			*s = strings.Clone((*s)[:maxHeader])
		}
	}
	// Events of one request begin as copies, and each adds its own to the list.
	e.Errors = slices.Clip(e.Errors)
}

// first returns the first value of the first header that has one. Headers are
// read straight from the map: their names are canonical already.
func first(headers ...[]string) string {
	for _, vs := range headers {
		if len(vs) > 0 {
			return vs[0]
		}
	}
	return ""
}

// A content is a body without its content coding, and how it is to be read.
type content struct {
	body     []byte
	kind     bodyKind
	boundary string
}

// unpack undoes the content coding of body.
func unpack(e *Event, body []byte, lim *Limits) (c content, err error) {
	mt := parseMediaType(e.Request.ContentType)
	c = content{body: body, kind: kindOf(mt.essence), boundary: mt.boundary}
	if len(body) == 0 {
		return c, nil
	}
	c.body, e.Request.Encoding, err = inflate(body, e.Request.Encoding, c.kind.maybeCompressed(), lim)
	switch e.Request.Encoding {
	case "":
	case "gzip", "deflate":
		if c.kind == kindCompressed {
			c.kind = kindNone // its type was the coding's; what is inside has none
		}
	default:
		c.kind = kindBinary // a coding we do not know: the host may
	}
	return c, err
}

// decode reads a body, into e or copies of it.
func decode(e *Event, h http.Header, c content, lim *Limits) ([]Event, error) {
	body := c.body
	switch c.kind {
	case kindForm, kindMultipart:
		form, err := parseForm(c, lim)
		if err != nil {
			return nil, err
		}
		e.Body = form
		return []Event{*e}, nil
	case kindPing:
		if to := h["Ping-To"]; len(to) > 0 {
			setPing(e, to[0], first(h["Ping-From"]))
			return []Event{*e}, nil
		}
	}
	if len(body) == 0 {
		return []Event{*e}, nil
	}
	if c.kind.isJSON() {
		// Not part of the text (RFC 8259 §8.1), but some editors write it.
		body = bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))
	}
	switch c.kind {
	case kindPlain:
		e.Body = sniffJSON(body, Text(text(body)), lim)
	case kindText, kindPing:
		e.Body = Text(text(body))
	case kindNone:
		e.Body = sniffJSON(body, Binary{Data: body}, lim)
	case kindJSON:
		if err := setJSON(e, body, lim); err != nil {
			return nil, err
		}
	case kindNDJSON:
		return decodeLines(e, body, lim)
	case kindReports:
		return decodeReports(e, body, lim)
	case kindCSP:
		return decodeCSP(e, body, lim)
	default:
		e.Body = Binary{Type: e.Request.ContentType, Data: body}
	}
	if _, ok := e.Body.(JSON); ok && isEnvelope(body) {
		return decodeEnvelope(e, body, lim)
	}
	return []Event{*e}, nil
}

func parseForm(c content, lim *Limits) (Form, error) {
	if c.kind == kindMultipart {
		return parseMultipart(c.body, c.boundary, lim.MaxFields)
	}
	return parseURLEncoded(text(c.body), lim.MaxFields)
}

// sniffJSON returns body as JSON if it is a JSON object or array, or else as
// what it would be otherwise.
func sniffJSON(body []byte, otherwise Body, lim *Limits) Body {
	if looksLikeJSON(body) && checkJSON(body, lim.MaxDepth) == jsonValid {
		return JSON(body)
	}
	return otherwise
}

// setJSON makes b the event's body: JSON, or Binary with a note if it is not.
func setJSON(e *Event, b []byte, lim *Limits) error {
	switch checkJSON(b, lim.MaxDepth) {
	case jsonValid:
		e.Body = JSON(b)
	case jsonTooDeep:
		return tooLarge(ReasonTooDeep, "JSON nests deeper than %d", lim.MaxDepth)
	default:
		e.Body = Binary{Type: e.Request.ContentType, Data: b}
		e.Errors = append(e.Errors, fieldError("body", text(b), "not valid JSON"))
	}
	return nil
}

// decodeLines reads newline-delimited JSON: an event per line that is not blank.
func decodeLines(e *Event, body []byte, lim *Limits) ([]Event, error) {
	var events []Event
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(events) == lim.MaxEvents {
			return nil, tooLarge(ReasonTooManyEvents, "more than %d lines", lim.MaxEvents)
		}
		next := *e
		if err := setJSON(&next, line[:len(line):len(line)], lim); err != nil {
			return nil, err
		}
		next.number(len(events))
		events = append(events, next)
	}
	if events == nil {
		return []Event{*e}, nil
	}
	return events, nil
}

// number tells the events of one request apart where the query identifies it.
func (e *Event) number(i int) {
	if e.ID != "" {
		e.ID += "." + strconv.Itoa(i)
	}
}

func setPing(e *Event, to, from string) {
	if len(to) > maxHeader || len(from) > maxHeader {
		e.Errors = append(e.Errors, fieldError("header", to, "cut to 8 KiB"))
		to, from = to[:min(len(to), maxHeader)], from[:min(len(from), maxHeader)]
	}
	e.Name = "ping"
	e.Body = Ping{From: from, To: to}
	if from != "" {
		e.Page, _, _ = strings.Cut(from, "#")
	}
}
