package connect

import (
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/cloudevents"
)

// A Header is an attribute of a message beside its value.
type Header struct{ Name, Value string }

// Headers returns the attributes of CloudEvents 1.0 in binary mode: specversion, id,
// source, type, datacontenttype, and time and subject if the event has them, with the
// values of [beacon.Event.MarshalCloudEvent]. The names are those of the specification: a
// binding puts "ce_" (Kafka) or "ce-" (NATS, HTTP) in front, and Kafka and HTTP call the
// content type content-type. Values are valid UTF-8 and else the client's: a log whose
// headers are ASCII takes [Header.Encoded]. An event without an ID cannot be a CloudEvent
// and has none.
func Headers(e *beacon.Event) []Header {
	if e.ID == "" {
		return nil
	}
	h := make([]Header, 0, 7)
	h = append(h,
		Header{"specversion", cloudevents.Version},
		Header{"id", cloudevents.Text(e.ID)},
		Header{"source", cloudevents.Source(e.Request.Origin, e.Request.Host, e.Request.Path)},
		Header{"type", cloudevents.Type},
		Header{"datacontenttype", cloudevents.ContentType},
	)
	if !e.Time.IsZero() {
		h = append(h, Header{"time", e.Time.Format(time.RFC3339Nano)})
	}
	if e.Session != "" {
		h = append(h, Header{"subject", cloudevents.Text(e.Session)})
	}
	return h
}

// Encoded returns the value in printable ASCII, as the HTTP and NATS bindings of
// CloudEvents have it: space, double quote, percent and all that is not printable are
// percent-encoded.
func (h Header) Encoded() string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	n := 0
	for n < len(h.Value) && plain(h.Value[n]) {
		n++
	}
	if n == len(h.Value) {
		return h.Value
	}
	var b strings.Builder
	b.Grow(len(h.Value) + 16)
	b.WriteString(h.Value[:n])
	for _, c := range []byte(h.Value[n:]) {
		if plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
