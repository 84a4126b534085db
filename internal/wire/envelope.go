package wire

import "bytes"

// The modes of an envelope.
const (
	ModeAppend  = "append"
	ModeReplace = "replace"
)

// envelopePrefix is how every envelope of the browser client starts. It is sent as
// text, since a type of its own would cost a preflight.
const envelopePrefix = `{"v":1,"m":"`

// MaybeEnvelope says whether a JSON text starts as an envelope does.
func MaybeEnvelope(b []byte) bool { return bytes.HasPrefix(b, []byte(envelopePrefix)) }

// An Envelope is what the browser client wraps the events of one series in.
type Envelope struct {
	Mode    string
	Key     string // of the series
	Session string
	View    string
	Via     string  // which way it is sent
	At      float64 // ms since the epoch, client's clock, when it was made
	Page    string
	GPC     float64
	Events  []byte // of items, if it is an array
	Items   int    // how many
}

// ParseEnvelope reads an envelope from valid JSON. bad is the first member, if there is
// one, that does not have the type that it has in one.
func ParseEnvelope(b []byte) (e Envelope, bad string) {
	m, _ := MembersOf(b)
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		fits := true
		switch key {
		case "m":
			fits = setString(&e.Mode, v)
		case "k":
			fits = setString(&e.Key, v)
		case "sid":
			fits = setString(&e.Session, v)
		case "pv":
			fits = setString(&e.View, v)
		case "via":
			fits = setString(&e.Via, v)
		case "at":
			e.At, fits = JSONFloat(v)
		case "page":
			fits = setString(&e.Page, v)
		case "gpc":
			e.GPC, fits = JSONFloat(v)
		case "ev":
			e.Events, e.Items = v, m.items
		}
		if !fits && !IsJSONNull(v) && bad == "" {
			bad = key
		}
	}
	return e, bad
}

// EnvelopeToken returns the page's token in what starts as an envelope and is valid
// JSON, or "". The client writes it in front of what is long, so that is not read.
func EnvelopeToken(b []byte) string {
	if !MaybeEnvelope(b) {
		return ""
	}
	var token string
	m, _ := MembersOf(b)
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		if key == "tok" && setString(&token, v) {
			break
		}
	}
	return token
}

// An EnvelopeItem is one event in an [Envelope].
type EnvelopeItem struct {
	Seq  uint64
	Time float64 // ms since the epoch, client's clock
	Name string
	Data []byte // nil if there is none
}

// ParseEnvelopeItem reads an item from valid JSON. ok is false if it is none.
func ParseEnvelopeItem(b []byte) (item EnvelopeItem, ok bool) {
	m, ok := MembersOf(b)
	for key, v, more := m.Next(); ok && more; key, v, more = m.Next() {
		switch {
		case key == "d":
			item.Data = v
		case IsJSONNull(v):
		case key == "n":
			item.Seq, ok = JSONUint(v)
		case key == "t":
			item.Time, ok = JSONFloat(v)
		case key == "e":
			ok = setString(&item.Name, v)
		}
	}
	return item, ok && 0 < item.Seq && item.Seq <= 1<<53
}
