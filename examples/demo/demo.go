package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/spool"
)

// kept is how many events the server remembers, so that a page shows what the
// one before it sent while it was being left.
const kept = 200

// A demo is the application: a beacon endpoint, the log it writes, and the page
// that shows what arrived.
type demo struct {
	log     *log.Logger
	hub     *hub
	store   *store
	opened  chan struct{} // closed when store is there
	events  *spool.Spool  // in front of the store
	beacons *beacon.Handler
	offline atomic.Bool // the endpoint hangs up
}

// newDemo returns a demo that keeps its events in dir.
func newDemo(logger *log.Logger, dir string) (*demo, error) {
	d := &demo{log: logger, hub: newHub(kept), opened: make(chan struct{})}
	var err error
	// First of all, since it makes sure that no other demo uses dir.
	d.events, err = spool.Open(filepath.Join(dir, "spool"), beacon.SinkFunc(d.consume), spool.Options{
		MaxBytes: 256 << 20,
		Logger:   slog.New(slog.NewTextHandler(logger.Writer(), nil)),
	})
	if err != nil {
		return nil, err
	}
	var last []beacon.Event
	if d.store, last, err = openStore(dir, kept); err != nil {
		return nil, err
	}
	for _, e := range last {
		d.show(e, log.New(io.Discard, "", 0)) // it was logged when it came
	}
	close(d.opened) // what the last run took and did not store is stored now
	d.beacons, err = beacon.New(beacon.Config{
		Sink: d.events,
		// Ample for a page, and it bounds what all kept events can take.
		MaxBody: 128 << 10,
		Limits:  beacon.Limits{MaxDecoded: 256 << 10},
		OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
			d.log.Printf("Not taken: %d %q", why.Status, why.Error())
		},
	})
	return d, err
}

func (d *demo) routes() http.Handler {
	mux := http.NewServeMux()
	// No method: with one, the mux would answer preflights itself.
	mux.HandleFunc("/log-tracking", func(w http.ResponseWriter, r *http.Request) {
		if d.offline.Load() {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		d.beacons.ServeHTTP(w, r)
		d.hub.wake() // the counters changed, even where no event came of it
	})
	mux.HandleFunc("GET /events", d.serveEvents)
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.hub.events())
	})
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.beacons.Stats())
	})
	mux.Handle("GET /ready", d.beacons.Ready())
	mux.HandleFunc("POST /api/offline", func(w http.ResponseWriter, r *http.Request) {
		var state [2]byte
		_, err := io.ReadFull(r.Body, state[:])
		d.offline.Store(err == nil && string(state[:]) == "on")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /"+client.Script, client.Handler())
	addPages(mux)
	return mux
}

// consume is the sink behind the spool: it stores the events, logs them, and shows
// them to the page.
func (d *demo) consume(_ context.Context, events []beacon.Event) error {
	<-d.opened
	events, err := d.store.add(events)
	if err != nil {
		return err // the spool will try again
	}
	for _, e := range events {
		d.show(e, d.log)
	}
	return nil
}

// show adds an event to the page, and to the log.
func (d *demo) show(e beacon.Event, log *log.Logger) {
	data, err := json.Marshal(e)
	if err != nil {
		log.Printf("Not shown: %v", err) // cannot be: it was stored like this
		return
	}
	it := item{Event: data}
	switch s, err := beacon.SessionOf(e); {
	case err == nil:
		it.Session = s.String()
		log.Printf("In session for: %s", s)
		log.Printf("Tracking info: %s", printable(message(e)))
	case e.Name == "log": // of the browser client
		log.Printf("Tracking info: %s", printable(message(e)))
	case errors.Is(err, beacon.ErrNoSession):
		log.Printf("Received: %s, name %q, type %q", e.Body.Kind(), e.Name, e.Request.ContentType)
	default:
		it.Problem = err.Error()
		log.Printf("Session not readable: %s", printable(err.Error()))
	}
	d.hub.add(it)
}

// message returns what the page says was done, from whatever kind of body it
// chose for that.
func message(e beacon.Event) string {
	var v struct {
		Msg string `json:"msg" schema:"msg"`
	}
	_ = e.Bind(&v) // what does not fit is no message
	return cmp.Or(v.Msg, e.Name)
}

// printable quotes text of the client's that could be taken for something else in
// a log.
func printable(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // nobody is left to tell
}
