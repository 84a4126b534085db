package beacon

import (
	"strconv"
	"strings"

	"github.com/pagebeacon/beacon/internal/wire"
)

// Where the ID of an event comes from, the first that there is:
//
//	an item of the browser client's envelope    <view>:<key>:<seq>
//	the query parameter _b                      <series>:<revision>
//	the header Idempotency-Key                  as it is
//	none of them                                [Request.ID]
//
// Of the last three, the events of a batch have ".0", ".1" and so on behind it.

// maxID bounds what a client may choose as an identity.
const maxID = 256

// maxSeq bounds what a client may say of a position: more than a page makes of it in a
// day, ten times a second.
const maxSeq = 1_000_000

// identityParam is the query parameter in which the client identifies a beacon
// whose body is the page's own: "<series>.<revision>".
const identityParam = "_b"

// setIdentity reads what the client says outside of the body; key is the header. The revisions of a
// beacon replace each other.
func (e *Event) setIdentity(key string) {
	v := e.Query.Get(identityParam)
	if i := strings.LastIndexByte(v, '.'); i > 0 && len(v) <= maxID {
		if n, err := strconv.ParseUint(v[i+1:], 10, 53); err == nil && n > 0 {
			e.Series, e.Mode = v[:i], ModeReplace
			e.ID = e.Series + ":" + strconv.FormatUint(n, 10)
			e.setSeq(identityParam, n)
			return
		}
	}
	if n := len(key); n >= 2 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1] // a string of structured fields (RFC 9651 §3.3.3)
	}
	if len(key) > maxID {
		e.note("Idempotency-Key", key, "longer than 256 bytes")
		return
	}
	e.ID = key
}

// setSeq sets a position that can be believed. Any other would stand for all others of
// its series for good, so the event is left without one, and loses to them; its ID has
// the number, since what comes twice is still one.
func (e *Event) setSeq(key string, n uint64) {
	if n > maxSeq {
		e.Seq = 0
		e.note(key, strconv.FormatUint(n, 10), "a position that is not believable")
		return
	}
	e.Seq = n
}

// itemID is the ID of an event of the browser client, in a page of those of its batch. The
// page view is part of it, since a page may give its series any name.
func itemID(ids *wire.Pages, view, series string, seq uint64) string {
	var buf [64]byte
	b := buf[:0]
	if view != "" {
		b = append(append(b, view...), ':')
	}
	b = append(append(b, series...), ':')
	return wire.Text(ids.Copy(strconv.AppendUint(b, seq, 10)))
}

// number makes e the i-th event of a request. A series of the request as a whole is
// not its events': they would replace each other.
func (e *Event) number(i int) {
	e.Series, e.Seq, e.Mode = "", 0, ModeNone
	if e.ID != "" {
		e.ID = numbered(e.ID, i)
	}
}

func numbered(id string, i int) string { return id + "." + strconv.Itoa(i) }

// identify gives the events of one request their common ID, and those that have none
// of their own one that is made of it.
func identify(events []Event, id string) {
	pages := wire.Pages{Expect: len(events) * (len(id) + len(".999"))}
	var buf [64]byte
	for i := range events {
		e := &events[i]
		e.Request.ID = id
		switch {
		case e.ID != "":
		case len(events) == 1:
			e.ID = id
		default:
			e.ID = wire.Text(pages.Copy(strconv.AppendInt(append(append(buf[:0], id...), '.'), int64(i), 10)))
		}
	}
}
