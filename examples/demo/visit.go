package main

import (
	"context"
	"fmt"
	"net/http"
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
		Stats:  func() beacon.Stats { return d.beacons.Stats() },
		Checks: []live.Check{{Name: "Spool", Healthy: d.events.Healthy, Stats: func() any { return d.events.Stats() }}},
	})
	if err != nil {
		return nil, err
	}
	t, err := sessions.NewTracker(sessions.TrackerOptions{MaxBytes: 16 << 20, Every: 10 * time.Second, OnRevision: d.logSession})
	return &view{l, t}, err
}

// add shows events, which it may do more than once.
func (v *view) add(ctx context.Context, events []beacon.Event) error {
	_ = v.live.Consume(ctx, events) // never fails
	known := events[:0:0]
	for _, e := range events {
		if e.Session != "" { // others are a visit each, which the log had when they came
			known = append(known, e)
		}
	}
	return v.tracker.Consume(ctx, known)
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

// serveVisit answers what the server knows of one visitor, and what came last of anybody.
// Times are milliseconds.
func (d *demo) serveVisit(w http.ResponseWriter, r *http.Request) {
	type session struct {
		ID      string  `json:"id"`
		Elapsed float64 `json:"elapsed"`
		Engaged float64 `json:"engaged"`
		Views   int     `json:"views"`
		Logged  uint64  `json:"logged"`
	}
	answer := struct {
		Session *session `json:"session,omitempty"` // the last one
		// Until is how far the reports of its page views reach, on the visitor's clock.
		Until  float64 `json:"until,omitempty"`
		Latest latest  `json:"latest"`
	}{Latest: d.recent.last()}
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
