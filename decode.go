package beacon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unsafe"

	"github.com/pagebeacon/beacon/internal/intake"
	"github.com/pagebeacon/beacon/internal/wire"
)

// Decode returns the events in a request whose body has already been read. It
// is the pure step of the [Handler], for hosts that read requests elsewhere: it
// checks no origin and no method, and leaves Received, Request.ID and
// Request.ClientIP to the caller, and ID too where the client gave none; Time is the
// client's, on its own clock, or zero. It knows no token keys, so no event is Verified,
// and a token in the query stays there. r needs no more than its Header, and r.Body is
// not touched. A negative limit is its default, too.
//
// Decode takes ownership of body: the events share its memory, so it must not be
// changed afterwards.
//
// The error is a [*RequestError]: a body that breaks its own framing (400) or a
// limit (413). Anything else decodes, if need be to [Binary] or [Text] with a
// note in [Event.Errors]. There is always at least one event.
func Decode(r *http.Request, body []byte, limits Limits) ([]Event, error) {
	lim := bounds{Limits: limits.withDefaults()}
	one := make([]Event, 1)
	e := &one[0]
	headers := intake.ReadHeaders(r)
	if err := describe(e, r, &headers, &lim); err != nil {
		return nil, err
	}
	c, err := unpack(e, wire.ParseMediaType(e.Request.ContentType), body, &lim)
	if err != nil {
		return nil, err
	}
	return decode(one, &headers, c, &lim)
}

// describe fills in what the request says about itself, which all of its events
// have in common.
func describe(e *Event, r *http.Request, h *intake.Headers, lim *bounds) error {
	e.Request = Request{
		Method:      wire.Method(r.Method),
		Host:        r.Host,
		ContentType: h.ContentType,
		Encoding:    h.ContentEncoding,
		Origin:      h.Origin,
		UserAgent:   h.UserAgent,
		FetchSite:   h.FetchSite,
		FetchMode:   h.FetchMode,
		FetchDest:   h.FetchDest,
		Purpose:     h.Purpose,
		TLS:         r.TLS != nil,
	}
	e.Privacy = Privacy{GPC: h.GPC, DNT: h.DNT}
	e.Page = h.Referer
	e.Body = Empty{}
	if r.URL != nil {
		if err := e.setTarget(r, lim); err != nil {
			return err
		}
	}
	e.setIdentity(h.IdempotencyKey)
	e.boundHeaders()
	e.Errors = slices.Clip(e.Errors)           // events of one request begin as copies, and each adds its own to the list
	return lim.room(e.Size() - e.Query.size()) // that was asked for
}

// setTarget fills in what the request line says. Its parts are one string, as net/http
// reads it.
func (e *Event) setTarget(r *http.Request, lim *bounds) error {
	e.Request.Path = r.URL.Path
	query := r.URL.RawQuery
	if len(query) > lim.MaxQuery {
		return refusal(ReasonQueryTooLarge, fmt.Errorf("%d bytes", len(query)))
	}
	line := max(len(r.RequestURI), len(r.URL.Path)+len(query))
	if line > slack/4 {
		e.Request.Path, e.Request.Host = strings.Clone(r.URL.Path), strings.Clone(r.Host)
	}
	if query == "" {
		return nil
	}
	form, shared, err := parseURLEncoded(query, lim)
	if err != nil {
		return err
	}
	if shared += line - len(query); shared > form.size()+slack/2 {
		form = form.clone()
	}
	e.Query = form
	return nil
}

// boundHeaders cuts what is longer, and says so.
func (e *Event) boundHeaders() {
	q := &e.Request
	if max(len(e.Page), len(q.Host), len(q.Path), len(q.Method), len(q.ContentType), len(q.Encoding), len(q.Origin), len(q.UserAgent),
		len(q.FetchSite), len(q.FetchMode), len(q.FetchDest), len(q.Purpose)) <= maxHeader {
		return
	}
	for _, s := range [...]*string{
		&e.Page, &q.Host, &q.Path, &q.Method, &q.ContentType, &q.Encoding, &q.Origin, &q.UserAgent,
		&q.FetchSite, &q.FetchMode, &q.FetchDest, &q.Purpose,
	} {
		if len(*s) > maxHeader {
			e.note("header", *s, "cut to 8 KiB")
			*s = strings.Clone((*s)[:maxHeader])
		}
	}
}

// A content is a body without its content coding, and how it is to be read.
type content struct {
	body     []byte
	kind     wire.Kind
	boundary string
}

// unpack undoes the content coding of body.
func unpack(e *Event, mt wire.MediaType, body []byte, lim *bounds) (c content, err error) {
	c = content{body: body, kind: mt.Kind, boundary: mt.Boundary}
	if len(body) == 0 {
		return c, nil
	}
	c.body, e.Request.Encoding, err = wire.Inflate(body, e.Request.Encoding, c.kind.MaybeCompressed(), lim.inflate())
	switch {
	case errors.Is(err, wire.ErrTooInflated):
		return c, refusal(ReasonTooInflated, err)
	case isRefusal(err):
		return c, err
	case err != nil:
		return c, refusal(ReasonEncoding, err)
	}
	switch e.Request.Encoding {
	case "":
	case "gzip", "deflate":
		if c.kind == wire.KindCompressed {
			c.kind = wire.KindNoType // its type was the coding's; what is inside has none
		}
	default:
		c.kind = wire.KindBinary // a coding we do not know: the host may
	}
	return c, nil
}

// decode reads a body into the one event that describes its request, or into copies of
// that. An event is large, and is not copied where there is but one: so it lies in the
// slice that it is delivered in from the beginning.
func decode(one []Event, h *intake.Headers, c content, lim *bounds) ([]Event, error) {
	e := &one[0]
	body := c.body[:len(c.body):len(c.body)] // to append to one event's must not reach another's
	buffers := cap(c.body)
	switch {
	case c.kind == wire.KindPing && h.HasPingTo:
		e.setPing(h.PingTo, h.PingFrom)
		return one, nil
	case c.kind == wire.KindForm || c.kind == wire.KindMultipartForm: // if only an empty one
	case len(body) == 0:
		return one, nil
	case c.kind.IsJSON():
		// Not part of the text (RFC 8259 §8.1), but some editors write it.
		body = bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))
	}
	if events, err := decodeEnvelope(one, body, c.kind, buffers, lim); events != nil || err != nil {
		return events, err
	}
	switch c.kind {
	case wire.KindMultipartForm:
		form, err := parseMultipart(body, c.boundary, lim)
		if err != nil {
			return nil, err
		}
		e.Body = form
	case wire.KindForm:
		// Some send JSON as a form. No browser's form starts like it: "{" and "["
		// are escaped there.
		if !e.sniffJSON(body, lim) {
			form, shared, err := parseURLEncoded(wire.Text(body), lim)
			if err != nil {
				return nil, err
			}
			e.Body, buffers = form, buffers+shared
		}
	case wire.KindPlainText:
		if !e.sniffJSON(body, lim) {
			e.Body = Text(wire.Text(body))
		}
	case wire.KindOtherText, wire.KindPing:
		e.Body = Text(wire.Text(body))
	case wire.KindNoType:
		if !e.sniffJSON(body, lim) {
			e.Body = Binary{Data: body}
		}
	case wire.KindOctets, wire.KindCompressed:
		if !e.sniffJSON(body, lim) {
			e.Body = Binary{Type: e.Request.ContentType, Data: body}
		}
	case wire.KindJSON:
		switch status := wire.CheckJSON(body, lim.MaxDepth); {
		case status != wire.JSONValid && wire.IsLines(body, lim.MaxDepth):
			return decodeLines(one, body, buffers, lim)
		case status == wire.JSONTooDeep:
			return nil, refusal(ReasonTooDeep, tooDeep(lim))
		default:
			e.setJSON(body, status, lim)
		}
	case wire.KindNDJSON:
		return decodeLines(one, body, buffers, lim)
	case wire.KindReports:
		return decodeReports(one, body, buffers, lim)
	case wire.KindCSPReport:
		return decodeCSP(one, body, buffers, lim)
	default:
		e.Body = Binary{Type: e.Request.ContentType, Data: body}
	}
	e.unpin(buffers)
	return one, nil
}

func parseMultipart(body []byte, boundary string, lim *bounds) (Form, error) {
	parts, err := wire.Multipart(body, boundary)
	if err != nil {
		return nil, refusal(ReasonMultipart, err)
	}
	// Most forms are small: collecting them on the stack makes the copy that
	// leaves here exact, and the only allocation.
	var few [24]Field
	fields := few[:0]
	for p := (wire.Part{}); ; {
		if err := parts.Next(&p); err == io.EOF {
			return append(make(Form, 0, len(fields)), fields...), nil
		} else if err != nil {
			return nil, refusal(ReasonMultipart, fmt.Errorf("part %d: %w", len(fields)+1, err))
		}
		if len(fields) == lim.MaxFields {
			return nil, refusal(ReasonTooManyFields, fmt.Errorf("more than %d parts", lim.MaxFields))
		}
		if len(fields) == cap(fields) { // it doubles, and is copied when all are there
			if err := lim.room(3 * len(fields) * int(unsafe.Sizeof(fields[0])+unsafe.Sizeof(File{}))); err != nil {
				return nil, err
			}
		}
		f := Field{Name: p.Name}
		if p.IsFile {
			f.File = &File{Name: p.FileName, Type: p.FileType, Data: p.Content}
		} else {
			f.Value = wire.Text(p.Content)
		}
		fields = append(fields, f)
	}
}

// parseURLEncoded reads a form or a query, and says how large the buffers are that
// its strings share.
func parseURLEncoded(src string, lim *bounds) (form Form, shared int, err error) {
	pairs := wire.URLEncoded(src)
	if err := lim.room(pairs.Most(lim.MaxFields)*int(unsafe.Sizeof(form[0])) + len(src)); err != nil {
		return nil, 0, err
	}
	form = make(Form, 0, min(pairs.Room(), lim.MaxFields))
	for name, value, ok := pairs.Next(); ok; name, value, ok = pairs.Next() {
		if len(form) == lim.MaxFields {
			return nil, 0, refusal(ReasonTooManyFields, fmt.Errorf("more than %d fields", lim.MaxFields))
		}
		form = append(form, Field{Name: name, Value: value})
	}
	return form, pairs.Backing(), nil
}

// decodeLines reads newline-delimited JSON: an event per line that is not blank.
func decodeLines(one []Event, body []byte, buffer int, lim *bounds) ([]Event, error) {
	e, n := &one[0], 0
	for range wire.Lines(body) {
		if n++; n > lim.MaxEvents {
			return nil, refusal(ReasonTooManyEvents, fmt.Errorf("more than %d lines", lim.MaxEvents))
		}
	}
	if n == 0 {
		return one, nil
	}
	items := newCutter(buffer)
	if err := e.roomFor(n, items.room(body), lim); err != nil {
		return nil, err
	}
	events := batchOf(one, n)
	for line := range wire.Lines(body) {
		events = append(events, *e)
		next := &events[len(events)-1]
		next.number(len(events) - 1)
		next.setItem(items.cut(line), lim)
	}
	return events, nil
}

func (e *Event) setPing(to, from string) {
	if len(to) > maxHeader || len(from) > maxHeader {
		e.note("header", to, "cut to 8 KiB")
		to, from = strings.Clone(to[:min(len(to), maxHeader)]), strings.Clone(from[:min(len(from), maxHeader)])
	}
	e.Name = "ping"
	e.Body = Ping{From: from, To: to}
	if from != "" {
		e.Page, _, _ = strings.Cut(from, "#")
	}
}
