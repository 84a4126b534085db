package main

import (
	"fmt"
	"math"
	"net/http"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// A budget is the memory that something may take: what it allocates does not depend on
// the machine, so it is compared where time cannot be.
type budget struct {
	Allocs float64 `json:"allocs"`
	Bytes  float64 `json:"bytes"`
}

// exceeds says by what b is more than allowed. Bytes may differ by a tenth, since those of
// a map or a pool do.
func (b budget) exceeds(allowed budget) error {
	if b.Allocs > allowed.Allocs {
		return fmt.Errorf("%v allocations, budget %v", b.Allocs, allowed.Allocs)
	}
	if b.Bytes > allowed.Bytes+math.Abs(allowed.Bytes)/10+32 {
		return fmt.Errorf("%v bytes, budget %v", b.Bytes, allowed.Bytes)
	}
	return nil
}

// budgets measures everything that has one: whole requests over the floor of the same
// request, decoding, and what is done to events.
func budgets() (map[string]budget, error) {
	all := map[string]budget{}
	add := func(name string, floor, subject func(n int) error) error {
		const n = 60
		var b [2]budget
		for i, run := range []func(n int) error{floor, subject} {
			s := pair.Subject{Name: name, Run: run}
			var err error
			if b[i].Allocs, b[i].Bytes, err = s.Memory(n); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		all[name] = budget{b[1].Allocs - b[0].Allocs, b[1].Bytes - b[0].Bytes}
		return nil
	}
	request := func(name string, h http.Handler, raw []byte) error {
		status := probe(h, raw)
		floor, client := memconn.New(drainTo(status), raw, status), memconn.New(h, raw, status)
		defer floor.Close()
		defer client.Close()
		return add(name, floor.Do, client.Do)
	}
	h, bound := newHandler(beacon.Config{}), newHandler(beacon.Config{Sink: onEnded})
	for _, c := range comparisons() {
		if err := request("handler: "+c.Name, h, c.Post()); err != nil {
			return nil, err
		}
		if c.on {
			if err := request("handler, On: "+c.Name, bound, c.Post()); err != nil {
				return nil, err
			}
		}
	}
	for what, list := range map[string][]arrangement{"handler: ": others(), "refused: ": refusals()} {
		for _, a := range list {
			if err := request(what+a.name, a.handler(), a.request); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range decodings() {
		if err := add("decode: "+d.Name, decodes(bodies.Body{Type: d.Type}), decodes(d.Body)); err != nil {
			return nil, err
		}
	}
	nothing := func(int) error { return nil }
	list, err := eventOperations()
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		if o.key != "" {
			if err := add("event: "+o.key, nothing, o.run); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
