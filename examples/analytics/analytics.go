package main

import (
	"context"
	"database/sql"
	"html/template"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// What is below is all that a host needs to know how long people were there, and on which
// pages: what else is in this program is a site, and a page to show the answer.

type analytics struct {
	stored  *store.Store    // in a database of the host's
	events  *spool.Spool    // in front of it: what was answered 204 is on disk
	beacons *beacon.Handler // where the pages send to
}

// open returns what is open of it, also with an error. beside sees events go by.
func open(ctx context.Context, db *sql.DB, d store.Dialect, dir string, c beacon.Config, o spool.Options, beside beacon.Sink) (a analytics, err error) {
	if a.stored, err = store.Open(ctx, db, d, store.Options{}); err != nil {
		return a, err
	}
	if a.events, err = spool.Open(dir, a.stored, o); err != nil {
		return a, err
	}
	c.Sink = sink.Tee(sink.Required(a.events), sink.BestEffort(beside, nil))
	a.beacons, err = beacon.New(c)
	return a, err
}

// tag is what each page has in its head.
func (a analytics) tag() template.HTML { return a.beacons.ScriptTag(client.Tag{}) }

// answer says how long people were here, day by day, and on which pages.
func (a analytics) answer(ctx context.Context, q store.Query) ([]store.Day, []store.Page, error) {
	days, err := a.stored.Days(ctx, q, q.From.Location())
	if err != nil {
		return nil, nil, err
	}
	pages, err := a.stored.Pages(ctx, q)
	return days, pages, err
}
