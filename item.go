package beacon

import (
	"fmt"

	"github.com/pagebeacon/beacon/internal/wire"
)

// What a JSON text becomes in an event, whether it is all of a body or an item of a batch.

func tooDeep(lim *bounds) error { return fmt.Errorf("JSON nests deeper than %d", lim.MaxDepth) }

// sniffJSON makes the body JSON if it is a JSON object or array, and says whether it is.
func (e *Event) sniffJSON(body []byte, lim *bounds) bool {
	if !wire.LooksLikeJSON(body) {
		return false
	}
	switch wire.CheckJSON(body, lim.MaxDepth) {
	case wire.JSONValid:
		e.Body = JSON(body)
		return true
	case wire.JSONTooDeep:
		e.note("body", "", tooDeep(lim).Error())
	}
	return false
}

// setJSON makes b, of which the status is known, the event's body: JSON, or Binary
// with a note if it is not.
func (e *Event) setJSON(b []byte, status wire.JSONStatus, lim *bounds) {
	if status == wire.JSONValid {
		e.Body = JSON(b)
		return
	}
	e.Body = Binary{Type: e.Request.ContentType, Data: b}
	if status == wire.JSONTooDeep {
		e.note("body", "", tooDeep(lim).Error())
	} else {
		e.note("body", wire.Text(b), "not valid JSON")
	}
}

// setItem does it with an item of a batch, which is never refused for one of them.
func (e *Event) setItem(b []byte, lim *bounds) { e.setJSON(b, wire.CheckJSON(b, lim.MaxDepth), lim) }

// note adds to what in the event did not fit.
func (e *Event) note(key, value, reason string) {
	e.Errors = append(e.Errors, fieldError(key, value, reason))
}
