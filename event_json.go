package beacon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// eventVersion is the version of the JSON form. Members may be added to a
// version; a change of meaning makes a new one.
const eventVersion = 1

// MarshalJSON returns the one JSON form of an event, from which UnmarshalJSON
// makes the same event again. It is meant for storage and for other programs:
//
//	{
//	  "v": 1,
//	  "id": "…", "name": "…",
//	  "time": "2026-01-02T15:04:05.000000006Z", "received": "…", "sent": "…",
//	  "body": {"kind": "form", "fields": [{"name": "a", "value": "1"},
//	           {"name": "f", "file": {"name": "x.txt", "type": "text/plain", "data": "aGk="}}]},
//	  "query": [{"name": "q", "value": "1"}],
//	  "page": "…", "session": "…", "view": "…", "series": "…", "seq": 1, "mode": "append",
//	  "request": {"method": "POST", "host": "…", "path": "…", "content_type": "…", "encoding": "…",
//	              "origin": "…", "user_agent": "…", "fetch_site": "…", "fetch_mode": "…",
//	              "fetch_dest": "…", "purpose": "…", "client_ip": "…", "tls": true},
//	  "gpc": true, "dnt": true,
//	  "attrs": [{"name": "user", "value": "7"}],
//	  "errors": [{"key": "…", "value": "…", "reason": "…"}]
//	}
//
// Members whose value is zero are left out. The kinds of body are:
//
//	{"kind": "empty"}
//	{"kind": "text", "text": "…"}
//	{"kind": "json", "json": …}
//	{"kind": "form", "fields": […]}
//	{"kind": "binary", "type": "…", "data": "base64"}
//	{"kind": "ping", "from": "…", "to": "…"}
//	{"kind": "report", "type": "…", "url": "…", "user_agent": "…", "age_ns": 5, "json": …}
//
// Browsers send bytes that JSON strings cannot hold. A string that is not valid
// UTF-8 is written as {"base64": "…"} in its place. A JSON body whose exact bytes
// would not survive in "json" (white space, characters that encoders escape)
// has them a second time in "raw", as a string.
func (e Event) MarshalJSON() ([]byte, error) {
	w := wireEvent{
		V: eventVersion, ID: wireString(e.ID), Name: wireString(e.Name),
		Time: e.Time, Received: e.Received, Sent: e.Sent,
		Query: wireFields(e.Query), Page: wireString(e.Page),
		Session: wireString(e.Session), View: wireString(e.View),
		Series: wireString(e.Series), Seq: e.Seq, Mode: wireString(e.Mode),
		Request: wireRequest{
			Method: wireString(e.Request.Method), Host: wireString(e.Request.Host),
			Path: wireString(e.Request.Path), ContentType: wireString(e.Request.ContentType),
			Encoding: wireString(e.Request.Encoding), Origin: wireString(e.Request.Origin),
			UserAgent: wireString(e.Request.UserAgent), FetchSite: wireString(e.Request.FetchSite),
			FetchMode: wireString(e.Request.FetchMode), FetchDest: wireString(e.Request.FetchDest),
			Purpose: wireString(e.Request.Purpose), ClientIP: e.Request.ClientIP, TLS: e.Request.TLS,
		},
		GPC: e.Privacy.GPC, DNT: e.Privacy.DNT,
	}
	if e.Body != nil {
		w.Body = wireBodyOf(e.Body)
	}
	if e.Attrs != nil {
		w.Attrs = make([]wireField, 0, len(e.Attrs))
		for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
			w.Attrs = append(w.Attrs, wireField{Name: wireString(k), Value: wireString(e.Attrs[k])})
		}
	}
	if e.Errors != nil {
		w.Errors = make([]wireError, len(e.Errors))
		for i, x := range e.Errors {
			w.Errors[i] = wireError{wireString(x.Key), wireString(x.Value), wireString(x.Reason)}
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes. It ignores members it does not
// know and refuses a version or a kind of body it does not know.
func (e *Event) UnmarshalJSON(b []byte) error {
	var w wireEvent
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("beacon: event: %w", err)
	}
	if w.V != eventVersion {
		return fmt.Errorf("beacon: event: version %d, want %d", w.V, eventVersion)
	}
	r := &w.Request
	*e = Event{
		ID: string(w.ID), Name: string(w.Name), Time: w.Time, Received: w.Received, Sent: w.Sent,
		Query: w.Query.form(), Page: string(w.Page),
		Session: string(w.Session), View: string(w.View),
		Series: string(w.Series), Seq: w.Seq, Mode: Mode(w.Mode),
		Request: Request{
			Method: string(r.Method), Host: string(r.Host), Path: string(r.Path),
			ContentType: string(r.ContentType), Encoding: string(r.Encoding), Origin: string(r.Origin),
			UserAgent: string(r.UserAgent), FetchSite: string(r.FetchSite), FetchMode: string(r.FetchMode),
			FetchDest: string(r.FetchDest), Purpose: string(r.Purpose), ClientIP: r.ClientIP, TLS: r.TLS,
		},
		Privacy: Privacy{GPC: w.GPC, DNT: w.DNT},
	}
	if w.Body != nil {
		var err error
		if e.Body, err = w.Body.body(); err != nil {
			return err
		}
	}
	if w.Attrs != nil {
		e.Attrs = make(map[string]string, len(w.Attrs))
		for _, a := range w.Attrs {
			e.Attrs[string(a.Name)] = string(a.Value)
		}
	}
	if w.Errors != nil {
		e.Errors = make([]FieldError, len(w.Errors))
		for i, x := range w.Errors {
			e.Errors[i] = FieldError{string(x.Key), string(x.Value), string(x.Reason)}
		}
	}
	return nil
}

type wireEvent struct {
	V        int          `json:"v"`
	ID       wireString   `json:"id,omitzero"`
	Name     wireString   `json:"name,omitzero"`
	Time     time.Time    `json:"time,omitzero"`
	Received time.Time    `json:"received,omitzero"`
	Sent     time.Time    `json:"sent,omitzero"`
	Body     *wireBody    `json:"body,omitzero"`
	Query    wireFormList `json:"query,omitzero"`
	Page     wireString   `json:"page,omitzero"`
	Session  wireString   `json:"session,omitzero"`
	View     wireString   `json:"view,omitzero"`
	Series   wireString   `json:"series,omitzero"`
	Seq      uint64       `json:"seq,omitzero"`
	Mode     wireString   `json:"mode,omitzero"`
	Request  wireRequest  `json:"request,omitzero"`
	GPC      bool         `json:"gpc,omitzero"`
	DNT      bool         `json:"dnt,omitzero"`
	Attrs    []wireField  `json:"attrs,omitzero"`
	Errors   []wireError  `json:"errors,omitzero"`
}

type wireRequest struct {
	Method      wireString `json:"method,omitzero"`
	Host        wireString `json:"host,omitzero"`
	Path        wireString `json:"path,omitzero"`
	ContentType wireString `json:"content_type,omitzero"`
	Encoding    wireString `json:"encoding,omitzero"`
	Origin      wireString `json:"origin,omitzero"`
	UserAgent   wireString `json:"user_agent,omitzero"`
	FetchSite   wireString `json:"fetch_site,omitzero"`
	FetchMode   wireString `json:"fetch_mode,omitzero"`
	FetchDest   wireString `json:"fetch_dest,omitzero"`
	Purpose     wireString `json:"purpose,omitzero"`
	ClientIP    netip.Addr `json:"client_ip,omitzero"`
	TLS         bool       `json:"tls,omitzero"`
}

type wireError struct {
	Key    wireString `json:"key,omitzero"`
	Value  wireString `json:"value,omitzero"`
	Reason wireString `json:"reason,omitzero"`
}

// A wireBody is any Body, told apart by Kind.
type wireBody struct {
	Kind      string          `json:"kind"`
	Text      wireString      `json:"text,omitzero"`
	JSON      json.RawMessage `json:"json,omitzero"`
	Raw       *wireString     `json:"raw,omitzero"`
	Fields    *wireFormList   `json:"fields,omitzero"`
	Type      wireString      `json:"type,omitzero"`
	Data      []byte          `json:"data,omitzero"`
	From      wireString      `json:"from,omitzero"`
	To        wireString      `json:"to,omitzero"`
	URL       wireString      `json:"url,omitzero"`
	UserAgent wireString      `json:"user_agent,omitzero"`
	Age       time.Duration   `json:"age_ns,omitzero"`
}

func wireBodyOf(b Body) *wireBody {
	w := &wireBody{Kind: b.Kind()}
	switch b := b.(type) {
	case Text:
		w.Text = wireString(b)
	case JSON:
		w.setJSON(json.RawMessage(b))
	case Form:
		w.Fields = new(wireFields(b))
	case Binary:
		w.Type, w.Data = wireString(b.Type), b.Data
	case Ping:
		w.From, w.To = wireString(b.From), wireString(b.To)
	case Report:
		w.Type, w.URL, w.UserAgent, w.Age = wireString(b.Type), wireString(b.URL), wireString(b.UserAgent), b.Age
		w.setJSON(b.Body)
	}
	return w
}

func (w *wireBody) body() (Body, error) {
	switch w.Kind {
	case "empty":
		return Empty{}, nil
	case "text":
		return Text(w.Text), nil
	case "json":
		return JSON(w.json()), nil
	case "form":
		if w.Fields == nil {
			return Form(nil), nil
		}
		return w.Fields.form(), nil
	case "binary":
		return Binary{Type: string(w.Type), Data: w.Data}, nil
	case "ping":
		return Ping{From: string(w.From), To: string(w.To)}, nil
	case "report":
		return Report{Type: string(w.Type), URL: string(w.URL), UserAgent: string(w.UserAgent), Age: w.Age, Body: w.json()}, nil
	}
	return nil, fmt.Errorf("beacon: event: unknown body kind %q", w.Kind)
}

// setJSON stores raw as a JSON value if it is one, and its exact bytes too if an
// encoder would write that value differently.
func (w *wireBody) setJSON(raw json.RawMessage) {
	if raw == nil {
		return
	}
	if json.Valid(raw) && utf8.Valid(raw) {
		w.JSON = raw
		var same bytes.Buffer
		if json.Compact(&same, raw) == nil && bytes.Equal(same.Bytes(), raw) && !bytes.ContainsAny(raw, "<>&\u2028\u2029") && string(raw) != "null" {
			return
		}
	}
	w.Raw = new(wireString(raw))
}

func (w *wireBody) json() json.RawMessage {
	if w.Raw != nil {
		return json.RawMessage(*w.Raw)
	}
	if w.JSON == nil {
		return nil
	}
	var exact bytes.Buffer // without what an indenting encoder put in
	if json.Compact(&exact, w.JSON) != nil {
		return w.JSON
	}
	return exact.Bytes()
}

type wireField struct {
	Name  wireString `json:"name"`
	Value wireString `json:"value,omitzero"`
	File  *wireFile  `json:"file,omitzero"`
}

type wireFile struct {
	Name wireString `json:"name"`
	Type wireString `json:"type,omitzero"`
	Data []byte     `json:"data"`
}

// A wireFormList is a Form. Nil and empty stay apart: a request without a query
// is not one with an empty query.
type wireFormList []wireField

func wireFields(f Form) wireFormList {
	if f == nil {
		return nil
	}
	list := make(wireFormList, len(f))
	for i, x := range f {
		list[i] = wireField{Name: wireString(x.Name), Value: wireString(x.Value)}
		if x.File != nil {
			list[i].File = &wireFile{wireString(x.File.Name), wireString(x.File.Type), x.File.Data}
		}
	}
	return list
}

func (l wireFormList) form() Form {
	if l == nil {
		return nil
	}
	f := make(Form, len(l))
	for i, x := range l {
		f[i] = Field{Name: string(x.Name), Value: string(x.Value)}
		if x.File != nil {
			f[i].File = &File{string(x.File.Name), string(x.File.Type), x.File.Data}
		}
	}
	return f
}

// A wireString is a string of any bytes: a JSON string, or {"base64": "…"} where
// that would change it.
type wireString string

type base64String struct {
	Base64 []byte `json:"base64"`
}

func (s wireString) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal(base64String{[]byte(s)})
}

func (s *wireString) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var x base64String
		err := json.Unmarshal(b, &x)
		*s = wireString(x.Base64)
		return err
	}
	return json.Unmarshal(b, (*string)(s))
}

// cloudEventType names the CloudEvents data: the JSON form of an event.
const cloudEventType = "com.github.pagebeacon.beacon.v1"

// MarshalCloudEvent returns the event in the CloudEvents 1.0 JSON format. Its
// data is the event's own JSON form; id is the event's, source the origin (or
// host) and path it was sent to, subject and partitionkey its session. An event
// without an ID cannot be one.
func (e Event) MarshalCloudEvent() ([]byte, error) {
	if e.ID == "" {
		return nil, fmt.Errorf("beacon: cloud event: event has no ID")
	}
	session := strings.ToValidUTF8(e.Session, "\uFFFD")
	return json.Marshal(struct {
		SpecVersion  string    `json:"specversion"`
		ID           string    `json:"id"`
		Source       string    `json:"source"`
		Type         string    `json:"type"`
		Time         time.Time `json:"time,omitzero"`
		Subject      string    `json:"subject,omitzero"`
		PartitionKey string    `json:"partitionkey,omitzero"`
		ContentType  string    `json:"datacontenttype"`
		Data         Event     `json:"data"`
	}{"1.0", strings.ToValidUTF8(e.ID, "\uFFFD"), e.source(), cloudEventType, e.Time, session, session, "application/json", e})
}

// source is a valid, non-empty URI reference whatever the client sent.
func (e Event) source() string {
	u := url.URL{Path: "/" + strings.TrimPrefix(e.Request.Path, "/")}
	if o, err := url.Parse(e.Request.Origin); err == nil && o.Host != "" {
		u.Scheme, u.Host = o.Scheme, o.Host
	} else {
		u.Host = e.Request.Host
	}
	return u.String()
}
