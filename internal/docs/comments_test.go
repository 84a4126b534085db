package docs

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// TestCommentFragments finds the Go in comments in a file that a test runs.
func TestCommentFragments(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(files)
	n := 0
	for _, name := range files.names(".go") {
		for _, f := range commentFragments(files, name) {
			n++
			if _, err := c.check(f); err != nil {
				t.Error(err)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d fragments were found: they are looked for in the wrong way", n)
	}
}

func TestCommentFragmentsFound(t *testing.T) {
	files := tree{"p/p.go": "// Package p is\n//\n//\ta := f(1)\n//\t…\n//\tg(a)\n//\n// and not\n//\n//\tA = B + C\n//\n//\tgo run .\npackage p\n\n" +
		"// hidden is\n//\n//\th()\nfunc hidden() {}\n\n// F is\n//\n//\ti()\nfunc F() {}\n"}
	files["internal/p/p.go"], files["p/p_test.go"], files["examples/p/p.go"] = files["p/p.go"], files["p/p.go"], files["p/p.go"]
	var got []string
	for _, name := range files.names(".go") {
		for _, f := range commentFragments(files, name) {
			got = append(got, f.String()+": "+f.text)
		}
	}
	if want := []string{"p/p.go:3: a := f(1)\n…\ng(a)\n", "p/p.go:21: i()\n"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// saver is a host's own store.
type saver struct{ beacontest.Recorder }

func (s *saver) Save(ctx context.Context, events []beacon.Event) error { return s.Consume(ctx, events) }

// TestCommentBeacon is package beacon's.
func TestCommentBeacon(t *testing.T) {
	store, mux := new(saver), http.NewServeMux()
	h, err := beacon.New(beacon.Config{
		Sink: beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
			return store.Save(ctx, events)
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/log-tracking", h) // no method: the mux would answer preflights itself
	send(t, mux, "/log-tracking", http.StatusNoContent)
	if n := len(store.Events()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestCommentClient is package client's.
func TestCommentClient(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/assets/", client.Handler())
	for path, status := range map[string]int{"/assets/_pb.js": 200, "/assets/_pb.mjs": 200, "/assets/nothing.js": 404} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestCommentLimit is package limit's.
func TestCommentLimit(t *testing.T) {
	store := new(beacontest.Recorder)
	limiter, err := limit.New(limit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := beacon.New(limiter.Guard(beacon.Config{Sink: store}))
	if err != nil {
		t.Fatal(err)
	}
	send(t, h, "/", http.StatusNoContent)
	if s := limiter.Stats(); s.Admitted != 1 {
		t.Errorf("%+v", s)
	}
}

// TestCommentLive is package live's.
func TestCommentLive(t *testing.T) {
	store, mux := new(beacontest.Recorder), http.NewServeMux()
	requireLogin := func(next http.Handler) http.Handler { return next }
	l, err := live.New(live.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{
		Sink:      sink.Tee(sink.Required(store), sink.BestEffort(l, nil)),
		OnRefused: l.Refused,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/admin/live/", requireLogin(l))
	send(t, h, "/", http.StatusNoContent)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/admin/live/", nil))
	if w.Code != http.StatusOK {
		t.Error(w.Code)
	}
}

// TestCommentSpool is package spool's.
func TestCommentSpool(t *testing.T) {
	t.Chdir(t.TempDir())
	store := new(beacontest.Recorder)
	events, err := spool.Open("beacons", store, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		t.Fatal(err)
	}
	send(t, h, "/", http.StatusNoContent)
	if err := events.Close(t.Context()); err != nil || len(store.Events()) != 1 {
		t.Errorf("%v, %d events", err, len(store.Events()))
	}
}

// TestCommentSink is package sink's.
func TestCommentSink(t *testing.T) {
	store := new(beacontest.Recorder)
	s := sink.Retry(sink.Batch(store, sink.BatchOptions{}), sink.RetryOptions{})
	h, err := beacon.New(beacon.Config{Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	send(t, h, "/", http.StatusNoContent)
}

func send(t *testing.T, h http.Handler, path string, status int) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest(path, beacon.Text("bye")))
	if w.Code != status {
		t.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
}
