package main

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// fromPixel makes a page view of each pixel of a page, as Config.Enrich: of that moment,
// since nobody said how long it was. Visitors are told apart for a day, by a key made of
// their address and user agent.
func fromPixel(daily *sessions.Daily) func(*http.Request, *beacon.Event) error {
	return func(r *http.Request, e *beacon.Event) error {
		e.View = e.ID
		e.Query = append(slices.Clip(e.Query), beacon.Field{Name: "start", Value: strconv.FormatInt(e.Received.UnixMilli(), 10)})
		return daily.Enrich(r, e)
	}
}
