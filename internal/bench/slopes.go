package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// A slope is a kind of body of more and more of something.
type slope struct {
	name  string
	unit  string
	sizes []int
	make  func(n int) bodies.Body
	bytes bool // the unit is a byte of the body, and n only what it is made of
}

func slopes() []slope {
	fields, events := []int{1, 10, 100, 1000}, []int{1, 10, 100, 1000}
	kilobytes := []int{1, 10, 100, 900}
	return []slope{
		{"multipart", "field", fields, func(n int) bodies.Body { return bodies.Multipart(n, 0) }, false},
		{"urlencoded", "field", fields, bodies.URLEncoded, false},
		{"envelope", "event", events, bodies.Envelope, false},
		{"envelope, gzip", "event", events, func(n int) bodies.Body { return bodies.Gzip(bodies.Envelope(n)) }, false},
		{"Reporting API", "report", events, bodies.Reports, false},
		{"ndjson", "line", events, bodies.Lines, false},
		{"JSON", "byte", kilobytes, func(n int) bodies.Body { return bodies.JSON(n * 18) }, true},
		{"file in multipart", "byte", kilobytes, func(n int) bodies.Body { return bodies.Multipart(1, n<<10) }, true},
	}
}

// gradients measures what one more of everything costs, from the smallest bodies to the
// largest: over the floor, which reads them too.
func gradients(r *report) error {
	h := newHandler(beacon.Config{})
	t := r.table("What one more costs, over the floor",
		"body", "one more", "bytes of it", "ns (linear fit)", "ns, from size to size", "allocations", "bytes allocated", "part of the floor of a small body")
	floorOfSmall, err := r.smallFloor()
	if err != nil {
		return err
	}
	for _, s := range slopes() {
		var x, y, allocs, bytes, size []float64
		for _, n := range s.sizes {
			b := s.make(n)
			results, err := measure(r.Options,
				server{"floor", http.HandlerFunc(peers.Drain), b.Post(), http.StatusNoContent},
				server{s.name, h, b.Post(), http.StatusNoContent})
			if err != nil {
				return err
			}
			units := float64(n)
			if s.bytes {
				units = float64(len(b.Data))
			}
			x, y = append(x, units), append(y, results[1].OverMin)
			allocs, bytes = append(allocs, results[1].AllocsOver), append(bytes, results[1].BytesOver)
			size = append(size, float64(len(b.Data)))
		}
		var steps []string
		for i := 1; i < len(x); i++ {
			steps = append(steps, fmt.Sprintf("%.3g", (y[i]-y[i-1])/(x[i]-x[i-1])))
		}
		fit, last := pair.Fit(x, y), len(x)-1
		more := func(v []float64) float64 { return (v[last] - v[0]) / (x[last] - x[0]) }
		t.row(s.name, s.unit, fmt.Sprintf("%.3g", more(size)), fmt.Sprintf("%.3g", fit), strings.Join(steps, ", "),
			fmt.Sprintf("%.2g", more(allocs)), fmt.Sprintf("%.3g", more(bytes)), fmt.Sprintf("%.2g", fit/floorOfSmall))
		r.reach("slope/"+s.name, reached{fit / floorOfSmall, (y[last-1] - y[0]) / (x[last-1] - x[0]) / floorOfSmall, more(allocs)})
	}
	return t.end()
}

// smallFloor is the floor of a form of 3 fields.
func (r *report) smallFloor() (float64, error) {
	client := memconn.New(http.HandlerFunc(peers.Drain), bodies.Multipart(3, 0).Post(), http.StatusNoContent)
	defer client.Close()
	results, err := pair.Measure(r.Options, pair.Subject{Name: "floor", Run: client.Do})
	if err != nil {
		return 0, err
	}
	return results[0].Min, nil
}
