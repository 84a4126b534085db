package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/spool"
)

// What the server remembers, so that a page shows what the one before it sent while it
// was being left: events, and bytes of their JSON form.
const (
	kept      = 200
	keptBytes = 4 << 20
)

// endpoint is where beacons go.
const endpoint = "/log-tracking"

// A demo is the application: a beacon endpoint, the log it writes, and the page
// that shows what arrived.
type demo struct {
	log     *log.Logger
	name    string // of this server, besides localhost and addresses
	hub     *hub
	store   *store
	opened  chan struct{} // closed when store is there
	events  *spool.Spool  // in front of the store
	beacons *beacon.Handler
	offline atomic.Bool // the endpoint hangs up
}

// newDemo returns a demo that keeps its events in dir.
func newDemo(logger *log.Logger, dir string) (*demo, error) {
	d := &demo{log: logger, hub: newHub(kept, keptBytes), opened: make(chan struct{})}
	var err error
	// First of all, since it makes sure that no other demo uses dir.
	d.events, err = spool.Open(filepath.Join(dir, "spool"), beacon.SinkFunc(d.consume), spool.Options{
		MaxBytes: 64 << 20,
		Logger:   slog.New(slog.NewTextHandler(logger.Writer(), nil)),
	})
	if err != nil {
		return nil, err
	}
	show := func(e beacon.Event) {
		if a, err := newArrival(e); err == nil {
			d.hub.add(a.item) // it was logged when it came
		}
	}
	if d.store, err = openStore(dir, show, d.hub.events); err != nil {
		return nil, err
	}
	d.beacons, err = beacon.New(beacon.Config{
		Sink: d.events,
		// Ample for a page. Together they bound what the events of one request can take.
		MaxBody:     128 << 10,
		MaxInFlight: 4 << 20,
		Limits:      beacon.Limits{MaxDecoded: 256 << 10, MaxEvents: 100, MaxQuery: 4 << 10},
		OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
			d.log.Printf("Not taken: %d %q", why.Status, why.Error())
		},
	})
	if err != nil {
		return nil, err
	}
	d.hub.count(d.stats)
	close(d.opened) // what the last run took and did not store is stored now
	return d, nil
}

// stats returns the counters of the handler as JSON.
func (d *demo) stats() []byte {
	data, _ := json.Marshal(d.beacons.Stats()) // numbers and words: it always works
	return data
}

func (d *demo) routes() http.Handler {
	mux := http.NewServeMux()
	// No method: with one, the mux would answer preflights itself.
	mux.HandleFunc(endpoint, func(w http.ResponseWriter, r *http.Request) {
		if d.offline.Load() {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		d.beacons.ServeHTTP(w, r)
		d.hub.count(d.stats) // also where no event came of it
	})
	mux.HandleFunc("GET /events", d.serveEvents)
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.hub.events())
	})
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.beacons.Stats())
	})
	mux.Handle("GET /ready", d.beacons.Ready())
	mux.Handle("POST /api/offline", http.NewCrossOriginProtection().Handler(http.HandlerFunc(d.setOffline)))
	mux.Handle("GET /"+client.Script, client.Handler())
	addPages(mux)
	return d.guard(mux)
}

func (d *demo) setOffline(w http.ResponseWriter, r *http.Request) {
	var state [2]byte
	_, err := io.ReadFull(r.Body, state[:])
	d.offline.Store(err == nil && string(state[:]) == "on")
	w.WriteHeader(http.StatusNoContent)
}

// consume is the sink behind the spool: it stores the events, logs them, and shows
// them to the page.
func (d *demo) consume(_ context.Context, events []beacon.Event) error {
	<-d.opened
	arrived := make([]arrival, 0, len(events))
	for _, e := range events {
		a, err := newArrival(e)
		if err != nil {
			return err
		}
		arrived = append(arrived, a)
	}
	added, err := d.store.add(arrived)
	if err != nil {
		return err // the spool will try again
	}
	for _, a := range added {
		for _, line := range a.log {
			d.log.Print(line)
		}
		d.hub.add(a.item)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // nobody is left to tell
}
