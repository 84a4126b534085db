package main

import (
	"fmt"
	"net/http"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// attacks measures what bodies cost that try to be expensive.
func attacks(r *report) error {
	h := newHandler(beacon.Config{})
	t := r.table("Bodies that try to be expensive, of 36 KB or as large as they may be, over the floor",
		"body", "bytes", "answer", "ns a byte", "bytes allocated a byte", "an ordinary body", "its bytes", "ns a byte", "cost of one by that of the other")
	ordinary := map[string]pair.Result{}
	over := func(b bodies.Body) (pair.Result, int, error) {
		request := b.Post()
		status := probe(h, request)
		results, err := measure(r.Options,
			server{"floor", http.HandlerFunc(peers.Drain), request, http.StatusNoContent}, server{b.Name, h, request, status})
		if err != nil {
			return pair.Result{}, 0, err
		}
		return results[1], status, nil
	}
	for _, a := range bodies.Attacks() {
		b := a.Make(36 << 10)
		if len(b.Type) > 1000 { // it is a header, of which the server bounds all together
			b = a.Make(8 << 10)
		}
		like := bodies.Ordinary(a.Like, len(b.Data))
		if _, ok := ordinary[a.Like]; !ok || len(b.Data) < 30_000 {
			res, _, err := over(like)
			if err != nil {
				return fmt.Errorf("%s: %w", like.Name, err)
			}
			ordinary[a.Like] = res
		}
		res, status, err := over(b)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		bytes, likeBytes := float64(len(b.Type)+len(b.Query)+len(b.Data)), float64(len(like.Type)+len(like.Data))
		t.row(a.Name, ns(bytes), fmt.Sprint(status), ratio(res.OverMin/bytes), ratio(res.BytesOver/bytes),
			like.Name, ns(likeBytes), ratio(ordinary[a.Like].OverMin/likeBytes), ratio(res.OverMin/ordinary[a.Like].OverMin))
	}
	return t.end()
}

// A shape is a kind of body of any size.
type shape struct {
	name string
	make func(bytes int) bodies.Body
}

// shapes are those of attacks, and the honest ones.
func shapes() (all []shape) {
	for _, a := range bodies.Attacks() {
		all = append(all, shape{a.Name, a.Make})
	}
	for _, kind := range []string{"multipart", "urlencoded", "JSON", "envelope", "reports", "ndjson"} {
		ordinary := func(bytes int) bodies.Body { return bodies.Ordinary(kind, bytes) }
		all = append(all, shape{"ordinary " + kind, ordinary}, shape{"ordinary " + kind + ", gzip", func(bytes int) bodies.Body { return bodies.Gzip(ordinary(bytes)) }})
	}
	return all
}

// unlimited lets pass what a handler would refuse, so that what is decoded grows with what
// was sent.
var unlimited = beacon.Limits{MaxFields: 1 << 20, MaxEvents: 1 << 20, MaxDepth: 9000, MaxRatio: 1 << 20, MaxDecoded: 1 << 30, MaxQuery: 1 << 20}

// decode decodes a body of so many bytes; what is refused must not be dear, either. The
// size is that of all that the body holds, if it is compressed.
func (s shape) decode(n int) (run func(n int) error, size float64) {
	b := s.make(n)
	r := requestOf(b)
	return repeat(func() error {
		_, _ = beacon.Decode(r, b.Data, unlimited)
		return nil
	}), float64(max(n, len(b.Data)))
}

// linear measures whether the cost of a byte stays the same from small bodies to large.
func linear(r *report) error {
	sizes := []int{4 << 10, 40 << 10, 400 << 10}
	if r.quick {
		sizes = sizes[:2]
	}
	columns := []string{"body"}
	for _, what := range []string{"ns a byte", "bytes allocated a byte"} {
		for _, n := range sizes {
			columns = append(columns, fmt.Sprintf("%s at %d KB", what, n>>10))
		}
	}
	t := r.table("What a byte costs to decode, in small bodies and large, without limits", columns...)
	o := r.Options
	o.Rounds = max(o.Rounds/3, 3)
	for _, s := range shapes() {
		var subjects []pair.Subject
		var each []float64
		for _, n := range sizes {
			run, size := s.decode(n)
			subjects, each = append(subjects, pair.Subject{Name: s.name, Run: run}), append(each, size)
		}
		results, err := pair.Measure(o, subjects[0], subjects[1:]...)
		if err != nil {
			return err
		}
		row := []string{s.name}
		for i, res := range results {
			row = append(row, ratio(res.Min/each[i]))
		}
		for i, res := range results {
			row = append(row, ratio(res.Bytes/each[i]))
		}
		t.row(row...)
	}
	return t.end()
}
