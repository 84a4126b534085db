package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/pagebeacon/beacon"
)

// An arrival is an event that was taken, in all the forms in which it goes on.
type arrival struct {
	beacon.Event
	data json.RawMessage // the event
	log  []string
}

func newArrival(e beacon.Event) (arrival, error) {
	data, err := e.AppendJSON(nil)
	if err != nil {
		return arrival{}, err
	}
	return arrival{Event: e, data: data, log: lines(e)}, nil
}

// lines returns what the log says of an event. Of the reports of the browser client, each
// of which knows all that the one before it knew, it has the sessions instead.
func lines(e beacon.Event) []string {
	switch s, err := beacon.SessionOf(e); {
	case e.Name == "session" && e.View != "":
		return nil
	case err == nil:
		return []string{"In session for: " + s.String(), "Tracking info: " + printable(message(e))}
	case e.Name == "log": // of the browser client
		return []string{"Tracking info: " + printable(message(e))}
	case errors.Is(err, beacon.ErrNoSession):
		return []string{fmt.Sprintf("Received: %s, name %q, type %q", e.Body.Kind(), e.Name, e.Request.ContentType)}
	default:
		return []string{"Session not readable: " + printable(err.Error())}
	}
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
