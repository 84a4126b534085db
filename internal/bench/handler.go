package main

import (
	"net/http"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// A comparison is a body and what stands beside beacon for it.
type comparison struct {
	bodies.Body
	peer  string
	std   http.HandlerFunc
	on    bool // On binds it, too
	quick bool
}

func comparisons() []comparison {
	const schema, std = "net/http + schema", "encoding/json, struct"
	form, vitals := peers.Form(taken), peers.JSON(taken[peers.Vitals])
	envelope, reports := peers.JSON(taken[peers.Envelope]), peers.JSON(taken[[]browserReport])
	return []comparison{
		{bodies.Multipart(3, 0), schema, form, true, true},
		{bodies.URLEncoded(3), schema, form, true, true},
		{bodies.JSON(5), std, vitals, true, true},
		{bodies.Text(), "io.ReadAll", stdText, false, true},
		{bodies.Multipart(20, 2<<10), schema, form, false, false},
		{bodies.URLEncoded(40), schema, form, false, false},
		{bodies.JSON(75), std, vitals, false, false},
		{bodies.JSON(1150), std, vitals, false, false},
		{bodies.Envelope(1), std, envelope, false, true},
		{bodies.Envelope(10), std, envelope, false, true},
		{bodies.Envelope(100), std, envelope, false, false},
		{bodies.Reports(1), std, reports, false, false},
		{bodies.Reports(10), std, reports, false, true},
		{bodies.Reports(100), std, reports, false, false},
		{bodies.Lines(1), "json.Decoder", stdLines, false, false},
		{bodies.Lines(10), "json.Decoder", stdLines, false, false},
		{bodies.Lines(100), "json.Decoder", stdLines, false, false},
	}
}

// handlers measures whole requests.
func handlers(r *report) error {
	h, bound := newHandler(beacon.Config{}), newHandler(beacon.Config{Sink: onEnded})
	inside := newHandler(beacon.Config{Path: bodies.Path}).Middleware(http.NotFoundHandler())
	t := r.table("Whole requests: net/http on an in-memory connection, over a handler that drains the body and answers 204",
		"body", "handler", "ns over, median", "quartiles", "ns over, minimum", "floor/x, median", "minimum", "allocations over", "bytes over")
	for _, c := range comparisons() {
		if r.quick && !c.quick {
			continue
		}
		request := c.Post()
		servers := []server{
			{"floor", http.HandlerFunc(peers.Drain), request, http.StatusNoContent},
			{"**beacon**", h, request, http.StatusNoContent},
			{c.peer, c.std, request, http.StatusNoContent},
		}
		if c.on {
			servers = append(servers, server{"beacon + On", bound, request, http.StatusNoContent})
		}
		if !r.quick {
			servers = append(servers, server{"beacon in Middleware", inside, request, http.StatusNoContent})
		}
		results, err := measure(r.Options, servers...)
		if err != nil {
			return err
		}
		own, peer := results[1], results[2]
		r.reach("handler/"+c.Name, reached{own.Ratio, own.RatioMin, own.AllocsOver})
		r.reach("std/"+c.Name, reached{peer.Ratio, peer.RatioMin, peer.AllocsOver})
		r.reach("peer/"+c.Name, reached{own.Over / peer.Over, own.OverMin / peer.OverMin, own.AllocsOver})
		if c.on {
			on := results[3]
			r.reach("on/"+c.Name, reached{1/on.Ratio - 1, 1/on.RatioMin - 1, on.AllocsOver})
		}
		name := c.Name
		for _, res := range results[1:] {
			t.over(name, res)
			name = ""
		}
	}
	return t.end()
}

func (t *table) over(body string, r pair.Result) {
	t.row(body, r.Name, ns(r.Over), ns(r.Low)+" to "+ns(r.High), ns(r.OverMin), ratio(r.Ratio), ratio(r.RatioMin), ns(r.AllocsOver), ns(r.BytesOver))
}
