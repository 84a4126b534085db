package beacon

import (
	"errors"
	"slices"
	"time"

	"github.com/pagebeacon/beacon/internal/pagetoken"
	"github.com/pagebeacon/beacon/internal/wire"
)

// tokenParam is the query parameter that has the token of a page where the body is the
// page's own.
const tokenParam = "_t"

// tokens is what is known of page tokens; see [Config.TokenKeys].
type tokens struct {
	keys     *pagetoken.Keys
	required bool
}

// cut takes the token out of the query and returns it: whoever reads stored events
// could send others with it. Of several parameters the first is meant, and none is kept.
// One that is too long is no token and stays, so that nothing of size is kept alive unseen.
func (t *tokens) cut(e *Event) string {
	if t.keys.None() {
		return ""
	}
	isToken := func(f Field) bool { return f.Name == tokenParam && len(f.Value) <= pagetoken.MaxLen }
	i := slices.IndexFunc(e.Query, isToken)
	if i < 0 {
		return ""
	}
	token := e.Query[i].Value
	if e.Query = slices.DeleteFunc(e.Query, isToken); len(e.Query) == 0 {
		e.Query = nil
	}
	return token
}

// verify marks e if the query had a valid token or an envelope in body has one, and
// refuses what has to have one.
func (t *tokens) verify(e *Event, token string, body []byte) error {
	if t.keys.None() {
		return nil
	}
	now := time.Now()
	e.Verified = t.keys.Check(token, now) || t.keys.Check(wire.EnvelopeToken(body), now)
	if t.required && !e.Verified {
		return refusal(ReasonToken, errors.New("none that is valid: forged, older than 48 hours, or of a key that is not here"))
	}
	return nil
}
