package main

import "github.com/pagebeacon/beacon/internal/bench/e2e"

// endToEnd measures servers in processes of their own.
func endToEnd(r *report) error {
	return e2e.Tables(r, e2e.Options{Rounds: r.Rounds, Quick: r.quick, Reach: func(key string, median, least float64) {
		r.reach(key, reached{median: median, least: least})
	}})
}
