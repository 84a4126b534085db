package main

import (
	"cmp"
	"fmt"
	"strings"
)

// reached is what a measurement gave: a ratio by the median of all pairs and by the
// minima, and allocations.
type reached struct{ median, least, allocs float64 }

// reach remembers it for the table of targets.
func (r *report) reach(key string, v reached) {
	if r.results == nil {
		r.results = map[string]reached{}
	}
	r.results[key] = v
}

// A target is what a figure of another table ought to be. They were set in ns on another
// machine, so here each is a part of a yardstick that was measured with it there, and is
// measured with it here.
type target struct {
	what   string
	of     string // the yardstick
	key    string
	limit  float64
	floor  bool    // more is better: the part of the floor that is left
	allocs float64 // at most, or -1
}

func targets() []target {
	const left, part, std = "floor/x", "part of the floor", "part of encoding/json"
	all := []target{
		{"form of 3 fields, multipart, in the handler", left, "handler/multipart, 3 fields", 0.86, true, 4},
		{"form of 3 fields, urlencoded, in the handler", left, "handler/urlencoded, 3 fields", 0.86, true, 4},
		{"text in the handler", left, "handler/text of 23 bytes", 0.88, true, -1},
		{"JSON of 282 bytes in the handler", left, "handler/JSON of 282 bytes", 0.82, true, -1},
		{"envelope of 1 event", std, "peer/envelope, 1 event", 3.6 / 5.2, false, -1},
		{"envelope of 10 events", std, "peer/envelope, 10 events", 16.5 / 21, false, -1},
		{"10 reports", std, "peer/Reporting API, 10 reports", 27.0 / 48, false, -1},
		{"a line more of ndjson", part, "slope/ndjson", 650.0 / 7600, false, -1},
		{"On, form of 3 fields, over the floor", part, "on/multipart, 3 fields", 2.2 / 7.6, false, 6},
		{"JSON form of an event, out", part, "append/form of 3 fields", 550.0 / 7600, false, 0},
		{"JSON form of an event, back", part, "read/form of 3 fields", 2700.0 / 7600, false, 6},
		{"hand-off to VolatileQueue", "of a mutex and two slices", "queue", 20.0 / 13, false, 0},
		{"end to end, 32 connections", left, "e2e/32", 0.92, true, -1},
		{"end to end, 256 connections", left, "e2e/256", 0.92, true, -1},
		{"durable before 204, 32 connections", left, "durable/32", 0.50, true, -1},
		{"durable before 204, 256 connections", left, "durable/256", 0.65, true, -1},
	}
	all = append(all, target{"JSON of 282 bytes, checked", "part of json.Valid", "check/JSON of 282 bytes", 500.0 / 933, false, 0})
	for _, d := range decodings() {
		if d.target > 0 {
			all = append(all, target{"decode " + d.Name, "part of " + d.name, "decode/" + d.Name, d.target, false, d.allocs})
		}
	}
	return all
}

// goals says which targets were met by what was measured before.
func goals(r *report) error {
	t := r.table("Targets", "what", "is", "target", "reached, median", "minimum", "allocations, at most", "reached", "met")
	for _, g := range targets() {
		got, ok := r.results[g.key]
		if !ok {
			continue // not with -quick
		}
		want, most := "at most "+ratio3(g.limit), "–"
		if g.floor {
			want = "at least " + ratio3(g.limit)
		}
		if g.allocs >= 0 {
			most = ns(g.allocs)
		}
		allocs := "–"
		if !g.loopback() {
			allocs = ns(got.allocs)
		}
		t.row(g.what, g.of, want, ratio3(got.median), ratio3(got.least), most, allocs, g.met(got))
	}
	return t.end()
}

func (g target) met(got reached) string {
	median, least := g.within(got.median), g.within(got.least)
	var why string
	if g.allocs >= 0 && got.allocs > g.allocs {
		why = "no, by allocations"
	}
	switch {
	case !median && !least:
		return "**no**"
	case median && least:
		return cmp.Or(why, "yes")
	case median:
		return cmp.Or(why, "by the median")
	}
	return cmp.Or(why, "by the minimum")
}

// loopback is for those that are measured over loopback.
func (g target) loopback() bool {
	return strings.HasPrefix(g.key, "e2e/") || strings.HasPrefix(g.key, "durable/")
}

func (g target) within(v float64) bool { return g.floor == (v > g.limit) || v == g.limit }

func ratio3(v float64) string { return fmt.Sprintf("%.3f", v) }
