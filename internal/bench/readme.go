package main

import "fmt"

// numbers prints the rows of the README.
func numbers(r *report) error {
	t := r.table("Numbers, for the README", "", "", "how to get it")
	row := func(what, key, table, format string, args ...any) {
		if got, ok := r.results[key]; ok {
			t.row(what, fmt.Sprintf(format, append([]any{got.least}, args...)...), fmt.Sprintf("`cd internal/bench && go run . -table %s`", table))
		}
	}
	allocs := func(key string) float64 { return r.results[key].allocs }
	const form, j, env, reports = "multipart, 3 fields", "JSON of 282 bytes", "envelope, 10 events", "Reporting API, 10 reports"
	row("a whole request of a form with 3 fields, through net/http", "handler/"+form, "handler",
		"%.2f of the speed of a handler that drains the body and answers 204, with %v more allocations; net/http's parser and gorilla/schema %.2f, %v",
		allocs("handler/"+form), r.results["std/"+form].least, allocs("std/"+form))
	row("of a JSON text of 300 bytes", "handler/"+j, "handler",
		"%.2f, %v; encoding/json %.2f, %v", allocs("handler/"+j), r.results["std/"+j].least, allocs("std/"+j))
	row("of an envelope of the client's with 10 events", "handler/"+env, "handler",
		"%.2f, %v; encoding/json %.2f, %v", allocs("handler/"+env), r.results["std/"+env].least, allocs("std/"+env))
	row("of 10 reports of the browser's", "handler/"+reports, "handler",
		"%.2f, %v; encoding/json %.2f, %v", allocs("handler/"+reports), r.results["std/"+reports].least, allocs("std/"+reports))
	row("decoding the form", "decode/"+form, "decode", "%.3f of what `ParseMultipartForm` takes, %v allocations in place of %v",
		allocs("decode/"+form), allocs("std/decode/"+form))
	row("`On[T]` over it, in the handler", "on/"+form, "handler", "%.2f of the floor more, %v allocations", allocs("on/"+form))
	row("end to end over loopback, 256 connections", "e2e/256", "e2e", "%.2f of that floor")
	row("with every event durable before its 204, 256 connections", "durable/256", "e2e", "%.2f of that floor")
	return t.end()
}
