package pagetoken_test

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/pagetoken"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 59, 59, 0, time.UTC)
	first  = []byte("0123456789abcdef")
	second = bytes.Repeat([]byte("key"), 20)
)

// TestKnownToken: servers of another version have to agree on it.
func TestKnownToken(t *testing.T) {
	const want = "v1.ajvo.gkvvkJRnrARo-uKNVxZawQ"
	if got := pagetoken.New([][]byte{first, second}).Make(noon); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCheck(t *testing.T) {
	old, both, turned, stranger := pagetoken.New([][]byte{first}), pagetoken.New([][]byte{first, second}),
		pagetoken.New([][]byte{second, first}), pagetoken.New([][]byte{second})
	token := old.Make(noon)
	hour, mac := token[:8], token[8:]
	for _, tt := range []struct {
		name, token string
		by          *pagetoken.Keys
		after       time.Duration
		want        bool
	}{
		{"at once", token, old, 0, true},
		{"after two days", token, old, 48 * time.Hour, true},
		{"in the hour after", token, old, 48*time.Hour + 1*time.Second, false}, // noon is the end of its hour
		{"from a clock that is ahead", token, old, -time.Hour, true},
		{"from the future", token, old, -2 * time.Hour, false},
		{"a second key", token, both, time.Hour, true},
		{"a key that signs no more", token, turned, time.Hour, true},
		{"a key that is gone", token, stranger, time.Hour, false},
		{"no keys", token, pagetoken.New(nil), 0, false},
		{"nothing", "", old, 0, false},
		{"another hour", "v1." + both.Make(noon.Add(time.Hour))[3:8] + mac, old, time.Hour, false},
		{"upper case", strings.ToUpper(hour[3:]) + mac, old, 0, false},
		{"an hour in upper case", "v1." + strings.ToUpper(hour[3:]) + mac, old, 0, false},
		{"a zero in front", "v1.0" + token[3:], old, 0, false},
		{"a sign", "v1.+" + token[3:], old, 0, false},
		{"another version", "v2" + token[2:], old, 0, false},
		{"no version", token[3:], old, 0, false},
		{"no mac", hour, old, 0, false},
		{"a short mac", token[:len(token)-1], old, 0, false},
		{"more behind", token + "=", old, 0, false},
		{"very long", token + strings.Repeat("A", 1<<16), old, 0, false},
		{"the last bits", token[:len(token)-1] + string(token[len(token)-1]+1), old, 0, false}, // base64 has four to spare there
		{"an hour beyond numbers", "v1.zzzzzzzzzzzzzzzzzzzz" + mac, old, 0, false},
		{"an hour before all", "v1.-1" + mac, old, time.Hour - time.Duration(noon.UnixNano()), false},
		{"the clock of a machine that lost it", old.Make(time.Unix(0, 0)), old, time.Hour - time.Duration(noon.UnixNano()), true},
	} {
		if got := tt.by.Check(tt.token, noon.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %s is valid: %v", tt.name, tt.token, got)
		}
	}
}

// TestKeysAreCopied: what the caller does to them later changes nothing, and more hours
// than are remembered do not either.
func TestKeysAreCopied(t *testing.T) {
	secret := bytes.Clone(first)
	k := pagetoken.New([][]byte{secret})
	clear(secret)
	if !pagetoken.New([][]byte{first}).Check(k.Make(noon), noon) {
		t.Error("the key changed with the caller's")
	}
	for h := range time.Duration(200) {
		now := noon.Add(h * time.Hour)
		if token := k.Make(now); !k.Check(token, now) || !pagetoken.New([][]byte{first}).Check(token, now) {
			t.Fatalf("after %d hours %s is not valid", h, token)
		}
	}
}

// FuzzToken: only what a key made, to the letter, is a token of it.
func FuzzToken(f *testing.F) {
	k, alone := pagetoken.New([][]byte{first, second}), pagetoken.New([][]byte{second})
	token := k.Make(noon)
	for _, s := range []string{token, "", "v1.", "v1..", token + token, strings.Replace(token, ".", "..", 1), "v1." + hex.EncodeToString(first)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		valid := false
		for h := range time.Duration(50) {
			at := noon.Add((1 - h) * time.Hour)
			valid = valid || s == k.Make(at) || s == alone.Make(at)
		}
		if got := k.Check(s, noon); got != valid {
			t.Errorf("%q is valid: %v", s, got)
		}
	})
}

// TestClockBefore1970: it makes tokens that are good for nothing, and no panic.
func TestClockBefore1970(t *testing.T) {
	k, then := pagetoken.New([][]byte{first}), time.Unix(-1e9, 0)
	if k.Check(k.Make(then), then) {
		t.Error("valid")
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	k, same := pagetoken.New([][]byte{first, second}), pagetoken.New([][]byte{first})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for h := range time.Duration(130) { // each slot several times
				if now := noon.Add(h * time.Hour); !k.Check(same.Make(now), now) {
					t.Errorf("after %d hours", h)
				}
			}
		})
	}
	all.Wait()
}

// TestShape: it has to fit a URL, an HTML attribute and a JSON string as it is.
func TestShape(t *testing.T) {
	shape := regexp.MustCompile(`^v1\.[0-9a-z]+\.[0-9A-Za-z_-]{22}$`)
	if token := pagetoken.New([][]byte{first}).Make(noon); !shape.MatchString(token) || len(token) > pagetoken.MaxLen {
		t.Error(token)
	}
}

func BenchmarkCheck(b *testing.B) {
	k := pagetoken.New([][]byte{first, second})
	token := k.Make(noon)
	b.ReportAllocs()
	for b.Loop() {
		if !k.Check(token, noon) {
			b.Fatal("not valid")
		}
	}
}
