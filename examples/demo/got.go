package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/pagebeacon/beacon"
)

// These functions get the events, and return what the log says of each. The page shows
// them beside the events: see code.go.

func gotPageView(e beacon.Event) []string {
	v, _ := beacon.PageViewOf(e) // its numbers are totals
	elapsed := v.End.Sub(v.Start)
	return says("Page view of %s: engaged for %v of %v",
		printable(short(v.Page)), round(v.Engaged), round(elapsed))
}

func gotLog(e beacon.Event) []string {
	return says("Tracking info: %s", printable(message(e)))
}

func gotSession(e beacon.Event) []string {
	s, err := beacon.SessionOf(e) // of a form, JSON or a query
	if err != nil {
		return says("Session not readable: %s", printable(err.Error()))
	}
	return says("In session for: %v\nTracking info: %s",
		s, printable(message(e)))
}

func gotForm(e beacon.Event) []string {
	form := e.Body.(beacon.Form) // in order, with its files
	return received(e, "%d fields", len(form))
}

func gotText(e beacon.Event) []string {
	text := e.Body.(beacon.Text)
	return received(e, "%d bytes", len(text))
}

func gotJSON(e beacon.Event) []string {
	data := e.Body.(beacon.JSON) // or e.Bind(&v)
	return received(e, "%d bytes", len(data))
}

func gotBinary(e beacon.Event) []string {
	b := e.Body.(beacon.Binary)
	return received(e, "%d bytes of %q", len(b.Data), short(b.Type))
}

func gotNoData(e beacon.Event) []string {
	query := e.Query // all that a pixel has
	return received(e, "%d fields in the query", len(query))
}

func gotPing(e beacon.Event) []string {
	ping := e.Body.(beacon.Ping)
	return received(e, "to %q", short(ping.To))
}

func gotReport(e beacon.Event) []string {
	report := e.Body.(beacon.Report) // each of a batch by itself
	return received(e, "about %q", short(report.URL))
}

// A handler gets an event.
type handler func(beacon.Event) []string

var byKind = map[string]handler{
	"form": gotForm, "text": gotText, "json": gotJSON, "binary": gotBinary, "empty": gotNoData, "ping": gotPing, "report": gotReport,
}

// handlerOf returns what gets an event.
func handlerOf(e beacon.Event) handler {
	switch _, err := beacon.SessionOf(e); {
	case isPageView(e):
		return gotPageView
	case err == nil:
		return gotSession
	case e.Name == "log": // of the browser client
		return gotLog
	case errors.Is(err, beacon.ErrNoSession):
		return byKind[e.Body.Kind()]
	default:
		return gotSession // which says what is wrong with it
	}
}

// isPageView says whether it is one of the reports of the browser client, of which each
// knows all that the one before it knew.
func isPageView(e beacon.Event) bool { return e.Name == "session" && e.View != "" }

// message returns what the page says was done, from whatever kind of body it
// chose for that.
func message(e beacon.Event) string {
	var v struct {
		Msg string `json:"msg" schema:"msg"`
	}
	_ = e.Bind(&v) // what does not fit is no message
	return cmp.Or(v.Msg, e.Name)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

func received(e beacon.Event, format string, args ...any) []string {
	return says("Received: %s, name %q, type %q, %s", e.Body.Kind(), short(e.Name), short(e.Request.ContentType), fmt.Sprintf(format, args...))
}
