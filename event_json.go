package beacon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
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
	return e.AppendJSON(make([]byte, 0, 1<<10)) // most fit
}

// AppendJSON appends the JSON form of the event, the same as [Event.MarshalJSON]
// returns, to b and returns the longer slice. On an error it returns b as it was.
// It allocates nothing if b has room, unless Attrs is large or ClientIP has a zone.
// It only reads the event: several goroutines may encode the same one.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	// Every member is written with a comma behind it, and the last comma becomes
	// the closing brace: none has to know what was left out before it.
	out := append(b, `{"v":`...)
	out = strconv.AppendInt(out, eventVersion, 10)
	out = append(out, ',')
	out = appendMember(out, `"id":`, e.ID)
	out = appendMember(out, `"name":`, e.Name)
	var err error
	if out, err = appendTime(out, `"time":`, e.Time); err != nil {
		return b, err
	}
	if out, err = appendTime(out, `"received":`, e.Received); err != nil {
		return b, err
	}
	if out, err = appendTime(out, `"sent":`, e.Sent); err != nil {
		return b, err
	}
	if e.Body != nil {
		out = append(out, `"body":`...)
		out = appendBody(out, e.Body)
		out = append(out, ',')
	}
	if e.Query != nil {
		out = append(out, `"query":`...)
		out = appendForm(out, e.Query)
		out = append(out, ',')
	}
	out = appendMember(out, `"page":`, e.Page)
	out = appendMember(out, `"session":`, e.Session)
	out = appendMember(out, `"view":`, e.View)
	out = appendMember(out, `"series":`, e.Series)
	if e.Seq != 0 {
		out = append(out, `"seq":`...)
		out = strconv.AppendUint(out, e.Seq, 10)
		out = append(out, ',')
	}
	out = appendMember(out, `"mode":`, string(e.Mode))
	out = appendRequest(out, &e.Request)
	out = appendFlag(out, `"gpc":true,`, e.Privacy.GPC)
	out = appendFlag(out, `"dnt":true,`, e.Privacy.DNT)
	if e.Attrs != nil {
		out = append(out, `"attrs":`...)
		out = appendAttrs(out, e.Attrs)
		out = append(out, ',')
	}
	if e.Errors != nil {
		out = append(out, `"errors":`...)
		out = appendErrors(out, e.Errors)
		out = append(out, ',')
	}
	return closeList(out, '}'), nil
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
	ID       wireString   `json:"id"`
	Name     wireString   `json:"name"`
	Time     time.Time    `json:"time"`
	Received time.Time    `json:"received"`
	Sent     time.Time    `json:"sent"`
	Body     *wireBody    `json:"body"`
	Query    wireFormList `json:"query"`
	Page     wireString   `json:"page"`
	Session  wireString   `json:"session"`
	View     wireString   `json:"view"`
	Series   wireString   `json:"series"`
	Seq      uint64       `json:"seq"`
	Mode     wireString   `json:"mode"`
	Request  wireRequest  `json:"request"`
	GPC      bool         `json:"gpc"`
	DNT      bool         `json:"dnt"`
	Attrs    []wireField  `json:"attrs"`
	Errors   []wireError  `json:"errors"`
}

type wireRequest struct {
	Method      wireString `json:"method"`
	Host        wireString `json:"host"`
	Path        wireString `json:"path"`
	ContentType wireString `json:"content_type"`
	Encoding    wireString `json:"encoding"`
	Origin      wireString `json:"origin"`
	UserAgent   wireString `json:"user_agent"`
	FetchSite   wireString `json:"fetch_site"`
	FetchMode   wireString `json:"fetch_mode"`
	FetchDest   wireString `json:"fetch_dest"`
	Purpose     wireString `json:"purpose"`
	ClientIP    netip.Addr `json:"client_ip"`
	TLS         bool       `json:"tls"`
}

type wireError struct {
	Key    wireString `json:"key"`
	Value  wireString `json:"value"`
	Reason wireString `json:"reason"`
}

// A wireBody is any Body, told apart by Kind.
type wireBody struct {
	Kind      string          `json:"kind"`
	Text      wireString      `json:"text"`
	JSON      json.RawMessage `json:"json"`
	Raw       *wireString     `json:"raw"`
	Fields    *wireFormList   `json:"fields"`
	Type      wireString      `json:"type"`
	Data      []byte          `json:"data"`
	From      wireString      `json:"from"`
	To        wireString      `json:"to"`
	URL       wireString      `json:"url"`
	UserAgent wireString      `json:"user_agent"`
	Age       time.Duration   `json:"age_ns"`
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

func (w *wireBody) json() json.RawMessage {
	if w.Raw != nil {
		return json.RawMessage(*w.Raw)
	}
	if w.JSON == nil || plainJSON(w.JSON) {
		return w.JSON
	}
	var exact bytes.Buffer // without what an indenting encoder put in
	if json.Compact(&exact, w.JSON) != nil {
		return w.JSON
	}
	return exact.Bytes()
}

type wireField struct {
	Name  wireString `json:"name"`
	Value wireString `json:"value"`
	File  *wireFile  `json:"file"`
}

type wireFile struct {
	Name wireString `json:"name"`
	Type wireString `json:"type"`
	Data []byte     `json:"data"`
}

// A wireFormList is a Form. Nil and empty stay apart: a request without a query
// is not one with an empty query.
type wireFormList []wireField

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

func (s *wireString) UnmarshalJSON(b []byte) error {
	// b is valid JSON: a quote that is not escaped is its last byte.
	if len(b) > 0 && b[0] == '"' && plainLen(b[1:]) == len(b)-2 {
		*s = wireString(b[1 : len(b)-1])
		return nil
	}
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
