package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sessions"
)

// A view is what is made of the events in memory, and the page that shows it.
type view struct {
	live    *live.Live
	tracker *sessions.Tracker
}

func (d *demo) newView() (*view, error) {
	l, err := live.New(live.Options{
		Title: "Live", Frame: true,
		// The visits are those that the browser client counts. What a form or a sample says
		// of the same visit is an event, and would be another one.
		Source: sessions.Source{Start: "not by hand", End: "not by hand"},
		Stats:  func() beacon.Stats { return d.beacons.Stats() },
		Checks: []live.Check{{Name: "Spool", Healthy: d.events.Healthy, Stats: func() any { return d.events.Stats() }}},
	})
	if err != nil {
		return nil, err
	}
	t, err := sessions.NewTracker(sessions.TrackerOptions{MaxBytes: 16 << 20, Every: 10 * time.Second, OnRevision: d.logSession})
	return &view{l, t}, err
}

// add shows an event, which it may do more than once.
func (v *view) add(ctx context.Context, a arrival) error {
	_ = v.live.Consume(ctx, []beacon.Event{a.shown()}) // never fails
	if a.Session == "" {
		return nil // a visit of its own, which the log had when it came
	}
	return v.tracker.Consume(ctx, []beacon.Event{a.Event})
}

func (v *view) close(ctx context.Context) error {
	_ = v.live.Close(ctx) // never fails
	return v.tracker.Close(ctx)
}

// logSession logs what becomes of the sessions of the browser client, but for those that
// an earlier run of the demo has logged.
func (d *demo) logSession(_ context.Context, r sessions.Revision) {
	s := r.Session
	if r.Kind == sessions.Withdrawn || r.Reason == sessions.ReasonClosed || s.End.Before(d.began) {
		return
	}
	views := "1 page view"
	if s.Views != 1 {
		views = fmt.Sprint(s.Views, " page views")
	}
	d.log.Printf("Session %s %s: In session for: %s, engaged for %s, %s", printable(short(s.Key)), r.Kind,
		beacon.Session{Start: s.Start, End: s.End}, beacon.Session{Start: s.Start, End: s.Start.Add(s.Engaged)}, views)
}

// serveVisit answers what the server knows of one visitor, what came of anybody since the
// page asked last, and how much that is in all. Times are milliseconds.
func (d *demo) serveVisit(w http.ResponseWriter, r *http.Request) {
	type session struct {
		ID      string  `json:"id"`
		Elapsed float64 `json:"elapsed"`
		Engaged float64 `json:"engaged"`
		Views   int     `json:"views"`
		Logged  uint64  `json:"logged"`
	}
	var answer struct {
		Session *session `json:"session,omitempty"` // the last one
		// Until is how far the reports of its page views reach, on the visitor's clock.
		Until float64 `json:"until,omitempty"`
		Came  []came  `json:"came"`
		N     uint64  `json:"n"` // of the last that came
		// Of this run of the server, and what is kept of this one and those before.
		Taken     uint64 `json:"taken"`
		Refused   uint64 `json:"refused"`
		Kept      int    `json:"kept"`
		KeptBytes int    `json:"keptBytes"`
		Dir       string `json:"dir"`
	}
	after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
	answer.Came, answer.N = d.recent.since(after)
	if err != nil {
		answer.Came = []came{} // it only wants to know where it is
	}
	stats := d.beacons.Stats()
	answer.Taken, answer.Refused, answer.Dir = stats.Events, stats.Failed, d.dir
	for _, n := range stats.Refused {
		answer.Refused += n
	}
	answer.Kept, answer.KeptBytes = d.recent.size()
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	if key := r.FormValue("session"); key != "" {
		views := d.view.Load().tracker.PageViews(key)
		for _, v := range views {
			if !v.Activity && !v.End.IsZero() {
				answer.Until = max(answer.Until, float64(v.End.UnixMicro())/1e3)
			}
		}
		if all := sessions.Of(views, sessions.Rules{}); len(all) > 0 {
			s := all[len(all)-1]
			answer.Session = &session{s.ID, millis(s.Elapsed()), millis(s.Engaged), s.Views, s.Logged}
		}
	}
	writeJSON(w, answer)
}

// forget forgets all events, those in the file as well.
func (d *demo) forget(w http.ResponseWriter, r *http.Request) {
	d.storing.Lock()
	defer d.storing.Unlock()
	fresh, err := d.newView()
	if err == nil {
		d.recent.clear()
		if err = d.store.rewrite(); err != nil {
			_ = fresh.close(r.Context()) // it has nothing
		}
	}
	if err != nil {
		d.log.Print("Not forgotten: ", err)
		http.Error(w, "the file could not be written", http.StatusInternalServerError)
		return
	}
	_ = d.view.Swap(fresh).close(r.Context()) // all it had is to be forgotten
	w.WriteHeader(http.StatusNoContent)
}
