package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/pagebeacon/beacon"
)

// An arrival is an event that was taken, in all the forms in which it goes on.
type arrival struct {
	beacon.Event
	data json.RawMessage // the event
	said []string        // of it
	code code            // that said it
}

func newArrival(e beacon.Event) (arrival, error) {
	data, err := e.AppendJSON(nil)
	if err != nil {
		return arrival{}, err
	}
	got := handlerOf(e)
	return arrival{Event: e, data: data, said: got(e), code: got.code()}, nil
}

// log returns what goes to the log. Of the reports of the browser client it has the
// sessions instead.
func (a arrival) log() []string {
	if isPageView(a.Event) {
		return nil
	}
	return a.said
}

// shown returns the event as the live page has it: with the code that got it, where the
// page has what a server adds.
func (a arrival) shown() beacon.Event {
	e := a.Event
	e.Attrs = maps.Clone(e.Attrs)
	if e.Attrs == nil {
		e.Attrs = map[string]string{}
	}
	e.Attrs[a.code.At] = a.code.body
	return e
}

// says returns lines.
func says(format string, args ...any) []string {
	return strings.Split(fmt.Sprintf(format, args...), "\n")
}

// printable quotes text of the client's that could be taken for something else in
// a log.
func printable(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

func short(s string) string { return cut(s, 60) }

// cut returns no more than n bytes of a text, and no part of a character.
func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
