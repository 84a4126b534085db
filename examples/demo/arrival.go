package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/pagebeacon/beacon"
)

// An arrival is an event that was taken, in all the forms in which it goes on.
type arrival struct {
	item
	id  string
	log []string
}

// An item is an event as the page gets it, which is made once, however many look:
//
//	{"event": …, "session": "12.34 seconds"}
//	{"event": …, "problem": "why there is no session although it was meant"}
type item struct {
	data  []byte
	event json.RawMessage // the part of data that is the event
}

func newArrival(e beacon.Event) (arrival, error) {
	a := arrival{id: e.ID}
	var more struct {
		Session string `json:"session,omitempty"`
		Problem string `json:"problem,omitempty"`
	}
	switch s, err := beacon.SessionOf(e); {
	case err == nil:
		more.Session = s.String()
		a.log = []string{"In session for: " + more.Session, "Tracking info: " + printable(message(e))}
	case e.Name == "log": // of the browser client
		a.log = []string{"Tracking info: " + printable(message(e))}
	case errors.Is(err, beacon.ErrNoSession):
		a.log = []string{fmt.Sprintf("Received: %s, name %q, type %q", e.Body.Kind(), e.Name, e.Request.ContentType)}
	default:
		more.Problem = err.Error()
		a.log = []string{"Session not readable: " + printable(more.Problem)}
	}
	rest, err := json.Marshal(more)
	if err != nil {
		return arrival{}, err
	}
	const head = `{"event":`
	data, err := e.AppendJSON([]byte(head))
	if err != nil {
		return arrival{}, err
	}
	end := len(data)
	if len(rest) > len("{}") {
		data = append(data, ',')
	}
	a.data = bytes.Clone(append(data, rest[1:]...)) // it is kept: without the room that is left
	a.event = json.RawMessage(a.data[len(head):end])
	return a, nil
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
