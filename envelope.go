package beacon

import (
	"fmt"

	"github.com/pagebeacon/beacon/internal/wire"
)

// decodeEnvelope reads an envelope, or returns nothing if the body is none; one that
// claims to be one gets a note. The items are checked one by one, so that the depth of
// one does not cost the others.
func decodeEnvelope(one []Event, body []byte, kind wire.Kind, buffer int, lim *bounds) ([]Event, error) {
	if !wire.MaybeEnvelope(body) || !kind.MaybeJSON() || wire.CheckJSON(body, wire.MaxJSONDepth) != wire.JSONValid {
		return nil, nil
	}
	e := &one[0]
	note := func(key, reason string) ([]Event, error) {
		e.note(key, "", reason)
		return nil, nil
	}
	env, bad := wire.ParseEnvelope(body)
	known := env.Mode == wire.ModeAppend || env.Mode == wire.ModeReplace
	switch {
	case !known && env.Events == nil:
		return nil, nil // a page's own JSON, which starts alike
	case bad != "":
		return note(bad, "not what an envelope has there")
	case !known:
		return note("m", "is neither append nor replace")
	}
	if env.Key == "" || len(env.Key) > maxID || len(env.Session) > maxID || len(env.View) > maxID {
		return note("k", "no usable identity")
	}
	items, ok := wire.ElementsOf(env.Events)
	n := env.Items
	switch {
	case !ok || n == 0:
		return note("ev", "no events")
	case n > lim.MaxEvents:
		return nil, refusal(ReasonTooManyEvents, fmt.Errorf("more than %d events", lim.MaxEvents))
	}
	cuts := newCutter(buffer)
	e.Series, e.Seq, e.Mode = cuts.text(env.Key), 0, ModeAppend
	if env.Mode == wire.ModeReplace {
		e.Mode = ModeReplace
	}
	e.Session, e.View = cuts.text(env.Session), cuts.text(env.View)
	e.Privacy.GPC = e.Privacy.GPC || env.GPC == 1
	// Not the Referer, which says more than a page may want to be known.
	e.Page = cuts.text(env.Page[:min(len(env.Page), maxHeader)])
	// A request that waited, in the browser or in the client's store, was made
	// long before it was sent: its clock tells nothing about ours.
	if env.Via == "now" || env.Via == "bye" {
		e.Sent = wire.ClientTime(env.At)
	}
	if err := e.roomFor(n, cuts.room(body), lim); err != nil {
		return nil, err
	}
	ids := wire.Pages{Expect: n * (len(e.View) + len(e.Series) + len("::9999"))}
	events := batchOf(one, n)
	for raw, more := items.Next(); more; raw, more = items.Next() {
		i := len(events)
		events = append(events, *e)
		events[i].setEnvelopeItem(i, cuts.cut(raw), &ids, lim)
		events[i].unpin(len(raw))
	}
	return events, nil
}

// setEnvelopeItem reads one event of an envelope.
func (e *Event) setEnvelopeItem(i int, raw []byte, ids *wire.Pages, lim *bounds) {
	item, ok := wire.ParseEnvelopeItem(raw)
	if !ok {
		if e.ID != "" {
			e.ID = numbered(e.ID, i)
		}
		e.setItem(raw, lim)
		e.note("ev", wire.Text(raw), "not an event of an envelope")
		return
	}
	e.ID = itemID(ids, e.View, e.Series, item.Seq)
	e.setSeq("n", item.Seq)
	e.Name = item.Name[:min(len(item.Name), maxID)]
	e.Time = wire.ClientTime(item.Time)
	switch {
	case item.Data == nil:
		e.Body = Empty{}
	case len(item.Data) <= 2*lim.MaxDepth: // which cannot be too deep
		e.Body = JSON(item.Data)
	default:
		e.setItem(item.Data, lim)
	}
}
