package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/pair"
	"github.com/pagebeacon/beacon/internal/wire"
)

// A decoding is a body and the function of the standard library for it.
type decoding struct {
	bodies.Body
	name   string // of the function
	std    func(b bodies.Body) error
	target float64 // the part of it that is allowed, or 0
	allocs float64 // at most, with the copy that the body is read into
	quick  bool
}

func decodings() []decoding {
	pixel := bodies.Body{Name: "query of a pixel", Query: bodies.PixelQuery, Events: 1}
	return []decoding{
		{bodies.Multipart(3, 0), "ParseMultipartForm", parseForm, 300.0 / 7424, 2, true},
		{bodies.Multipart(20, 2<<10), "ParseMultipartForm", parseForm, 1800.0 / 43333, 2, true},
		{bodies.Multipart(3, 60<<10), "ParseMultipartForm", parseForm, 0, -1, false},
		{bodies.Multipart(1000, 0), "ParseMultipartForm", parseForm, 0, -1, false},
		{bodies.URLEncoded(3), "ParseForm", parseForm, 250.0 / 1360, 2, true},
		{bodies.URLEncoded(40), "ParseForm", parseForm, 2200.0 / 15856, 2, true},
		{bodies.URLEncoded(1000), "ParseForm", parseForm, 0, -1, false},
		{pixel, "ParseQuery", parseQuery, 350.0 / 821, 2, true},
		{bodies.JSON(5), "json.Valid", valid, 500.0 / 933, 1, true},
		{bodies.JSON(75), "json.Valid", valid, 0, -1, false},
		{bodies.JSON(1150), "json.Valid", valid, 0, -1, false},
	}
}

// decode measures Decode alone, without what an event with an empty body costs.
func decode(r *report) error {
	t := r.table("Decoding alone: beacon.Decode, without what an event costs that has no body, beside the standard library",
		"body", "ns, median", "minimum", "allocations", "bytes", "beside", "its ns, minimum", "its allocations", "beacon/it, median", "minimum", "allowed")
	for _, d := range decodings() {
		if r.quick && !d.quick {
			continue
		}
		empty := pair.Subject{Name: "no body", Run: decodes(bodies.Body{Type: d.Type})}
		results, err := pair.Measure(r.Options, empty,
			pair.Subject{Name: "beacon", Run: decodes(d.Body)},
			pair.Subject{Name: d.name, Run: repeat(func() error { return d.std(d.Body) })})
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		own, std := results[1], results[2]
		median, least := own.Part(std)
		allowed := "–"
		if d.target > 0 {
			allowed = ratio3(d.target)
		}
		r.reach("std/decode/"+d.Name, reached{1, 1, std.Allocs})
		r.reach("decode/"+d.Name, reached{median, least, own.AllocsOver})
		t.row(d.Name, ns(own.Over), ns(own.OverMin), ns(own.AllocsOver), ns(own.BytesOver), d.name, ns(std.Min), ns(std.Allocs), ratio3(median), ratio3(least), allowed)
	}
	for _, b := range []bodies.Body{bodies.JSON(5), bodies.JSON(75)} {
		results, err := pair.Measure(r.Options,
			pair.Subject{Name: "json.Valid", Run: repeat(func() error { return valid(b) })},
			pair.Subject{Name: "beacon", Run: repeat(func() error { return check(b) })})
		if err != nil {
			return err
		}
		std, own := results[0], results[1]
		r.reach("check/"+b.Name, reached{1 / own.Ratio, 1 / own.RatioMin, own.Allocs})
		t.row(b.Name+", only checked", ns(own.Median), ns(own.Min), ns(own.Allocs), ns(own.Bytes), std.Name, ns(std.Min), ns(std.Allocs), ratio3(1/own.Ratio), ratio3(1/own.RatioMin), ratio3(500.0/933))
	}
	return t.end()
}

// decodes decodes the body of a form, which its fields share, from a copy; the standard
// library makes its own. JSON is what it is.
func decodes(b bodies.Body) func(n int) error {
	r := requestOf(b)
	events, isForm := max(b.Events, 1), b.Type == bodies.MultipartType || b.Type == bodies.FormType
	return repeat(func() error {
		data := b.Data
		if isForm {
			data = bytes.Clone(data)
		}
		got, err := beacon.Decode(r, data, beacon.Limits{})
		if err == nil && len(got) != events {
			err = fmt.Errorf("%d events, want %d", len(got), events)
		}
		return err
	})
}

// requestOf is the request that carries b, as far as Decode looks at it.
func requestOf(b bodies.Body) *http.Request {
	r := &http.Request{Method: http.MethodPost, Header: b.Header()}
	if b.Query != "" {
		r.URL = &url.URL{Path: bodies.Path, RawQuery: b.Query}
	}
	return r
}

// repeat is f, n times.
func repeat(f func() error) func(n int) error {
	return func(n int) error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}

func parseForm(b bodies.Body) error {
	r := &http.Request{Method: http.MethodPost, Header: b.Header(), URL: &url.URL{}, Body: io.NopCloser(bytes.NewReader(b.Data))}
	if b.Type == bodies.MultipartType {
		return r.ParseMultipartForm(1 << 20)
	}
	return r.ParseForm()
}

func parseQuery(bodies.Body) error {
	_, err := url.ParseQuery(bodies.PixelQuery)
	return err
}

// check is the part of decoding that json.Valid does.
func check(b bodies.Body) error {
	if wire.CheckJSON(b.Data, 512) != wire.JSONValid {
		return fmt.Errorf("not valid: %.50q", b.Data)
	}
	return nil
}

func valid(b bodies.Body) error {
	if !json.Valid(b.Data) {
		return fmt.Errorf("not valid: %.50q", b.Data)
	}
	return nil
}
