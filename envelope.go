package beacon

import (
	"fmt"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// decodeEnvelope reads an envelope that was found to be valid JSON. What claims to be
// one and is not stays what it is, with a note.
func decodeEnvelope(e *Event, body []byte, lim *Limits) ([]Event, error) {
	note := func(key, reason string) ([]Event, error) {
		e.note(key, "", reason)
		return []Event{*e}, nil
	}
	env, bad := wire.ParseEnvelope(body)
	known := env.Mode == wire.ModeAppend || env.Mode == wire.ModeReplace
	switch {
	case !known && env.Events == nil:
		return []Event{*e}, nil // a page's own JSON, which starts alike
	case bad != "":
		return note(bad, "not what an envelope has there")
	case !known:
		return note("m", "is neither append nor replace")
	}
	if env.Key == "" || len(env.Key) > maxID || len(env.Session) > maxID || len(env.View) > maxID {
		return note("k", "no usable identity")
	}
	items, ok := wire.SplitJSONArray(env.Events, lim.MaxEvents)
	if !ok || len(items) == 0 {
		return note("ev", "no events")
	}
	if len(items) > lim.MaxEvents {
		return nil, refusal(ReasonTooManyEvents, fmt.Errorf("more than %d events", lim.MaxEvents))
	}
	cuts := newCutter(body)
	e.Series, e.Seq, e.Mode = cuts.text(env.Key), 0, ModeAppend
	if env.Mode == wire.ModeReplace {
		e.Mode = ModeReplace
	}
	e.Session, e.View = cuts.text(env.Session), cuts.text(env.View)
	e.Privacy.GPC = e.Privacy.GPC || env.GPC == 1
	if env.Page != "" {
		e.Page = cuts.text(env.Page[:min(len(env.Page), maxHeader)])
	}
	// A request that waited, in the browser or in the client's store, was made
	// long before it was sent: its clock tells nothing about ours.
	if env.Via == "now" || env.Via == "bye" {
		e.Sent = clientTime(env.At)
	}
	events := make([]Event, len(items))
	for i, raw := range items {
		events[i] = *e
		events[i].setEnvelopeItem(i, cuts.cut(raw), lim)
		events[i].unpin(len(raw))
	}
	return events, nil
}

// setEnvelopeItem reads one event of an envelope.
func (e *Event) setEnvelopeItem(i int, raw []byte, lim *Limits) {
	item, ok := wire.ParseEnvelopeItem(raw)
	if !ok {
		if e.ID != "" {
			e.ID = numbered(e.ID, i)
		}
		e.Body = JSON(raw)
		e.note("ev", wire.Text(raw), "not an event of an envelope")
		return
	}
	e.ID = itemID(e.View, e.Series, item.Seq)
	e.Seq = item.Seq
	e.Name = item.Name[:min(len(item.Name), maxID)]
	e.Time = clientTime(item.Time)
	switch {
	case item.Data == nil:
		e.Body = Empty{}
	case len(item.Data) <= 2*lim.MaxDepth: // which cannot be too deep
		e.Body = JSON(item.Data)
	default:
		e.setItem(item.Data, lim)
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
	t, _ := wire.Millis(ms)
	return t
}
