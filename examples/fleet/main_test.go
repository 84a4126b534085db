package main

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/sessions"
)

// TestFleet runs all of it. What it is to show it compares itself.
func TestFleet(t *testing.T) {
	for name, o := range map[string]options{
		"sqlite":     {visits: 100, db: "sqlite"},
		"postgresql": {visits: 100, db: "postgresql"},
		"chaos":      {visits: 100, db: "sqlite", chaos: true, load: 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), o, &out)
			if errors.Is(err, errNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			hashes := regexp.MustCompile(`their hash +([0-9a-f]{16}) +([0-9a-f]{16})\n`).FindStringSubmatch(out.String())
			if hashes == nil || hashes[1] != hashes[2] {
				t.Errorf("it says\n%s", &out)
			}
			if sent := regexp.MustCompile(`Sent [1-9][0-9]{3,} requests`); !sent.MatchString(out.String()) {
				t.Errorf("no load: it says\n%s", &out)
			}
			for _, part := range []string{"node", "receiver", "consumer"} {
				if gone := regexp.MustCompile(part + ` \d.* goes`).MatchString(out.String()); gone != o.chaos {
					t.Errorf("a %s goes: %v, want %v\n%s", part, gone, o.chaos, &out)
				}
			}
		})
	}
}

// TestDiffers: what the program compares does not agree by itself.
func TestDiffers(t *testing.T) {
	one := func() result {
		return result{events: map[string]bool{"a": true, "b": true}, views: 1, sessions: []sessions.Session{{ID: "s", Engaged: time.Second}}}
	}
	if err := one().differs(one()); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*result){
		"an event is missing":    func(r *result) { delete(r.events, "a") },
		"another event":          func(r *result) { delete(r.events, "a"); r.events["c"] = true },
		"a page view is missing": func(r *result) { r.views-- },
		"a session is missing":   func(r *result) { r.sessions = nil },
		"a session is there twice": func(r *result) {
			r.sessions = append(r.sessions, r.sessions...)
		},
		"a session is a microsecond longer": func(r *result) { r.sessions[0].Engaged += time.Microsecond },
	} {
		other := one()
		change(&other)
		if one().differs(other) == nil || other.differs(one()) == nil {
			t.Errorf("%s, and nobody sees it", what)
		}
	}
}
