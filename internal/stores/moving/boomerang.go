package main

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/pagebeacon/beacon"
)

// fromBoomerang says of an event in boomerang's words the same in beacon's, as
// Config.Enrich: whose it is, which page view, its own ID, and from when to when.
func fromBoomerang(_ *http.Request, e *beacon.Event) error {
	said, posted := e.Body.(beacon.Form)
	if !posted { // it was a GET
		said, e.Query = e.Query, nil
	}
	e.Session, e.View, e.Page = said.Get("rt.si"), said.Get("pid"), said.Get("u")
	if n := said.Get("n"); e.View != "" && n != "" {
		e.ID = e.View + "." + n // the same from the log and from the page
	}
	e.Body = append(slices.Clip(said),
		beacon.Field{Name: "start", Value: said.Get("rt.tstart")},
		beacon.Field{Name: "end", Value: strconv.FormatInt(e.Received.UnixMilli(), 10)})
	return nil
}
