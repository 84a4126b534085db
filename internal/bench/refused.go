package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/limit"
)

// An arrangement is a request, and a handler that answers it in one way only.
type arrangement struct {
	name    string
	reason  string // for which it is refused, or none
	handler func() http.Handler
	request []byte
}

func fixed(c beacon.Config) func() http.Handler {
	return func() http.Handler { return newHandler(c) }
}

// others are requests that are no beacon of the host's own pages.
func others() []arrangement {
	form, plain := bodies.Multipart(3, 0), beacon.Config{}
	shared := beacon.Config{Origins: []string{bodies.Other}}
	return []arrangement{
		{"pixel, 200 and an image", "", fixed(plain), bodies.Pixel()},
		{"ping of a link", "", fixed(plain), bodies.Ping()},
		{"form of another site's page", "", fixed(shared), form.PostFrom(bodies.Other)},
		{"preflight", "", fixed(shared), bodies.Preflight(bodies.Other)},
		{"form to a path with a query", "", fixed(plain), asked(form, bodies.PixelQuery).Post()},
		{"CSP report", "", fixed(plain), bodies.CSP().Post()},
		{"JSON of 4 KB, gzip", "", fixed(plain), bodies.Gzip(bodies.JSON(75)).Post()},
		{"envelope of 10 events, gzip", "", fixed(plain), bodies.Gzip(bodies.Envelope(10)).Post()},
		{"envelope of 100 events, gzip", "", fixed(plain), bodies.Gzip(bodies.Envelope(100)).Post()},
	}
}

// asked is b with a query.
func asked(b bodies.Body, query string) bodies.Body {
	b.Query = query
	return b
}

// refusals are requests that are refused, each for another reason.
func refusals() []arrangement {
	form := bodies.Multipart(3, 0)
	failing := func(err error) beacon.Sink {
		return beacon.SinkFunc(func(context.Context, []beacon.Event) error { return err })
	}
	bombed := bodies.Gzip(bodies.Body{Type: bodies.LinesType, Data: make([]byte, 900<<10)})
	badZip := bodies.Gzip(form)
	badZip.Data = badZip.Data[:len(badZip.Data)-20]
	cut := form
	cut.Data = cut.Data[:len(cut.Data)-20]
	return []arrangement{
		{"another origin", beacon.ReasonOrigin, fixed(beacon.Config{}), form.PostFrom(bodies.Other)},
		{"preflight of another origin", beacon.ReasonOrigin, fixed(beacon.Config{}), bodies.Preflight(bodies.Other)},
		{"another host", beacon.ReasonHost, fixed(beacon.Config{Hosts: []string{"example.com"}}), form.Post()},
		{"a method", beacon.ReasonMethod, fixed(beacon.Config{}), bytes.Replace(form.Post(), []byte("POST"), []byte("PATCH"), 1)},
		{"no token", beacon.ReasonToken, fixed(beacon.Config{RequireToken: true, TokenKeys: [][]byte{[]byte("a key of 16 bytes")}}), form.Post()},
		{"rate", beacon.ReasonLimited, exhausted, form.Post()},
		{"busy", beacon.ReasonTooBusy, busy, form.Post()},
		{"shutting down", beacon.ReasonShuttingDown, shutDown, form.Post()},
		{"said to be too large", beacon.ReasonBodyTooLarge, fixed(beacon.Config{MaxBody: 100, Limits: beacon.Limits{MaxDecoded: 100}}), form.Post()},
		{"query too large", beacon.ReasonQueryTooLarge, fixed(beacon.Config{Limits: beacon.Limits{MaxQuery: 100}}), asked(form, strings.Repeat("a", 101)).Post()},
		{"too many fields", beacon.ReasonTooManyFields, fixed(beacon.Config{}), bodies.Multipart(1001, 0).Post()},
		{"too many pairs", beacon.ReasonTooManyFields, fixed(beacon.Config{}), bodies.URLEncoded(1001).Post()},
		{"too many lines", beacon.ReasonTooManyEvents, fixed(beacon.Config{}), bodies.Lines(1001).Post()},
		{"too many events", beacon.ReasonTooManyEvents, fixed(beacon.Config{}), bodies.Envelope(1001).Post()},
		{"too deep", beacon.ReasonTooDeep, fixed(beacon.Config{}), bodies.Body{Type: bodies.JSONType, Data: []byte(strings.Repeat("[", 600) + strings.Repeat("]", 600))}.Post()},
		{"inflates too much", beacon.ReasonTooInflated, fixed(beacon.Config{}), bombed.Post()},
		{"gzip without its end", beacon.ReasonEncoding, fixed(beacon.Config{}), badZip.Post()},
		{"multipart without its end", beacon.ReasonMultipart, fixed(beacon.Config{}), cut.Post()},
		{"sink refused it", beacon.ReasonSinkRefused, fixed(beacon.Config{Sink: failing(beacon.ErrPermanent)}), form.Post()},
		{"sink failed", beacon.ReasonSinkFailed, fixed(beacon.Config{Sink: failing(errors.New("away"))}), form.Post()},
	}
}

// exhausted is a handler of which the client has had its share.
func exhausted() http.Handler {
	limiter, err := limit.New(limit.Options{Events: 1, EventBurst: 1})
	if err != nil {
		panic(err)
	}
	h := newHandler(limiter.Guard(beacon.Config{Sink: nowhere}))
	probe(h, bodies.Lines(1000).Post()) // which takes it a quarter of an hour to pay off
	return h
}

// busy is a handler with as many requests as it takes.
func busy() http.Handler {
	entered := make(chan struct{})
	h := newHandler(beacon.Config{MaxRequests: 1, Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		close(entered)
		select {}
	})})
	go probe(h, bodies.Text().Post())
	<-entered
	return h
}

// shutDown is a handler that was shut down.
func shutDown() http.Handler {
	h := newHandler(beacon.Config{})
	if err := h.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	return h
}

// probe returns the status with which a handler answers.
func probe(h http.Handler, request []byte) int { return ask(h, request).StatusCode }

func ask(h http.Handler, request []byte) *http.Response {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		panic(err)
	}
	r.RemoteAddr = memconn.Peer + ":4711"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// requests measures those that are not from the host's own pages.
func requests(r *report) error {
	t := r.table("Other requests, over the floor of the same request", "request", "answer", "ns over, median", "minimum", "floor/x, median", "minimum", "allocations over", "bytes over")
	return r.arranged(t, others())
}

// refusing measures what is refused, beside what taking the same would have cost: it has
// to be cheaper.
func refusing(r *report) error {
	t := r.table("Refused requests, over a floor that answers the same", "refused", "answer", "ns over, median", "minimum", "floor/x, median", "minimum", "allocations over", "bytes over", "cost by that of taking it")
	return r.arranged(t, refusals())
}

func (r *report) arranged(t *table, all []arrangement) error {
	for _, a := range all {
		h := a.handler()
		status := probe(h, a.request)
		servers := []server{
			{"floor", drainTo(status), a.request, status},
			{a.name, h, a.request, status},
		}
		if a.reason != "" {
			servers = append(servers, server{"taken", newHandler(takesAll), a.request, probe(newHandler(takesAll), a.request)})
		}
		results, err := measure(r.Options, servers...)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		res := results[1]
		row := []string{a.name, fmt.Sprint(status), ns(res.Over), ns(res.OverMin), ratio(res.Ratio), ratio(res.RatioMin), ns(res.AllocsOver), ns(res.BytesOver)}
		if a.reason != "" {
			part := "– (never taken)"
			if servers[2].status < 300 {
				part = ratio(res.Min / results[2].Min)
			}
			row = append(row, part)
		}
		t.row(row...)
	}
	return t.end()
}

// takesAll takes whatever is not broken.
var takesAll = beacon.Config{
	Origins: []string{bodies.Other}, Methods: []string{http.MethodPatch},
	Limits: beacon.Limits{MaxFields: 1 << 20, MaxEvents: 1 << 20, MaxDepth: 9000, MaxRatio: 1 << 20},
}

// drainTo is a floor that answers otherwise.
func drainTo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}
