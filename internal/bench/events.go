package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// plain is an event as a host would write it down without beacon: what encoding/json
// makes of it is the yardstick of the JSON form.
type plain struct {
	ID, Name, Page, Session, View     string
	Time, Received                    time.Time
	Method, Host, Path, Origin, Agent string
	Body                              json.RawMessage
	Fields                            []struct{ Name, Value string } `json:",omitempty"`
}

func plainOf(e beacon.Event) (p plain) {
	p = plain{
		ID: e.ID, Name: e.Name, Page: e.Page, Time: e.Time, Received: e.Received,
		Method: e.Request.Method, Host: e.Request.Host, Path: e.Request.Path, Origin: e.Request.Origin, Agent: e.Request.UserAgent,
		Body: json.RawMessage("null"),
	}
	switch b := e.Body.(type) {
	case beacon.JSON:
		p.Body = json.RawMessage(b)
	case beacon.Form:
		for _, f := range b {
			p.Fields = append(p.Fields, struct{ Name, Value string }{f.Name, f.Value})
		}
	}
	return p
}

// eventOf is the event that a body becomes in a handler.
func eventOf(b bodies.Body) (e beacon.Event, err error) {
	h := newHandler(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		e = events[0]
		return nil
	})})
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b.Post())))
	if err != nil {
		return e, err
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		err = fmt.Errorf("%s: answered %d %s", b.Name, w.Code, w.Body)
	}
	return e, err
}

// operation is something that is done to an event.
type operation struct {
	key  string // for the targets, or none
	name string
	run  func(n int) error
}

// measure compares operations with the floor of whole requests, so that one target holds
// on machines that are not equally fast.
func (r *report) operations(title string, all []operation) error {
	body := bodies.Multipart(3, 0)
	floor := memconn.New(http.HandlerFunc(peers.Drain), body.Post(), http.StatusNoContent)
	defer floor.Close()
	var subjects []pair.Subject
	for _, o := range all {
		subjects = append(subjects, pair.Subject{Name: o.name, Run: o.run})
	}
	results, err := pair.Measure(r.Options, pair.Subject{Name: "floor", Run: floor.Do}, subjects...)
	if err != nil {
		return err
	}
	t := r.table(title, "what", "ns an event, median", "minimum", "allocations", "bytes", "part of the floor, median", "minimum")
	for i, res := range results[1:] {
		median, least := 1/res.Ratio, 1/res.RatioMin
		t.row(res.Name, ns(res.Median), ns(res.Min), ns(res.Allocs), ns(res.Bytes), ratio3(median), ratio3(least))
		if all[i].key != "" {
			r.reach(all[i].key, reached{median, least, res.Allocs})
		}
	}
	return t.end()
}

// forms measures the JSON form of events and what they are bound to.
func forms(r *report) error {
	all, err := eventOperations()
	if err != nil {
		return err
	}
	return r.operations("Events: their JSON form, and binding", all)
}

func eventOperations() (all []operation, err error) {
	for _, c := range []struct {
		short string
		body  bodies.Body
		into  func(e beacon.Event) func() error
	}{
		{"form of 3 fields", bodies.Multipart(3, 0), bindTo[peers.Ended]},
		{"JSON of 282 bytes", bodies.JSON(5), bindTo[peers.Vitals]},
		{"JSON of 4 KB", bodies.JSON(75), bindTo[peers.Vitals]},
	} {
		e, err := eventOf(c.body)
		if err != nil {
			return nil, err
		}
		text, err := e.AppendJSON(nil)
		if err != nil {
			return nil, err
		}
		buf := make([]byte, 0, 2*len(text))
		p := plainOf(e)
		plainText, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		add := func(key, what string, run func() error) {
			if key != "" {
				key += c.short
			}
			all = append(all, operation{key, c.short + ": " + what, repeat(run)})
		}
		add("append/", "**AppendJSON**", func() error { _, err := e.AppendJSON(buf); return err })
		add("", "json.Marshal of a plain struct", func() error { _, err := json.Marshal(&p); return err })
		add("read/", "**UnmarshalJSON**", func() error { return new(beacon.Event).UnmarshalJSON(text) })
		add("", "json.Unmarshal of an Event", func() error { return json.Unmarshal(text, new(beacon.Event)) })
		add("", "json.Unmarshal of a plain struct", func() error { return json.Unmarshal(plainText, new(plain)) })
		add("bind/", "**Bind**", c.into(e))
	}
	return all, nil
}

func bindTo[T any](e beacon.Event) func() error {
	return func() error { return e.Bind(new(T)) }
}
