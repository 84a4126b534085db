package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

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

// A demo is the application: a beacon endpoint, the log it writes, and the pages that
// send beacons and show what arrived.
type demo struct {
	log     *log.Logger
	dir     string    // where events are kept
	name    string    // of this server, besides localhost and addresses
	began   time.Time // when the program did
	recent  recent
	view    atomic.Pointer[view]
	storing sync.Mutex // held while what is kept changes
	store   *store
	opened  chan struct{} // closed when store is there
	events  *spool.Spool  // in front of the store
	beacons *beacon.Handler
	offline atomic.Bool // the endpoint hangs up
}

// newDemo returns a demo that keeps its events in dir.
func newDemo(logger *log.Logger, dir string) (*demo, error) {
	d := &demo{log: logger, dir: dir, began: time.Now(), recent: recent{keep: kept, room: keptBytes}, opened: make(chan struct{})}
	var err error
	// First of all, since it makes sure that no other demo uses dir.
	d.events, err = spool.Open(filepath.Join(dir, "spool"), beacon.SinkFunc(d.consume), spool.Options{
		MaxBytes: 64 << 20,
		Logger:   slog.New(slog.NewTextHandler(logger.Writer(), nil)),
	})
	if err != nil {
		return nil, err
	}
	d.beacons, err = beacon.New(beacon.Config{
		Sink: d.events,
		// Ample for a page. Together they bound what the events of one request can take.
		MaxBody:     128 << 10,
		MaxInFlight: 4 << 20,
		Limits:      beacon.Limits{MaxDecoded: 256 << 10, MaxEvents: 100, MaxQuery: 4 << 10},
		OnRefused: func(r *http.Request, body []byte, why *beacon.RequestError) {
			d.log.Printf("Not taken: %d %q", why.Status, why.Error())
			d.view.Load().live.Refused(r, body, why)
		},
	})
	if err != nil {
		return nil, err
	}
	v, err := d.newView()
	if err != nil {
		return nil, err
	}
	d.view.Store(v)
	show := func(e beacon.Event) {
		if a, err := newArrival(e); err == nil {
			d.recent.add(a) // it was logged when it came
			_ = v.add(context.Background(), a)
		}
	}
	if d.store, err = openStore(dir, show, d.recent.all); err != nil {
		return nil, err
	}
	d.recent.begin()
	close(d.opened) // what the last run took and did not store is stored now
	return d, nil
}

func (d *demo) routes() http.Handler {
	mux := http.NewServeMux()
	// No method: with one, the mux would answer preflights itself.
	mux.HandleFunc(endpoint, func(w http.ResponseWriter, r *http.Request) {
		if d.offline.Load() {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		d.beacons.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /live/", func(w http.ResponseWriter, r *http.Request) { d.view.Load().live.ServeHTTP(w, r) })
	mux.HandleFunc("GET /api/visit", d.serveVisit)
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, d.recent.all()) })
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, d.beacons.Stats()) })
	mux.Handle("GET /ready", d.beacons.Ready())
	own := http.NewCrossOriginProtection()
	mux.Handle("POST /api/offline", own.Handler(http.HandlerFunc(d.setOffline)))
	mux.Handle("POST /api/forget", own.Handler(http.HandlerFunc(d.forget)))
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
func (d *demo) consume(ctx context.Context, events []beacon.Event) error {
	<-d.opened
	d.storing.Lock()
	defer d.storing.Unlock()
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
		for _, line := range a.log() {
			d.log.Print(line)
		}
		d.recent.add(a)
		// It is stored: what cannot be shown is in the file all the same.
		_ = d.view.Load().add(ctx, a)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // nobody is left to tell
}
