package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// A result is what became of all requests.
type result struct {
	events   map[string]bool // the IDs of those that are there
	views    int
	sessions []sessions.Session
}

// hash tells whether two tables of sessions are the same, in every column of every row.
func (r result) hash() string {
	var rows []string
	for _, s := range r.sessions {
		rows = append(rows, fmt.Sprintf("%+v", s))
	}
	slices.Sort(rows)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(rows, "\n"))))[:16]
}

// differs returns an error unless both have the same events and the same sessions.
func (r result) differs(from result) error {
	if !maps.Equal(r.events, from.events) {
		return errors.New("the fleet has other events")
	}
	if r.views != from.views || r.hash() != from.hash() {
		return errors.New("the fleet has other sessions")
	}
	return nil
}

// stored is what the fleet has brought to the database.
func stored(ctx context.Context, s *store.Store) (result, error) {
	r := result{events: map[string]bool{}}
	for e, err := range s.Events(ctx, store.Query{}) {
		if err != nil {
			return r, err
		}
		r.events[e.ID] = true
	}
	views, err := s.PageViews(ctx, store.Query{})
	if err != nil {
		return r, err
	}
	r.views = len(views)
	r.sessions, err = s.Sessions(ctx, store.Query{})
	return r, err
}

// replayed is what one process makes of the same requests when they come to it one after
// the other, with neither a spool nor a log nor a database: what is right.
func replayed(ctx context.Context, requests []visits.Request) (result, error) {
	var mu sync.Mutex
	r := result{events: map[string]bool{}}
	views := map[[2]string]beacon.PageView{}
	memory := func(_ context.Context, events []beacon.Event) error {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			r.events[e.ID] = true
			if v, ok := (sessions.Source{}).PageView(e); ok {
				key := [2]string{v.Session, v.View}
				if known, ok := views[key]; ok {
					v = v.Join(known)
				}
				views[key] = v
			}
		}
		return nil
	}
	beacons, err := newHandler(beacon.SinkFunc(memory))
	if err != nil {
		return r, err
	}
	site, err := serve("127.0.0.1:0", beacons)
	if err != nil {
		return r, err
	}
	defer site.stop(ctx)
	one := player{receivers: []string{site.url()}, browsers: 1}
	if err := one.play(ctx, requests); err != nil {
		return r, err
	}
	r.views = len(views)
	r.sessions = sessions.Of(slices.Collect(maps.Values(views)), sessions.Rules{})
	return r, nil
}
