// Package pagetoken makes and checks the tokens that a page carries, by which its
// server knows later that somebody had loaded it.
package pagetoken

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// MinKey is the least length of a key in bytes: that of what HMAC is cut to here.
const MinKey = 16

// MaxLen is more than any token has.
const MaxLen = 64

// A token is "v1.<hour>.<mac>": the hour of Unix time in which it was made, to the base
// of 36, and 128 bits of an HMAC-SHA256 of what stands in front of it, in base64url.
const (
	version = "v1."
	context = "beacon page token " // keeps apart what else the host signs with its key
)

const (
	lifetime = 48 // hours, and what is left of the last
	skew     = 1  // hours by which the clock of another server may be ahead
)

// slots has room for all hours that are valid at a time.
const slots = 64

// Keys make and check tokens. They are safe for concurrent use.
type Keys struct{ keys []key }

// A key remembers its tokens: of the few dozen that are valid at a time each is computed
// once, and what a stranger sends is only compared.
type key struct {
	secret []byte
	tokens *[slots]atomic.Pointer[token]
}

type token struct {
	hour int64
	text string
}

// New returns Keys of which the first makes tokens and all check them. It keeps no
// reference to secrets. Each has to have [MinKey] bytes.
func New(secrets [][]byte) *Keys {
	k := &Keys{keys: make([]key, len(secrets))}
	for i, secret := range secrets {
		k.keys[i] = key{bytes.Clone(secret), new([slots]atomic.Pointer[token])}
	}
	return k
}

// None says whether there are no keys, and so no tokens.
func (k *Keys) None() bool { return len(k.keys) == 0 }

// Make returns the token of a page that is written now, or "" without keys.
func (k *Keys) Make(now time.Time) string {
	if k.None() {
		return ""
	}
	return k.keys[0].token(hourOf(now))
}

// Check says whether text is a token that one of the keys made in the last 48 hours. How
// long it takes tells nothing of a token that is valid.
func (k *Keys) Check(text string, now time.Time) bool {
	if len(text) > MaxLen {
		return false
	}
	rest, ok := strings.CutPrefix(text, version)
	made, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(made, 36, 32)
	hour := int64(n)
	if age := hourOf(now) - hour; !ok || err != nil || age > lifetime || age < -skew {
		return false
	}
	valid := 0
	for _, key := range k.keys {
		// All of the text is compared, so that there is one way to write a token.
		valid |= subtle.ConstantTimeCompare([]byte(key.token(hour)), []byte(text))
	}
	return valid == 1
}

func hourOf(t time.Time) int64 { return t.Unix() / int64(time.Hour/time.Second) }

func (k *key) token(hour int64) string {
	slot := &k.tokens[uint64(hour)%slots]
	if t := slot.Load(); t != nil && t.hour == hour {
		return t.text
	}
	signed := strconv.AppendInt([]byte(version), hour, 36)
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(context))
	mac.Write(signed)
	text := append(signed, '.')
	t := &token{hour, string(base64.RawURLEncoding.AppendEncode(text, mac.Sum(nil)[:16]))}
	slot.Store(t) // whoever did it at the same time made the same
	return t.text
}
