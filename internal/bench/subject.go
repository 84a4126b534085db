package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// A server is a handler that is measured over net/http, with the answer it has to give.
type server struct {
	name    string
	handler http.Handler
	request []byte
	status  int
}

// measure compares the servers with the first, the floor.
func measure(o pair.Options, servers ...server) ([]pair.Result, error) {
	subjects := make([]pair.Subject, 0, len(servers))
	for _, s := range servers {
		client := memconn.New(s.handler, s.request, s.status)
		defer client.Close()
		subjects = append(subjects, pair.Subject{Name: s.name, Run: client.Do})
	}
	return pair.Measure(o, subjects[0], subjects[1:]...)
}

// nowhere takes all events.
var nowhere = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

func newHandler(c beacon.Config) *beacon.Handler {
	if c.Sink == nil {
		c.Sink = nowhere
	}
	h, err := beacon.New(c)
	if err != nil {
		panic(err)
	}
	return h
}

var onEnded = beacon.On(func(context.Context, beacon.Event, peers.Ended) error { return nil })

// What follows is what hosts write without beacon, beside package peers.

// taken is what becomes of what they read: nothing.
func taken[T any](*T) error { return nil }

func stdText(w http.ResponseWriter, r *http.Request) {
	_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	answer(w, err)
}

func stdLines(w http.ResponseWriter, r *http.Request) {
	type click struct {
		Event, Target, Path string
		X, Y                int
		Time                int64
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	var clicks []click
	for {
		var v click
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			answer(w, err)
			return
		}
		clicks = append(clicks, v)
	}
	answer(w, taken(&clicks))
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

type browserReport struct {
	Age       float64         `json:"age"`
	Type      string          `json:"type"`
	URL       string          `json:"url"`
	UserAgent string          `json:"user_agent"`
	Body      json.RawMessage `json:"body"`
}
