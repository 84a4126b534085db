package beacon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon/internal/cloudevents"
	"github.com/pagebeacon/beacon/internal/wire"
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
//	  "request": {"id": "…", "method": "POST", "host": "…", "path": "…", "content_type": "…", "encoding": "…",
//	              "origin": "…", "user_agent": "…", "fetch_site": "…", "fetch_mode": "…",
//	              "fetch_dest": "…", "purpose": "…", "client_ip": "…", "tls": true},
//	  "verified": true, "gpc": true, "dnt": true,
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
func (e Event) AppendJSON(b []byte) ([]byte, error) {
	// Every member is written with a comma behind it, and the last comma becomes
	// the closing brace: none has to know what was left out before it.
	out := append(b, `{"v":`...)
	out = strconv.AppendInt(out, eventVersion, 10)
	out = append(out, ',')
	out = appendMember(out, `"id":"`, e.ID)
	out = appendMember(out, `"name":"`, e.Name)
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
	out = appendMember(out, `"page":"`, e.Page)
	out = appendMember(out, `"session":"`, e.Session)
	out = appendMember(out, `"view":"`, e.View)
	out = appendMember(out, `"series":"`, e.Series)
	if e.Seq != 0 {
		out = append(out, `"seq":`...)
		out = strconv.AppendUint(out, e.Seq, 10)
		out = append(out, ',')
	}
	out = appendMember(out, `"mode":"`, string(e.Mode))
	out = appendRequest(out, &e.Request)
	out = appendFlag(out, `"verified":true,`, e.Verified)
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
	return wire.CloseList(out, '}'), nil
}

// appendMember appends a string and its key, unless it is empty.
func appendMember(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return wire.AppendMember(b, key, s)
}

func appendFlag(b []byte, member string, set bool) []byte {
	if set {
		b = append(b, member...)
	}
	return b
}

func appendTime(b []byte, key string, t time.Time) ([]byte, error) {
	if t.IsZero() {
		return b, nil
	}
	b = append(b, key...)
	b = append(b, '"')
	b, err := t.AppendText(b)
	if err != nil {
		_, err = json.Marshal(t) // the same in the words of encoding/json
		return nil, err
	}
	return append(b, '"', ','), nil
}

func appendRequest(b []byte, r *Request) []byte {
	start := len(b)
	b = append(b, `"request":{`...)
	empty := len(b)
	b = appendMember(b, `"id":"`, r.ID)
	b = appendMember(b, `"method":"`, r.Method)
	b = appendMember(b, `"host":"`, r.Host)
	b = appendMember(b, `"path":"`, r.Path)
	b = appendMember(b, `"content_type":"`, r.ContentType)
	b = appendMember(b, `"encoding":"`, r.Encoding)
	b = appendMember(b, `"origin":"`, r.Origin)
	b = appendMember(b, `"user_agent":"`, r.UserAgent)
	b = appendMember(b, `"fetch_site":"`, r.FetchSite)
	b = appendMember(b, `"fetch_mode":"`, r.FetchMode)
	b = appendMember(b, `"fetch_dest":"`, r.FetchDest)
	b = appendMember(b, `"purpose":"`, r.Purpose)
	if r.ClientIP != (netip.Addr{}) {
		b = append(b, `"client_ip":`...)
		b = appendAddr(b, r.ClientIP)
		b = append(b, ',')
	}
	b = appendFlag(b, `"tls":true,`, r.TLS)
	if len(b) == empty {
		return b[:start]
	}
	return append(wire.CloseList(b, '}'), ',')
}

// appendAddr appends an address. A zone is any text; encoding/json knows best what
// it does with that.
func appendAddr(b []byte, ip netip.Addr) []byte {
	if ip.Zone() != "" {
		text, _ := json.Marshal(ip) // an address always marshals
		return append(b, text...)
	}
	b = append(b, '"')
	b = ip.AppendTo(b)
	return append(b, '"')
}

func appendBody(b []byte, body Body) []byte {
	switch x := body.(type) {
	case Empty:
		return append(b, `{"kind":"empty"}`...)
	case Text:
		b = append(b, `{"kind":"text",`...)
		b = appendMember(b, `"text":"`, string(x))
	case JSON:
		b = append(b, `{"kind":"json",`...)
		b = appendRawJSON(b, x)
	case Form:
		b = append(b, `{"kind":"form","fields":`...)
		b = appendForm(b, x)
	case Binary:
		b = append(b, `{"kind":"binary",`...)
		b = appendMember(b, `"type":"`, x.Type)
		if x.Data != nil {
			b = append(b, `"data":`...)
			b = appendBase64(b, x.Data)
		}
	case Ping:
		b = append(b, `{"kind":"ping",`...)
		b = appendMember(b, `"from":"`, x.From)
		b = appendMember(b, `"to":"`, x.To)
	case Report:
		b = append(b, `{"kind":"report",`...)
		b = appendRawJSON(b, x.Body)
		b = appendMember(b, `"type":"`, x.Type)
		b = appendMember(b, `"url":"`, x.URL)
		b = appendMember(b, `"user_agent":"`, x.UserAgent)
		if x.Age != 0 {
			b = append(b, `"age_ns":`...)
			b = strconv.AppendInt(b, int64(x.Age), 10)
		}
	default: // a pointer to one of them, or a type that embeds one
		kind, _ := json.Marshal(body.Kind()) // a string always marshals
		b = append(b, `{"kind":`...)
		b = append(b, kind...)
	}
	return wire.CloseList(b, '}')
}

// appendForm keeps nil and empty apart: a request without a query is not one with
// an empty query.
func appendForm(b []byte, f Form) []byte {
	if f == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range f {
		x := &f[i]
		b = wire.AppendMember(b, `{"name":"`, x.Name)
		b = appendMember(b, `"value":"`, x.Value)
		if x.File != nil {
			b = wire.AppendMember(b, `"file":{"name":"`, x.File.Name)
			b = appendMember(b, `"type":"`, x.File.Type)
			b = append(b, `"data":`...)
			b = appendBase64(b, x.File.Data)
			b = append(b, '}')
		}
		b = append(wire.CloseList(b, '}'), ',')
	}
	return wire.CloseList(b, ']')
}

func appendAttrs(b []byte, attrs map[string]string) []byte {
	var few [16]string
	names := few[:0]
	for name := range attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '[')
	for _, name := range names {
		b = wire.AppendMember(b, `{"name":"`, name)
		b = appendMember(b, `"value":"`, attrs[name])
		b = append(wire.CloseList(b, '}'), ',')
	}
	return wire.CloseList(b, ']')
}

func appendErrors(b []byte, errs []FieldError) []byte {
	b = append(b, '[')
	for i := range errs {
		b = append(b, '{')
		b = appendMember(b, `"key":"`, errs[i].Key)
		b = appendMember(b, `"value":"`, errs[i].Value)
		b = appendMember(b, `"reason":"`, errs[i].Reason)
		b = append(wire.CloseList(b, '}'), ',')
	}
	return wire.CloseList(b, ']')
}

func appendBase64(b, data []byte) []byte {
	if data == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// appendRawJSON appends raw as a JSON value if it is one, and its exact bytes too
// if an encoder would write that value differently.
func appendRawJSON(b []byte, raw []byte) []byte {
	if raw == nil {
		return b
	}
	if wire.PlainJSON(raw) {
		b = append(b, `"json":`...)
		b = append(b, raw...)
		return append(b, ',')
	}
	if wire.CheckJSON(raw, wire.MaxJSONDepth) == wire.JSONValid {
		b = append(b, `"json":`...)
		start := len(b)
		b = wire.AppendCompactJSON(b, raw)
		same := bytes.Equal(b[start:], raw) && string(raw) != "null"
		b = append(b, ',')
		if same {
			return b
		}
	}
	b = append(b, `"raw":`...)
	b = wire.AppendText(b, raw)
	return append(b, ',')
}

// MarshalCloudEvent returns the event in the CloudEvents 1.0 JSON format. Its
// data is the event's own JSON form; id is the event's, source the origin (or
// host) and path it was sent to, subject and partitionkey its session. An event
// without an ID cannot be one.
func (e Event) MarshalCloudEvent() ([]byte, error) {
	if e.ID == "" {
		return nil, fmt.Errorf("beacon: cloud event: event has no ID")
	}
	session := cloudevents.Text(e.Session)
	source := cloudevents.Source(e.Request.Origin, e.Request.Host, e.Request.Path)
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
	}{cloudevents.Version, cloudevents.Text(e.ID), source, cloudevents.Type, e.Time, session, session, cloudevents.ContentType, e})
}
