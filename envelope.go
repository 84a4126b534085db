package beacon

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// envelopePrefix is how every envelope of the browser client starts. A page's own
// JSON does not happen to.
const envelopePrefix = `{"v":1,"m":"`

// maxID bounds what a client may choose as an identity.
const maxID = 256

// An envelope is what the browser client wraps the events of one series in.
type envelope struct {
	Mode    Mode            `json:"m"`
	Key     string          `json:"k"` // of the series
	Session string          `json:"sid"`
	View    string          `json:"pv"`
	Via     string          `json:"via"`
	At      float64         `json:"at"` // ms since the epoch, client's clock, when it was made
	Page    string          `json:"page"`
	GPC     int             `json:"gpc"`
	Events  json.RawMessage `json:"ev"`
}

// An envelopeItem is one event in it.
type envelopeItem struct {
	Seq  uint64          `json:"n"`
	Time float64         `json:"t"` // ms since the epoch, client's clock
	Name string          `json:"e"`
	Data json.RawMessage `json:"d"`
}

// decodeEnvelope reads an envelope that setJSON or sniffJSON has found to be valid
// JSON. What claims to be one and is not stays what it is, with a note.
func decodeEnvelope(e *Event, body []byte, lim *Limits) ([]Event, error) {
	note := func(key, reason string) ([]Event, error) {
		e.Errors = append(e.Errors, fieldError(key, "", reason))
		return []Event{*e}, nil
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return note("envelope", "does not have the form of one")
	}
	switch {
	case env.Mode != ModeAppend && env.Mode != ModeReplace:
		return note("m", "is neither append nor replace")
	case env.Key == "" || len(env.Key) > maxID || len(env.Session) > maxID || len(env.View) > maxID:
		return note("k", "no usable identity")
	}
	items, ok := splitArray(env.Events, lim.MaxEvents)
	if !ok || len(items) == 0 {
		return note("ev", "no events")
	}
	if len(items) > lim.MaxEvents {
		return nil, tooLarge(ReasonTooManyEvents, "more than %d events", lim.MaxEvents)
	}
	e.Series, e.Mode, e.Session, e.View = env.Key, env.Mode, env.Session, env.View
	e.Privacy.GPC = e.Privacy.GPC || env.GPC == 1
	if env.Page != "" {
		e.Page = env.Page[:min(len(env.Page), maxHeader)]
	}
	// A request that waited, in the browser or in the client's store, was made
	// long before it was sent: its clock tells nothing about ours.
	if env.Via == "now" || env.Via == "bye" {
		e.Sent = clientTime(env.At)
	}
	events := make([]Event, len(items))
	for i, raw := range items {
		events[i] = *e
		setItem(&events[i], raw)
	}
	return events, nil
}

func setItem(e *Event, raw []byte) {
	var item envelopeItem
	e.Body = JSON(raw[:len(raw):len(raw)])
	if err := json.Unmarshal(raw, &item); err != nil || item.Seq == 0 || item.Seq > 1<<53 {
		e.Errors = append(e.Errors, fieldError("ev", text(raw), "not an event of an envelope"))
		return
	}
	e.ID = e.Series + ":" + strconv.FormatUint(item.Seq, 10)
	e.Seq = item.Seq
	e.Name = item.Name[:min(len(item.Name), maxID)]
	e.Time = clientTime(item.Time)
	if e.Body = JSON(item.Data); len(item.Data) == 0 {
		e.Body = Empty{}
	}
}

// year10000 is where times begin that RFC 3339 cannot write, nor therefore the
// JSON form of an event.
const year10000 = 253402300800_000

// clientTime is a time on a client's clock, or zero if it did not give one.
func clientTime(ms float64) time.Time {
	if !(0 < ms && ms < year10000) {
		return time.Time{}
	}
	t, _ := epochMillis(ms)
	return t
}

func isEnvelope(b []byte) bool { return bytes.HasPrefix(b, []byte(envelopePrefix)) }

// identityParam is the query parameter in which the client identifies a beacon
// whose body is the page's own: "<series>.<revision>".
const identityParam = "_b"

// setIdentity reads it. The revisions of a beacon replace each other.
func (e *Event) setIdentity() {
	v := e.Query.Get(identityParam)
	i := strings.LastIndexByte(v, '.')
	if i <= 0 || len(v) > maxID {
		return
	}
	if n, err := strconv.ParseUint(v[i+1:], 10, 53); err == nil && n > 0 {
		e.Series, e.Seq, e.Mode = v[:i], n, ModeReplace
		e.ID = e.Series + ":" + strconv.FormatUint(n, 10)
	}
}
